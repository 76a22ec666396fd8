"""What holds for every page of the site, in both palettes, on phones and on wide screens."""

import pytest
from visits import WIDTHS

CHAPTER_BYTES = 1_500_000
GALLERY_BYTES = 3_000_000
FILM_BYTES = 300_000


def test_no_rule_of_accessibility_is_broken(seen):
    assert {how: found for how, found in seen.violations.items() if found} == {}


def test_nothing_is_an_error_on_the_console(seen):
    assert seen.errors == []


def test_nothing_is_asked_of_another_host(seen, root):
    assert [url for url in seen.requests if not url.startswith((root, "data:"))] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_its_window(seen, width):
    assert seen.overflow[width] == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_the_letters_of_every_figure_can_be_read(seen, width):
    assert seen.too_small[width] == []


def test_nothing_moves_while_a_page_is_read(seen):
    assert seen.shift < 0.01


def test_a_page_is_light(seen, address):
    most = GALLERY_BYTES if "gallery" in address else CHAPTER_BYTES
    assert sum(seen.bytes.values()) <= most


def test_every_picture_tells_its_size_before_it_comes(seen):
    assert [image["source"] for image in seen.images if 0 in image["size"]] == []


def test_no_picture_is_distorted_or_missing(seen):
    def is_wrong(image):
        (width, height), (wide, high) = image["size"], image["natural"]
        return image["shown"] and abs(width * high - height * wide) > 0.01 * width * high + wide

    assert [image for image in seen.images if is_wrong(image)] == []


def test_pictures_below_the_fold_wait(seen):
    assert [i["source"] for i in seen.images if i["below"] and not i["lazy"]] == []


def test_every_formula_is_drawn(seen):
    assert all(width > 0 for width in seen.formulas)


def test_films_have_buttons_and_wait_to_be_asked(seen):
    for film in seen.films:
        assert film["buttons"]
        assert film["silent"]
        assert film["waits"]
        assert film["poster"]
        assert film["name"]
        assert 0 not in film["size"]


def test_films_are_light(seen, site, address):
    folder = site / address
    for film in seen.films:
        assert (folder / film["source"]).stat().st_size <= FILM_BYTES


def test_what_can_be_clicked_takes_the_focus(seen):
    assert seen.unreachable == []


def test_no_page_loads_the_search_index(seen):
    assert [url for url in seen.requests if "search_index" in url] == []


def test_the_skip_link_leads_past_the_menus(seen, address):
    if address != "404.html":  # Without a text there is nothing to skip to.
        assert seen.skip_link == "Skip to content"
