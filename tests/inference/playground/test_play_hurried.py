"""The page when its reader is faster than it: what came last is what is shown, and nothing is lost."""

import pytest

from browsers import browser as browser  # the fixture
from browsers import needs_browser

pytestmark = needs_browser


@pytest.fixture(scope="module")
def page(browser, written):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, has_touch=True)
    page = context.new_page()
    page.goto(written.path.as_uri())
    page.wait_for_selector("body[data-answered]")
    yield page
    context.close()


def test_a_question_that_is_over_when_its_turn_comes_is_not_computed(page):
    found = page.evaluate(
        """async () => {
          const image = new Float32Array(784), isOver = [...Array(9).fill(true), false];
          const said = await Promise.all(isOver.map((over) => Engine.logits(0, image, [], () => over)));
          return said.map((logits) => logits === undefined ? null : logits.length);
        }"""
    )
    assert found == [None] * 9 + [10]


def test_an_answer_that_comes_after_all_was_cleared_is_not_explained(page):
    assert page.evaluate(
        """async () => {
          const asked = Answers.ask(Play.forms.map(() => new Float32Array(784)), null);
          Answers.clear();
          return [await asked, document.body.dataset.answered];
        }"""
    ) == [False, None]


# Opens pictures of these sizes; each takes as many milliseconds to be read as it has pixels in a row.
OPEN = """async (sizes) => {
  const Real = window.Image, source = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, "src");
  for (const size of sizes) {
    const blob = await new Promise((resume) => Pictures.canvas(size, size).toBlob(resume));
    window.Image = function () {
      const set = function (url) { setTimeout(() => source.set.call(this, url), size); };
      return Object.defineProperty(new Real(), "src", { set });
    };
    Playground.open(new File([blob], `${size}.png`, { type: "image/png" }));
  }
  window.Image = Real;
}"""
READ = "document.querySelectorAll('#steps canvas')[1].width"


def test_of_two_pictures_the_one_that_was_opened_last_stays(page):
    page.click("#tab-file")
    page.evaluate(OPEN, [150, 10])
    page.wait_for_timeout(250)
    assert page.evaluate(READ) == 10


def test_a_picture_that_is_read_after_its_tab_was_left_waits_there(page):
    page.click("#tab-file")
    page.evaluate(OPEN, [100])
    page.click("#tab-draw")
    page.wait_for_timeout(200)
    assert page.locator("#steps li").count() == 0
    page.click("#tab-file")
    assert page.evaluate(READ) == 100


def test_a_hand_that_touches_the_pad_does_not_end_the_stroke_of_a_finger(page):
    page.click("#tab-draw")
    page.set_checked("#center", checked=False, force=True)
    box = page.locator("#pad").bounding_box()
    session = page.context.new_cdp_session(page)

    def touch(kind, *points):
        touched = [
            {"id": i, "x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for i, (x, y) in points
        ]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})

    touch("touchStart", (1, (0.2, 0.2)))
    touch("touchStart", (1, (0.2, 0.2)), (2, (0.9, 0.9)))
    touch("touchEnd", (2, (0.9, 0.9)))
    touch("touchMove", (1, (0.5, 0.2)))
    touch("touchMove", (1, (0.8, 0.2)))
    touch("touchEnd")
    assert page.evaluate("Drawing.read().pixels.slice(28 * 5, 28 * 6).filter((value) => value > 128).length") > 12
