"""The page of a study that trains, in a real browser: it finds its own news, and its reader finds his place again."""

from pathlib import Path

import pytest
from test_live import epoch

from browsers import browser as browser  # the fixture
from browsers import lines, needs_browser, opened
from convarium.analysis.comparison import compare_runs
from convarium.pages import write_report
from convarium.pages.study_status import RunInProgress, StudyStatus
from convarium.recipes.recipe import Recipe
from made_studies import made_study

pytestmark = needs_browser

TRAINING = StudyStatus(
    2, 4, (RunInProgress(Recipe(model="residual_cnn", epochs=12), (epoch(1), epoch(2))),), reload_seconds=3
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    levels = {"lenet": 0.9, "residual_cnn": 0.97}
    return made_study(tmp_path_factory.mktemp("study"), levels, seeds=2, epochs=12)


@pytest.fixture
def report(study, tmp_path) -> Path:
    """The page as it is when the runs of the first network have ended, and the second trains."""
    half = compare_runs(study.rows[0].runs, question=study.question, command=study.command)
    return write_report(half, tmp_path / "report.html", status=TRAINING)


class followed(opened):  # noqa: N801  used like a function
    """`opened`, where nothing but the page itself may be asked for, as often as it likes."""

    def __exit__(self, kind, *rest):
        self.context.close()
        if kind is None:
            assert not self.complaints
            assert set(self.requests) == {self.report.as_uri()}


def mark(page) -> None:
    """Marks the page that is open, to know it from itself loaded again."""
    page.evaluate("window.marked = true")


def is_marked(page, seconds: float) -> bool:
    """Whether the same page is still open after some seconds."""
    page.wait_for_timeout(1000 * seconds)
    return page.evaluate("window.marked === true")


def test_the_open_page_shows_what_was_written_after_it_was_opened(browser, study, report):
    with followed(browser, report) as page:
        assert (
            "2 of 4 runs finished; residual_cnn, seed 0: epoch 2 of 12." in page.locator("#study-status").inner_text()
        )
        assert page.locator("#results tbody tr").count() == 1
        assert lines(page) == 2  # the network that is finished, and the one that trains
        write_report(study, report)
        page.wait_for_selector("#results tbody tr:nth-child(2)", timeout=20_000)
        assert page.locator("#study-status").count() == 0
        mark(page)
        assert is_marked(page, seconds=4)  # a finished page rests


def test_a_reader_finds_his_place_and_his_switches_again(browser, study, report):
    with followed(browser, report) as page:
        page.locator("#log").check()
        page.locator("#smoothing").press("End")
        smoothed = page.locator("#smoothed").inner_text()
        assert smoothed != "none"
        page.locator("#curves .legend button[data-label=residual_cnn]").click()
        page.locator("#results th", has_text="test, %").locator("button").click()
        page.locator("summary", has_text="The runs, one by one").click()
        page.evaluate("document.getElementById('curves-title').scrollIntoView()")
        place, scrolled = page.locator("#curves-title").bounding_box()["y"], page.evaluate("scrollY")
        write_report(study, report)
        page.wait_for_function("document.querySelectorAll('#results tbody tr').length === 2", timeout=20_000)
        page.wait_for_function("history.state === null")  # all is drawn and put back
        assert abs(page.locator("#curves-title").bounding_box()["y"] - place) < 2
        assert page.evaluate("scrollY") > scrolled + 20  # the table above has a row more
        assert page.locator("#log").is_checked()
        assert page.locator("#smoothing").input_value() == "21"
        assert page.locator("#smoothed").inner_text() == smoothed
        assert page.locator(".legend button[aria-pressed=false]").first.get_attribute("data-label") == "residual_cnn"
        assert lines(page) == 1
        assert page.locator("#results th", has_text="test, %").get_attribute("aria-sort") == "ascending"
        assert page.locator("details[open] > summary").all_inner_texts() == ["The runs, one by one"]


def test_a_page_is_not_loaded_again_under_the_hands_of_its_reader(browser, report):
    with followed(browser, report) as page:
        page.locator("#pause").click()
        mark(page)
        assert is_marked(page, seconds=4.5)  # it looks for news 3 s after the last move
        page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
        page.locator("#pause").press("Enter")
        assert is_marked(page, seconds=4.5)
        page.evaluate("getSelection().removeAllRanges()")
        page.wait_for_function("window.marked === undefined", timeout=20_000)


def test_a_page_that_nobody_sees_is_not_loaded_again(browser, report):
    with followed(browser, report) as page:
        page.evaluate("Object.defineProperty(document, 'visibilityState', {get: () => window.seen ?? 'hidden'})")
        mark(page)
        assert is_marked(page, seconds=4.5)
        page.evaluate("window.seen = 'visible'")
        page.wait_for_function("window.marked === undefined", timeout=20_000)


def test_without_scripts_the_page_is_loaded_again_too(browser, study, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    soon = StudyStatus(2, 4, reload_seconds=1)
    write_report(study, report, status=soon)
    page.goto(report.as_uri())
    assert page.locator("#study-status").count() == 1
    write_report(study, report)
    page.locator("#study-status").wait_for(state="detached", timeout=20_000)
    context.close()
