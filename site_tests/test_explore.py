"""What holds for every exhibit: it comes when it is wanted, and is a picture until then."""

import pytest

CHAPTERS = {
    "latent_plane": "learn/latent_spaces/",
    "schedules": "learn/noise_and_signal/",
    "diffusion_lab": "learn/diffusion_from_the_equations/",
    "flower_painter": "learn/flowers_from_noise/",
}
# What comes after the script, and is waited for.
SECOND = {
    "latent_plane": "*.json",
    "schedules": "*.json",
    "diffusion_lab": "worker.js",
    "flower_painter": "model.json",
}

pytestmark = pytest.mark.parametrize("name", CHAPTERS)


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    yield page
    page.close()


def status(page):
    return page.locator(".exhibit-status")


def test_a_chapter_loads_its_exhibit_when_the_reader_comes_near(page, root, name):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(root + CHAPTERS[name])
    page.wait_for_timeout(500)
    assert [url for url in asked if "/explore/" in url and not url.endswith((".png", ".svg"))] == []
    page.locator(".exhibit").scroll_into_view_if_needed()
    page.locator(".exhibit[data-awake]").wait_for()


def test_a_page_without_an_exhibit_loads_none(page, root, name):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(root + "learn/samplers/")
    page.wait_for_timeout(500)
    assert [url for url in asked if f"/explore/{name}" in url] == []


def test_nothing_moves_when_an_exhibit_wakes(page, root, name):
    held = []
    page.route("**/exhibit.js", lambda route: held.append(route))
    page.goto(f"{root}explore/{name}/")
    page.wait_for_timeout(500)

    def heights():
        return page.evaluate(
            "() => [...document.querySelectorAll('.exhibit > *, .exhibit ~ *')]"
            ".map(one => one.getBoundingClientRect().top)"
        )

    before = heights()
    held[0].continue_()
    page.locator(".exhibit[data-awake]").wait_for()
    page.wait_for_timeout(1000)  # What workers answer comes later.
    assert heights() == pytest.approx(before, abs=1)


def test_without_scripts_it_is_a_still_picture_that_is_explained(browser, root, name):
    page = browser.new_page(java_script_enabled=False)
    page.goto(f"{root}explore/{name}/")
    picture = page.locator(".exhibit img").first
    picture.scroll_into_view_if_needed()
    assert picture.is_visible()
    assert picture.get_attribute("alt")
    assert page.locator(".exhibit noscript p").is_visible()
    controls = page.locator(".exhibit :is(button, canvas, input, label, legend)")
    assert not any(one.is_visible() for one in controls.all())
    page.close()


@pytest.mark.parametrize("lost", [dict.fromkeys(SECOND, "exhibit.js"), SECOND])
def test_a_failed_download_ends_in_a_sentence(page, root, name, lost):
    page.route(f"**/{name}/{lost[name]}", lambda route: route.abort())
    page.goto(f"{root}explore/{name}/")
    status(page).get_by_text("could not be loaded").wait_for()
    assert page.locator(".exhibit img").first.is_visible()
    assert page.locator(".exhibit button").first.is_disabled()


def test_a_missing_file_ends_in_a_sentence(page, root, name):
    page.route(f"**/{name}/{SECOND[name]}", lambda route: route.fulfill(status=404))
    page.goto(f"{root}explore/{name}/")
    status(page).get_by_text("could not be loaded").wait_for()


def test_a_slow_download_says_so_and_ends_well(page, root, name):
    held = []
    page.route(f"**/{name}/{SECOND[name]}", lambda route: held.append(route))
    page.goto(f"{root}explore/{name}/")
    status(page).get_by_text("Loading").wait_for()
    held[0].continue_()
    page.locator(".exhibit[data-awake]").wait_for()
    assert status(page).inner_text() == ""


def test_what_others_keep_in_the_address_stays(run_module, name):
    run = run_module("explore/state.js")
    assert run(
        """async ({ readState, writeState }, name) => {
            history.replaceState(null, "", `?other=1&${name}.a=0#place`);
            writeState(name, { b: "1,2" });
            writeState(name, { b: "1,-2" });
            await new Promise(done => setTimeout(done, 400));
            return [location.search, location.hash, readState(name), readState("no")];
        }""",
        name,
    ) == [f"?other=1&{name}.b=1,-2", "#place", {"b": "1,-2"}, {}]
