"""What moves: films, pages that are not done yet, and the reader from page to page."""

import time

import pytest

PAUSED = "film => film.paused"


@pytest.fixture
def film_page(site):
    """A page with a film."""
    for path in sorted(site.rglob("index.html")):
        if 'class="film"' in path.read_text("utf-8"):
            return path.parent.relative_to(site).as_posix() + "/"
    pytest.skip("no page has a film")


def film_in_view(browser, url, **options):
    page = browser.new_page(**options)
    page.goto(url)
    film = page.locator(".film video").first
    film.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    return film


def test_a_film_plays_in_view_and_rests_out_of_view(browser, root, film_page):
    film = film_in_view(browser, root + film_page)
    assert not film.evaluate(PAUSED)
    film.page.evaluate("() => scrollTo(0, 0)")
    film.page.wait_for_timeout(300)
    assert film.evaluate(PAUSED)
    film.page.close()


def test_a_stopped_film_stays_stopped(browser, root, film_page):
    film = film_in_view(browser, root + film_page)
    film.evaluate("film => film.pause()")
    film.page.evaluate("() => scrollTo(0, 0)")
    film.page.wait_for_timeout(300)
    film.scroll_into_view_if_needed()
    film.page.wait_for_timeout(500)
    assert film.evaluate(PAUSED)
    film.page.close()


def test_no_film_plays_for_who_wants_no_motion(browser, root, film_page):
    film = film_in_view(browser, root + film_page, reduced_motion="reduce")
    assert film.evaluate(PAUSED)
    film.page.close()


def test_a_page_that_is_being_computed_shows_itself_when_it_is_done(browser, root, site):
    text = (site / "index.html").read_text("utf-8")
    pending = text.replace("<h1", "<div data-pending>Soon.</div><h1", 1)
    answers = [pending, pending]
    page = browser.new_page()
    page.route(
        root,
        lambda route: route.fulfill(
            body=answers.pop(0) if answers else text, content_type="text/html"
        ),
    )
    page.goto(root)
    assert page.locator("[data-pending]").count() == 1
    page.wait_for_function("() => !document.querySelector('[data-pending]')", timeout=20_000)
    page.close()


def test_a_finished_page_asks_for_itself_once(browser, root):
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: request.url == root and asked.append(time.monotonic()))
    page.goto(root)
    page.wait_for_timeout(2500)
    assert len(asked) == 1
    page.close()


def test_formulas_are_there_after_clicks_through_the_site(browser, root):
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(root)
    page.get_by_label("Tabs").get_by_text("Learn").click()
    page.get_by_role("article").get_by_role("link", name="Noise and signal").click()
    page.wait_for_url("**/noise_and_signal/")
    assert page.locator("math").first.is_visible()
    page.close()
