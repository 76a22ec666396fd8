"""Whoever has no mouse gets everywhere, and sees where they are."""

import pytest

KINDS = [
    "",
    "learn/latent_spaces/",
    "explore/latent_plane/",
    "explore/schedules/",
    "explore/diffusion_lab/",
    "api/editing/",
]

# What has the focus, and whether it looks different from when it has not. The palette's switch
# shows that on the button beside it. In a field of text stands a caret, and a film's buttons are
# the browser's own.
LOOK = """() => {
    const one = document.activeElement;
    if (one === document.body) return null;
    const properties = ["outlineStyle", "outlineColor", "boxShadow", "backgroundColor", "color",
        "opacity", "borderColor", "textDecorationLine"];
    const look = () => [one, one.nextElementSibling ?? one].map(getComputedStyle)
        .flatMap(style => properties.map(property => style[property])).join();
    one.dataset.reached = "";
    if (one.matches("[type=text], video")) return [one.outerHTML, true];
    const focused = look();
    one.blur();
    const changed = look() != focused;
    one.focus();
    return [one.outerHTML.slice(0, 120), changed];
}"""
FOCUSABLE = "a[href], button, summary, input, select, video, [tabindex='0']"
# Of radio buttons, Tab reaches the chosen one, and arrows the others.
MISSED = f"""() => [...document.querySelectorAll("{FOCUSABLE}")]
    .filter(one => one.checkVisibility({{ opacityProperty: true, visibilityProperty: true }}))
    .filter(one => one.tabIndex >= 0 && !("reached" in one.dataset))
    .filter(one => one.type != "radio" || one.checked)
    .map(one => one.outerHTML.slice(0, 120))"""


@pytest.fixture
def page(browser, root):
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    yield page
    page.close()


@pytest.mark.parametrize("width", [1440, 360])
@pytest.mark.parametrize(
    "kind", KINDS, ids=["home", "chapter", "plane", "mixer", "lab", "reference"]
)
def test_tab_reaches_everything_and_shows_where_it_is(page, root, kind, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(root + kind)
    page.add_style_tag(content="* { transition: none !important; }")
    for exhibit in page.locator(".exhibit").all():
        exhibit.scroll_into_view_if_needed()
        page.locator(".exhibit[data-awake]").wait_for()
    page.evaluate("() => scrollTo(0, 0)")
    unseen, rounds = [], 0
    for _ in range(2000):
        page.keyboard.press("Tab")
        if (found := page.evaluate(LOOK)) is None:
            # After its last element a page loses the focus, and where `LOOK` has taken it and
            # could not give it back. The next Tab goes on from there.
            rounds += 1
            if rounds == 3 or not page.evaluate(MISSED):
                break
            continue
        name, changed = found
        if not changed:
            unseen.append(name)
    assert unseen == []
    assert page.evaluate(MISSED) == []


def test_the_menu_of_a_phone_opens_by_keyboard(page, root):
    page.set_viewport_size({"width": 360, "height": 900})
    page.goto(root)
    page.locator("label[title=Menu]").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.getElementById('__drawer').checked")


def test_search_is_one_key_away(page, root):
    page.goto(root)
    page.keyboard.press("/")
    assert page.evaluate("() => document.activeElement.name") == "query"
