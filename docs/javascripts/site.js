// What Material's own script leaves out. `document$` is its way to say that a page has come.

// What is wider than its box can be scrolled by keyboard: it takes the focus, and has a name.
const SCROLLING = {
  ".formula": "Formula",
  ".md-typeset__scrollwrap": "Table",
  ".output": "Output",
  ".output > pre": "Output",
};

const boxes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});

function letScroll(selector, name) {
  for (const box of document.querySelectorAll(`.md-content ${selector}`)) {
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", name);
    boxes.observe(box);
  }
}

// A film plays while it is in view. Whoever has stopped it finds it stopped.
const films = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) target.play().catch(() => {});
      else if (!target.paused) target.pause();
      else if (target.currentTime) films.unobserve(target);
    }
  },
  { threshold: 0.5 },
);

function playFilms() {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const film of document.querySelectorAll(".film video")) films.observe(film);
}

// An exhibit wakes when the reader comes near: its script and its data are not the page's first.
const exhibits = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      exhibits.unobserve(target);
      wake(target);
    }
  },
  { rootMargin: "50% 0%" },
);

async function wake(exhibit) {
  const status = exhibit.querySelector(".exhibit-status");
  const slow = setTimeout(() => (status.textContent = "Loading …"), 1000);
  try {
    const { start } = await import(new URL(exhibit.dataset.module, document.baseURI));
    await start(exhibit);
    for (const controls of exhibit.querySelectorAll("fieldset")) controls.disabled = false;
    exhibit.dataset.awake = "";
    status.textContent = "";
  } catch (error) {
    console.warn(error);
    status.textContent = "This could not be loaded, so the picture stays still. Load the page again to retry.";
  }
  clearTimeout(slow);
}

// A chapter that is still being computed shows itself as soon as it is done.
async function waitForChapter() {
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (answer.ok && !(await answer.text()).includes("data-pending")) return location.reload();
  } catch {
    // The server is busy or gone: ask again.
  }
  setTimeout(waitForChapter, 2000);
}

document$.subscribe(() => {
  for (const [selector, name] of Object.entries(SCROLLING)) letScroll(selector, name);
  // The buttons beside a listing are not navigation, whatever Material calls them.
  for (const buttons of document.querySelectorAll(".md-code__nav")) {
    buttons.setAttribute("role", "none");
  }
  playFilms();
  for (const exhibit of document.querySelectorAll(".exhibit")) exhibits.observe(exhibit);
  if (document.querySelector("[data-pending]")) setTimeout(waitForChapter, 2000);
});
