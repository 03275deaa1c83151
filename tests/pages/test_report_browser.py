"""The report in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsers import browser as browser  # the fixture
from browsers import lines, needs_browser, opened
from convarium.pages import as_csv, as_latex, as_markdown, write_report
from made_studies import made_study

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_browser


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    levels = {"lenet": 0.9, "memory_mlp": 0.8, "residual_cnn": 0.97, "googlenet": None}
    return made_study(tmp_path_factory.mktemp("study"), levels, epochs=12)


@pytest.fixture(scope="module")
def report(study, tmp_path_factory) -> Path:
    return write_report(study, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture
def page(browser, report) -> Iterator["Page"]:
    """The page, drawn; afterwards nothing may have been complained about or asked for."""
    with opened(browser, report) as page:
        yield page


def first_line(page: "Page") -> str | None:
    """How the last line of the first panel is drawn."""
    return page.locator("figure.curve").first.locator("g.mark-line path").last.get_attribute("d")


def changed(page: "Page", old: str | None) -> None:
    """Waits until `first_line` is drawn in another way."""
    line = "[...document.querySelector('figure.curve').querySelectorAll('g.mark-line path')].at(-1)?.getAttribute('d')"
    page.wait_for_function(f"old => {line} && {line} !== old", arg=old)


def test_all_charts_are_drawn_as_svg(page):
    assert page.locator("figure.chart").count() == page.locator("figure.chart svg.marks").count() > 8
    assert page.locator("canvas").count() == 0


def test_the_diagonal_of_calibration_is_drawn(page):
    dotted = page.locator("figure[data-chart=calibration] path[stroke-dasharray='2,3']")
    assert dotted.count() == 1
    assert re.fullmatch(r"M[\d.,]+L[\d.,]+", dotted.get_attribute("d"))


def test_clicking_the_legend_hides_a_network_everywhere_and_shows_it_again(page):
    button = page.locator("#curves .legend button").first
    before = lines(page)
    dots = page.locator("figure[data-chart='cost/parameters'] g.mark-symbol path").count()
    button.click()
    page.wait_for_function(
        f"document.querySelectorAll('figure[data-chart=\"cost/parameters\"] g.mark-symbol path').length < {dots}"
    )
    assert lines(page) == before - 1
    assert {b.get_attribute("aria-pressed") for b in page.locator(".legend button[data-label=lenet]").all()} == {
        "false"
    }
    button.press("Enter")  # by keyboard
    page.wait_for_function(
        f"document.querySelectorAll('figure[data-chart=\"cost/parameters\"] g.mark-symbol path').length === {dots}"
    )
    assert lines(page) == before


def test_hidden_networks_stay_hidden_when_the_curves_are_drawn_anew(page):
    before = lines(page)
    page.locator("#curves .legend button").first.click()
    path = first_line(page)
    page.locator("#smoothing").press("End")
    changed(page, path)
    assert lines(page) == before - 1


def test_table_sorts_by_click_and_by_keyboard(page):
    heading = page.locator("#results th", has_text="test, %")
    names = page.locator("#results tbody th")
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert names.all_inner_texts() == ["memory_mlp", "lenet", "residual_cnn", "googlenet"]
    heading.locator("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    assert names.all_inner_texts() == ["residual_cnn", "lenet", "memory_mlp", "googlenet"]  # the unknown stays last
    page.locator("#results th button").first.press("Space")
    assert names.all_inner_texts() == ["googlenet", "lenet", "memory_mlp", "residual_cnn"]
    assert heading.get_attribute("aria-sort") == "none"


def test_buttons_copy_the_table(page, study):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for what, text in (("markdown", as_markdown(study)), ("csv", as_csv(study)), ("latex", as_latex(study))):
        page.locator(f"[data-copy={what}]").click()
        page.locator("#copied", has_text=f"{what} copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == text
    page.locator("[data-copy=command]").click()
    page.locator("#copied", has_text="command copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == study.command


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [380, 768, 1600])
def test_no_horizontal_scroll_in_any_width(browser, report, width, scheme):
    with opened(browser, report, width, scheme) as page:
        for details in page.locator("details.plain").all():
            details.locator("summary").first.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for chart in page.locator(".charts > figure.chart").all():
            box = chart.bounding_box()
            assert box["x"] + box["width"] <= width


def test_text_takes_the_color_of_the_scheme(browser, report):
    colors = {}
    for scheme in ("light", "dark"):
        with opened(browser, report, 1280, scheme) as page:
            label = page.locator("figure.curve g.role-axis-label text").first
            colors[scheme] = label.evaluate("text => getComputedStyle(text).fill")
            assert colors[scheme] == page.evaluate("getComputedStyle(document.body).color")
    assert colors["light"] != colors["dark"]


def test_pointer_and_arrow_keys_read_the_curves(page):
    figure = page.locator("figure.curve").first
    figure.scroll_into_view_if_needed()
    box = figure.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    hover = page.locator("#hover")
    assert "lenet" in hover.inner_text()
    page.mouse.move(2, 2)
    assert hover.is_hidden()
    figure.focus()
    page.keyboard.press("ArrowRight")
    assert hover.inner_text().startswith("epoch 1")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert hover.inner_text().startswith("epoch 3")
    page.keyboard.press("ArrowLeft")
    assert hover.inner_text().startswith("epoch 2")


def test_switches_draw_by_step_in_logarithms_and_smoothed(page):
    seen = [first_line(page)]
    for act in (lambda: page.locator("#log").check(), lambda: page.locator("input[value=step]").check(),
                lambda: page.locator("#smoothing").press("End")):  # fmt: skip
        act()
        changed(page, seen[-1])
        seen.append(first_line(page))
    assert len(set(seen)) == 4
    assert page.locator("#smoothed").inner_text() == "over 25 points"


def test_choosing_a_network_changes_its_confusion_matrix(page):
    numbers = page.locator("figure[data-chart=confusion] g.mark-text text")
    before = numbers.all_text_contents()
    page.locator("select[data-of=confusion]").select_option("residual_cnn")
    page.wait_for_function("old => [...document.querySelectorAll('figure[data-chart=confusion] g.mark-text text')]"
                           ".map(t => t.textContent).join() !== old", arg=",".join(before))  # fmt: skip


def test_prints_to_a_pdf(page, tmp_path):
    page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.locator(".controls").first.is_hidden()
