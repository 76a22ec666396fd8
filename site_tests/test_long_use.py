"""An exhibit that is played with for long needs no more memory than in the beginning."""

import pytest

ROUNDS, ACTIONS = 4, 120
# What a reader may do with whatever is there, drawn by chance: the same in every run.
PLAY = """async ([seed, actions, pause]) => {
    let state = seed;
    const below = count => {
        state = (state * 1664525 + 1013904223) % 2 ** 32;
        return Math.floor(state / 2 ** 32 * count);
    };
    const tell = (one, ...names) => {
        for (const name of names) one.dispatchEvent(new Event(name, { bubbles: true }));
    };
    const draw = canvas => {
        const box = canvas.getBoundingClientRect();
        for (const name of ["pointerdown", "pointermove", "pointermove", "pointerup"])
            canvas.dispatchEvent(new PointerEvent(name, {
                bubbles: true, pointerId: 1, isPrimary: true, buttons: 1,
                clientX: box.left + box.width * below(100) / 100,
                clientY: box.top + box.height * below(100) / 100,
            }));
    };
    const use = one => {
        if (one.matches("canvas")) return draw(one);
        if (one.matches("button, [type=checkbox], [type=radio]")) return one.click();
        if (one.matches("select")) one.selectedIndex = below(one.options.length);
        if (one.matches("[type=range], [type=number]")) {
            const low = +one.min || 0, high = +one.max || 100;
            one.value = low + (high - low) * below(101) / 100;
        }
        tell(one, "input", "change");
    };
    for (let action = 0; action < actions; action++) {
        const found = document.querySelectorAll(".exhibit :is(button, select, input, canvas)");
        const usable = [...found].filter(
            one => one.offsetParent && !one.disabled && one.type !== "file"
        );
        use(usable[below(usable.length)]);
        await new Promise(done => setTimeout(done, pause));
    }
}"""


# One thing that is kept for every action would be hundreds.
MOST = {"megabytes": 0.25, "Nodes": 60, "JSEventListeners": 20}
# What is shown takes memory, too: as much as at first when all settings are what they were.
RESET = """() => {
    for (const one of document.querySelectorAll(".exhibit :is(select, input)")) {
        if (one.type === "file") continue;
        if (one.matches("select")) one.selectedIndex = 0;
        else if (one.matches("[type=checkbox], [type=radio]")) one.checked = one.defaultChecked;
        else one.value = one.defaultValue;
        for (const name of ["input", "change"])
            one.dispatchEvent(new Event(name, { bubbles: true }));
    }
}"""


class Measured:
    """A page whose memory is measured, with what is no longer needed cleared away."""

    def __init__(self, page):
        self.page = page
        self.errors = []
        page.on("pageerror", lambda error: self.errors.append(error))
        self.session = page.context.new_cdp_session(page)
        self.session.send("Performance.enable")

    def memory(self):
        """Megabytes of objects and buffers, and how many nodes and listeners there are."""
        self.page.evaluate(RESET)
        for _ in range(3):
            self.page.wait_for_timeout(500)
            self.session.send("HeapProfiler.collectGarbage")
        found = self.session.send("Performance.getMetrics")["metrics"]
        found = {one["name"]: one["value"] for one in found}
        sizes = self.session.send("Runtime.getHeapUsage")
        sizes = [sizes[f"{kind}Size"] for kind in ("used", "embedderHeapUsed", "backingStorage")]
        return found | {"megabytes": sum(sizes) / 1e6}


@pytest.mark.parametrize(
    ("name", "pause"),
    [("diffusion_lab", 20), ("flower_painter", 20), ("latent_plane", 10), ("schedules", 10)],
)
def test_long_use_leaks_no_memory(browser, root, name, pause):
    page = browser.new_page()
    measured = Measured(page)
    page.goto(f"{root}explore/{name}/")
    page.locator(".exhibit[data-awake]").wait_for()
    if name == "flower_painter":
        page.locator(".exhibit-primary", has_text="Download").click()
        page.locator(".painter-time", has_text="Painted").wait_for()
    rounds = []
    for seed in range(ROUNDS):
        page.evaluate(PLAY, [seed, ACTIONS, pause])
        rounds.append(measured.memory())
    # The first round loads what is loaded when it is first asked for.
    _, before, *later = rounds
    growth = {what: min(one[what] for one in later) - before[what] for what in MOST}
    assert all(growth[what] <= MOST[what] for what in MOST), growth
    assert len(page.workers) <= 3
    assert measured.errors == []
    page.close()
