"""The page on a telephone, by finger, and what assistive technology is told of it."""

from itertools import pairwise

import pytest

from browsers import browser as browser  # the fixture
from browsers import needs_browser

pytestmark = needs_browser
SEVEN = [(0.25, 0.2), (0.5, 0.2), (0.75, 0.2), (0.62, 0.45), (0.5, 0.65), (0.42, 0.85)]
SMALLEST_TARGET = 24
"""Pixels of a control in either direction (WCAG 2.2, 2.5.8)."""


@pytest.fixture(scope="module")
def phone(browser, written):
    """The page on a small screen that is touched."""
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, device_scale_factor=3, is_mobile=True, has_touch=True
    )
    page = context.new_page()
    page.goto(written.path.as_uri())
    page.wait_for_selector("body[data-answered]")
    yield page
    context.close()


@pytest.fixture(scope="module")
def finger(phone):
    """Moves a finger over points of the screen, as the browser is told of a real one."""
    session = phone.context.new_cdp_session(phone)

    def move(points):
        for kind, place in zip(["touchStart", *["touchMove"] * (len(points) - 1)], points, strict=True):
            touched = [{"x": place[0], "y": place[1]}]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    return move


def place_of(page, selector):
    page.locator(selector).scroll_into_view_if_needed()
    return page.locator(selector).bounding_box()


def test_a_finger_draws_and_the_page_stays_where_it_is(phone, finger):
    phone.tap("#tab-draw")
    before = phone.get_attribute("body", "data-answered")
    box = place_of(phone, "#pad")
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    scrolled = phone.evaluate("scrollY")
    finger([(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in SEVEN])
    phone.wait_for_selector(f"body[data-answered]:not([data-answered='{before}'])")
    assert phone.evaluate("scrollY") == scrolled
    said = [text.split()[0] for text in phone.locator(".network .said").all_inner_texts()]
    assert len(said) == 3
    assert all(text.isdigit() for text in said)
    rows = phone.evaluate(
        "(() => { const levels = Drawing.read().pixels; return [...Array(28).keys()].filter((y) =>"
        " levels.slice(28 * y, 28 * y + 28).some((level) => level > 100)).length; })()"
    )
    assert rows > 12  # the line went all the way
    phone.tap("#clear")
    phone.locator("#agreement", has_text="Draw something").wait_for()


def test_a_finger_beside_the_pad_scrolls(phone, finger):
    phone.evaluate("scrollTo(0, 0)")
    finger([(180, 700 - 40 * step) for step in range(8)])
    phone.wait_for_function("scrollY > 100")


def test_a_network_opens_by_a_tap_and_a_stage_shows_its_maps(phone):
    phone.tap("#tab-gallery")
    phone.locator("#gallery button").first.tap()
    phone.locator(".network button").last.tap()
    phone.locator(".walk h3", has_text="resnet(depth=8)").wait_for()
    phone.locator(".stage").nth(1).tap()
    phone.locator(".detail canvas").first.wait_for()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
    walk = phone.locator(".walk .stage").last  # the row of stages scrolls by itself
    walk.scroll_into_view_if_needed()
    assert walk.bounding_box()["x"] < 360


def test_every_control_is_large_enough_for_a_finger(phone):
    small = phone.evaluate(
        """(least) => [...document.querySelectorAll("button, select, summary, label, input[type=range]")]
          .map((control) => [control, control.getBoundingClientRect()])
          .filter(([control, box]) => box.width && (box.width < least || box.height < least))
          .map(([control, box]) => `${control.outerHTML.slice(0, 60)} ${box.width}×${box.height}`)""",
        SMALLEST_TARGET,
    )
    assert small == [], small


ROLES = {"button", "checkbox", "combobox", "slider", "switch", "tab", "image", "img", "table", "tabpanel"}


def test_the_accessibility_tree_names_every_control_picture_and_table(phone):
    """As the browser computes it: what a screen reader says."""
    session = phone.context.new_cdp_session(phone)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    known = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and "role" in node
    ]
    assert {"button", "tab", "table", "image", "combobox"} <= {role for role, _ in known}
    assert [role for role, name in known if role in ROLES and not name.strip()] == []
    rows = [name for role, name in known if role == "rowheader"]
    assert rows.count("3") >= 3  # a class in the bars of each network and of the vote


def test_a_page_has_one_title_headings_without_gaps_and_no_id_twice(phone):
    levels = phone.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map((one) => Number(one.tagName[1]))")
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = phone.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))
    assert phone.evaluate("document.documentElement.lang") == "en"
