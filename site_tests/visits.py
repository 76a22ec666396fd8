"""One visit to a page: all that the laws want to know, gathered while it is open once."""

from dataclasses import dataclass, field

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page

WIDTHS = (1440, 768, 360)

# The sum of all layout shifts so far, and when the first text or picture appeared.
SHIFTS = """() => new Promise(answer => {
    let sum = 0;
    const observer = new PerformanceObserver(list => {
        for (const entry of list.getEntries()) sum += entry.hadRecentInput ? 0 : entry.value;
    });
    observer.observe({ type: "layout-shift", buffered: true });
    setTimeout(() => { observer.disconnect(); answer(sum); }, 50);
})"""
TIMES = """() => {
    const [paint] = performance.getEntriesByName("first-contentful-paint");
    const [navigation] = performance.getEntriesByType("navigation");
    return [paint?.startTime ?? NaN, navigation.loadEventEnd];
}"""
# Bytes on the wire, headers included.
BYTES = """() => ["navigation", "resource"].flatMap(type => performance.getEntriesByType(type))
    .map(entry => [entry.name, entry.transferSize])"""
IMAGES = """() => [...document.images].map(image => ({
    source: image.getAttribute("src"),
    below: image.getBoundingClientRect().top + scrollY > innerHeight,
    lazy: image.loading == "lazy",
    size: [image.getAttribute("width"), image.getAttribute("height")].map(Number),
    natural: [image.naturalWidth, image.naturalHeight],
    shown: image.checkVisibility(),
}))"""
# Figures that are shown narrower than their letters can be read.
TOO_SMALL = """() => [...document.images].filter(image => image.checkVisibility()
    && image.width < parseFloat(image.style.getPropertyValue("--narrowest")) - 1)
    .map(image => image.getAttribute("src"))"""
FILMS = """() => [...document.querySelectorAll("video")].map(film => ({
    source: film.getAttribute("src"),
    size: [film.getAttribute("width"), film.getAttribute("height")].map(Number),
    buttons: film.controls, silent: film.muted, waits: film.preload == "none",
    poster: film.poster != "", name: film.getAttribute("aria-label"),
}))"""
# What can be clicked and is in sight, but takes no focus.
UNREACHABLE = """() => [...document.querySelectorAll("a[href], button, summary, input, select")]
    .filter(one => one.tabIndex < 0 && one.checkVisibility({
        opacityProperty: true, visibilityProperty: true }))
    .map(one => one.outerHTML.slice(0, 100))"""
FORMULAS = """() => [...document.querySelectorAll(".formula")]
    .filter(one => one.checkVisibility())
    .map(one => one.querySelector("math")?.getBoundingClientRect().width ?? 0)"""
# A screen at a time, as a reader goes through a page, so that lazy pictures come.
SCROLL = """async () => {
    for (let top = 0; top < document.body.scrollHeight; top += innerHeight) {
        scrollTo(0, top);
        await new Promise(requestAnimationFrame);
    }
    const pictures = [...document.images].filter(image => image.checkVisibility());
    await Promise.all(pictures.map(image => image.decode().catch(() => {})));
    scrollTo(0, 0);
}"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
# A word of a listing looks like the next of its kind. One of each is enough for axe, which takes
# three times as long for all.
THIN_OUT = """() => {
    const kinds = new Set();
    for (const word of document.querySelectorAll("pre span")) {
        const kind = word.className + word.closest(".output, details, article").tagName;
        if (kinds.has(kind)) word.replaceWith(...word.childNodes);
        kinds.add(kind);
    }
    for (const listing of document.querySelectorAll("pre")) listing.normalize();
}"""
# Colours fade in when the palette or the layout changes: they count when they have arrived.
AXE = """async () => {
    await new Promise(requestAnimationFrame);
    await Promise.all(document.getAnimations().filter(one => one instanceof CSSTransition)
        .map(one => one.finished.catch(() => {})));
    return (await axe.run({ resultTypes: ["violations"] })).violations.flatMap(
    rule => rule.nodes.map(node => `${rule.id}: ${node.target} ${node.any[0]?.message ?? ""}`));
}"""


@dataclass
class Visit:
    """What one look at a page gave."""

    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    violations: dict[str, list[str]] = field(default_factory=dict)
    overflow: dict[int, int] = field(default_factory=dict)
    too_small: dict[int, list[str]] = field(default_factory=dict)
    images: list[dict] = field(default_factory=list)
    films: list[dict] = field(default_factory=list)
    formulas: list[float] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    skip_link: str = ""
    bytes: dict[str, int] = field(default_factory=dict)
    first_paint: float = 0
    load: float = 0
    shift: float = 0


def visit(browser: Browser, url: str) -> Visit:
    """Open a page, read it to its end, turn the light out, and make the window small."""
    seen = Visit()
    page = browser.new_page(viewport={"width": WIDTHS[0], "height": 900}, color_scheme="light")
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("console", lambda line: line.type == "error" and seen.errors.append(line.text))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.goto(url)
    page.evaluate(SCROLL)
    seen.first_paint, seen.load = page.evaluate(TIMES)
    seen.shift = page.evaluate(SHIFTS)
    seen.images = page.evaluate(IMAGES)
    seen.films = page.evaluate(FILMS)
    seen.formulas = page.evaluate(FORMULAS)
    seen.unreachable = page.evaluate(UNREACHABLE)
    seen.bytes = dict(page.evaluate(BYTES))
    page.evaluate(AXE_SCRIPT)
    page.evaluate(THIN_OUT)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        seen.overflow[width] = page.evaluate(OVERFLOW)
        seen.too_small[width] = page.evaluate(TOO_SMALL)
    seen.violations["light, 360 pixels"] = page.evaluate(AXE)
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    seen.violations["dark, 1440 pixels"] = page.evaluate(AXE)
    seen.skip_link = where_the_skip_link_leads(page)
    page.close()
    return seen


def where_the_skip_link_leads(page: Page) -> str:
    """What the first Tab offers, if Enter and Tab then lead into the text."""
    page.keyboard.press("Tab")
    offered = page.locator(":focus")
    if "md-skip" not in offered.get_attribute("class"):
        return ""
    text = offered.inner_text()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    in_the_text = page.evaluate("() => document.activeElement.closest('article') != null")
    return text if in_the_text else ""
