"""The report in a real browser."""

import itertools
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsers import browser as browser  # the fixture
from browsers import lines, needs_browser, opened
from convarium.analysis.comparison import compare_runs
from convarium.pages import as_csv, as_latex, as_markdown, write_report
from convarium.pages.chart_style import DARK_COLORS
from convarium.recipes.recipe import Recipe
from made_studies import made_run, made_study

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
    written = page.locator("figure.chart text").all_text_contents()
    assert any(text.endswith("\u00a0%") for text in written)  # as in the page's sentences
    assert not [text for text in written if re.search(r"\d%", text)]


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
    assert heading.get_attribute("aria-sort") == "descending"
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


LONG_NAMES = {
    "resnet(depth=20, shortcut='A')": 0.9,
    "resnet(depth=20, shortcut='B')": 0.88,
    "residual_variant(depth=20, shortcut='dropout')": 0.7,
    "densenet(depth=40, growth=12, compression=1.0)": 0.86,
    "preact_resnet(depth=20)": 0.84,
    "vgg(activation='leaky_relu')": None,
}


@pytest.fixture(scope="module")
def crowded(tmp_path_factory) -> Path:
    """Twelve networks of long names."""
    levels = LONG_NAMES | {f"plain(depth={depth}, activation='sigmoid')": 0.5 for depth in range(8, 44, 6)}
    folder = tmp_path_factory.mktemp("crowded")
    study = made_study(folder, levels, seeds=2, epochs=2, images=200, steps_an_epoch=5)
    return write_report(study, folder / "report.html")


WIDTHS = (380, 768, 1024, 1280, 1440, 1920)
FONTS = ("DejaVu Sans", "DejaVu Sans Mono", "Liberation Sans Narrow")


MEASURED = """() => [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument;
    const boxes = selector => [...page.querySelectorAll(selector)].map(element => {
        const [box, cell] = [element, element.closest("td")].map(part => part.getBoundingClientRect());
        return {left: box.left, right: box.right, cellLeft: cell.left, cellRight: cell.right};
    });
    const region = page.querySelector(".results-box .scroll").getBoundingClientRect();
    return {title: frame.title, width: frame.clientWidth, page: page.documentElement.scrollWidth, end: region.right,
            rows: page.querySelectorAll("#results tbody tr").length, verdicts: boxes("#results .verdict"),
            drawings: boxes("#results svg.plot")};
})"""


def test_the_verdict_is_seen_in_every_width_and_font(browser, report, crowded):
    """The first section of both pages in frames of every width: style sheets take a frame's width for the screen's."""
    frames = ""
    for file in (report, crowded):
        section = file.read_text("utf-8").partition("</section>")[0]
        for font in FONTS:
            styled = section.replace("</head>", f"<style>body {{ font-family: '{font}' !important; }}</style></head>")
            for width in WIDTHS:
                frames += (
                    f'<iframe title="{font}, {width} px, {file.parent.name}" width="{width}" height="900" '
                    f'style="border: 0" srcdoc="{escape(styled)}"></iframe>'
                )
    page = browser.new_page()
    page.set_content(frames)
    measured = page.evaluate(MEASURED)
    page.close()
    assert len(measured) == 2 * len(FONTS) * len(WIDTHS)
    for frame in measured:
        assert len(frame["verdicts"]) == frame["rows"] > 0
        assert frame["page"] <= frame["width"], frame["title"]
        for box in frame["verdicts"]:
            assert 0 <= box["left"] < box["right"], frame["title"]
            assert box["right"] <= min(box["cellRight"], frame["end"], frame["width"]) + 0.5, frame["title"]
        for box in frame["drawings"]:
            assert box["cellLeft"] <= box["left"] < box["right"] <= box["cellRight"], frame["title"]
            assert box["right"] - box["left"] >= 88, "large enough to read"


BROKEN = """() => [...document.querySelectorAll("table .whole, .legend .whole, .verdicts .whole")].flatMap(whole => {
    const walker = document.createTreeWalker(whole, NodeFilter.SHOW_TEXT), broken = [];
    while (walker.nextNode()) {
        const range = document.createRange();
        range.selectNode(walker.currentNode);
        const tops = [...range.getClientRects()].filter(box => box.width).map(box => Math.round(box.top));
        if (new Set(tops).size > 1) broken.push(range.toString());
    }
    return broken;
})"""


def test_a_phone_breaks_no_name_within_a_word_and_shows_a_long_legend_whole_on_request(browser, crowded):
    with opened(browser, crowded, 380) as page:
        assert page.locator("table .whole").count() > 12
        assert page.evaluate(BROKEN) == []
        legend, button = page.locator("#curves .legend"), page.locator("#curves .whole-legend")
        last = legend.locator("button").last
        cut = "element => element.scrollHeight > element.clientHeight + 1"
        assert legend.evaluate(cut)
        assert button.inner_text() == "all 12 networks"
        button.click()
        assert not legend.evaluate(cut)
        assert last.bounding_box()["y"] < button.bounding_box()["y"]
        assert (button.inner_text(), button.get_attribute("aria-expanded")) == ("fewer", "true")
        button.press("Enter")
        assert legend.evaluate(cut)
    with opened(browser, crowded, 1920) as page:
        assert page.locator(".whole-legend:visible").count() == 0


def test_a_phone_shows_four_columns_and_the_others_on_request(browser, report):
    with opened(browser, report, 380) as page:
        headings = page.locator("#results thead th:visible button")
        assert headings.all_inner_texts() == ["network", "test, %", "difference, points", "verdict"]
        page.get_by_label("more columns").check()
        assert headings.all_inner_texts()[4:] == [
            "validation, %",
            "seeds",
            "training, s",
            "parameters",
            "FLOPs",
            "images/s",
        ]
        box = page.locator(".results-box .scroll")
        box.evaluate("box => box.scrollTo(9999, 0)")
        assert page.locator("#results tbody th").first.bounding_box()["x"] == box.bounding_box()["x"]  # it stays
        assert page.evaluate("document.documentElement.scrollWidth") <= 380


def test_headings_explain_themselves_to_pointer_keyboard_and_touch(browser, report):
    with opened(browser, report) as page:
        heading = page.locator("#results thead button", has_text="FLOPs")
        explanation = page.get_by_role("tooltip")
        assert explanation.is_hidden()
        heading.hover()
        assert "multiply-add" in explanation.inner_text()
        distance = explanation.bounding_box()["y"] - heading.bounding_box()["y"]
        assert 0 < distance < 60
        page.mouse.move(2, 500)
        explanation.wait_for(state="hidden")
        page.locator("#results thead button").first.focus()
        page.keyboard.press("Tab")
        assert explanation.inner_text().startswith("Test accuracy")
        page.keyboard.press("Escape")
        assert explanation.is_hidden()
        described = page.evaluate(
            "id => document.getElementById(id).textContent", heading.get_attribute("aria-describedby")
        )
        assert "multiply-add" in described
    context = browser.new_context(viewport={"width": 380, "height": 900}, has_touch=True)
    page = context.new_page()
    page.goto(report.as_uri())
    page.locator("#results thead button", has_text="test, %").tap()
    assert page.get_by_role("tooltip").inner_text().startswith("Test accuracy")
    context.close()


def test_the_contents_lead_to_every_section_by_pointer_and_keyboard(page):
    links = page.locator("nav.contents a")
    ids = page.locator("main h2").evaluate_all("headings => headings.map(heading => '#' + heading.id)")
    assert links.evaluate_all("links => links.map(link => link.hash)") == ids
    bar = page.locator("nav.contents ul")
    assert bar.evaluate("bar => bar.scrollWidth <= bar.clientWidth"), "all of them are seen"
    links.nth(2).focus()
    page.keyboard.press("Enter")
    heading = page.locator("main h2").nth(2)
    bar = page.locator("nav.contents").bounding_box()
    assert bar["height"] - 1 <= heading.bounding_box()["y"] < 400  # not under the bar
    page.wait_for_function("document.querySelectorAll('nav.contents a')[2].ariaCurrent === 'true'")


@pytest.mark.parametrize("width", [1280, 1920])
def test_the_first_screen_holds_answer_and_table(browser, report, width):
    with opened(browser, report, width) as page:
        sizes = page.evaluate("['h1', '.answer', '.verdicts', '#results'].map(name => parseFloat(getComputedStyle("
                              "document.querySelector(name)).fontSize))")  # fmt: skip
        assert sizes == sorted(sizes, reverse=True)
        table = page.locator("#results").bounding_box()
        assert table["y"] + table["height"] <= 900


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


def all_lines(page: "Page") -> list[str | None]:
    """How the last line of each panel is drawn."""
    return [
        figure.locator("g.mark-line path").last.get_attribute("d")
        for figure in page.locator("figure.curve:not([hidden])").all()
    ]


def test_every_switch_acts_on_all_panels_but_logarithms_on_losses_alone(page):
    seen = [all_lines(page)]
    for act, panels in (
        (lambda: page.locator("input[value=step]").check(), [0, 1, 2, 3]),
        (lambda: page.locator("input[value=second]").check(), [0, 1, 2, 3]),
        (lambda: page.locator("#smoothing").press("End"), [0, 1, 2, 3]),
        (lambda: page.locator("#log").check(), [0, 1]),
    ):
        act()
        for i in panels:
            line = f"[...document.querySelectorAll('figure.curve')[{i}].querySelectorAll('g.mark-line path')].at(-1)"
            page.wait_for_function(f"old => {line} && {line}.getAttribute('d') !== old", arg=seen[-1][i])
        seen.append(all_lines(page))
        assert [i for i in range(4) if seen[-1][i] != seen[-2][i]] == panels
    assert page.locator("#smoothed").inner_text() == "over 3 seconds"  # a fifth of the axis, which ends at 15.3 s


def test_names_in_the_cost_charts_touch_no_point_no_line_and_no_other_name(browser, tmp_path):
    rates = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
    runs = [
        made_run(tmp_path, Recipe(learning_rate=rate, epochs=2, seed=seed), 0.85 + 0.01 * i,
                 parameters=20_000 * (i + 1) ** 2, seconds=5.0 * (i + 1) + seed)
        for i, rate in enumerate(rates) for seed in range(2)
    ]  # fmt: skip
    report = write_report(compare_runs(runs, by="learning_rate"), tmp_path / "report.html")
    boxes_of = "(all) => all.map((one) => one.getBoundingClientRect().toJSON())"
    with opened(browser, report, 380) as page:
        for cost in ("parameters", "flops", "train_seconds"):
            chart = page.locator(f"figure[data-chart='cost/{cost}']")
            texts = chart.locator("g.mark-text.role-mark text").evaluate_all(boxes_of)
            assert len(texts) == len(rates)
            dots = chart.locator("g.mark-symbol path").evaluate_all(boxes_of)
            rules = chart.locator("g.mark-rule.role-mark line").evaluate_all(boxes_of)
            upright = [rule for rule in rules if rule["width"] < 2]  # of a slanted leader the box is not the line
            for one, other in itertools.combinations(texts, 2):
                assert not touch(one, other)
            assert not any(touch(text, other) for text in texts for other in dots + upright)
            plot = chart.bounding_box()
            assert all(text["left"] >= plot["x"] and text["right"] <= plot["x"] + plot["width"] for text in texts)


def touch(one, other) -> bool:
    across = one["left"] < other["right"] and other["left"] < one["right"]
    return across and one["top"] + 2 < other["bottom"] - 2 and other["top"] + 2 < one["bottom"] - 2


@pytest.mark.parametrize("width", [380, 1280])
def test_tooltips_stand_beside_the_pointer_within_the_window(browser, report, width):
    with opened(browser, report, width) as page:
        for chart in ("cost/parameters", "calibration"):
            dot = page.locator(f"figure[data-chart='{chart}'] g.mark-symbol path").last
            dot.scroll_into_view_if_needed()
            box = dot.bounding_box()
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            page.mouse.move(x - 1, y)
            page.mouse.move(x, y)
            page.locator("#hover", has_text="residual_cnn").wait_for()
            tip = page.locator("#hover").bounding_box()
            assert 0 <= tip["x"] <= tip["x"] + tip["width"] <= width
            assert not (tip["x"] <= x <= tip["x"] + tip["width"] and tip["y"] <= y <= tip["y"] + tip["height"])
            far = max(tip["x"] - x, x - tip["x"] - tip["width"], tip["y"] - y, y - tip["y"] - tip["height"])
            assert far < 40
            assert "\u00a0%" in page.locator("#hover").inner_text()
            page.mouse.move(2, 2)


def test_choosing_a_network_changes_its_confusion_matrix(page):
    numbers = page.locator("figure[data-chart=confusion] g.mark-text text")
    before = numbers.all_text_contents()
    scores = page.locator("[data-shown-by=class-scores]")
    assert [one.is_visible() for one in scores.all()] == [True, False, False]
    page.locator("select[data-of=confusion]").select_option("residual_cnn")
    assert [one.is_visible() for one in scores.all()] == [False, False, True]
    page.wait_for_function("old => [...document.querySelectorAll('figure[data-chart=confusion] g.mark-text text')]"
                           ".map(t => t.textContent).join() !== old", arg=",".join(before))  # fmt: skip


def test_the_mistakes_are_those_of_the_network_that_is_chosen(page):
    assert page.locator("#mistakes").inner_text().startswith("The most confident mistakes")
    page.locator("#mistakes-of").select_option("memory_mlp")
    assert "memory_mlp, seed 0, is wrong on" in page.locator("#mistakes").inner_text()
    assert "lenet, seed 0" not in page.locator("#mistakes").inner_text()


def test_prints_to_a_pdf(page, tmp_path):
    page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.locator(".controls").first.is_hidden()
    assert page.locator("nav.contents").is_hidden()
    page.set_viewport_size({"width": 673, "height": 900})  # A4 less its margins
    box = page.locator("#results").bounding_box()
    assert box["x"] + box["width"] <= 673
    on_page_one = 1002  # the height of A4 less its margins
    assert box["y"] + box["height"] < on_page_one
    assert page.locator(".answer").bounding_box()["y"] < box["y"]
    figures = page.evaluate(
        "() => [...document.querySelectorAll('figure')].map(f => [getComputedStyle(f).breakInside, f.offsetHeight])"
    )
    assert {rule for rule, _ in figures} == {"avoid"}  # no chart is cut in two
    assert max(height for _, height in figures) < on_page_one


def test_lines_and_their_swatches_have_the_colors_of_a_dark_page(browser, crowded):
    parts = (".legend .swatch .line", "figure.curve g.mark-line path")
    strokes = "(part) => [...document.querySelectorAll(part)].map((e) => getComputedStyle(e).stroke)"
    rgb = {f"rgb({int(c[1:3], 16)}, {int(c[3:5], 16)}, {int(c[5:], 16)})" for c in DARK_COLORS}
    with opened(browser, crowded, 1280, "dark") as page:
        swatches, lines = (set(page.evaluate(strokes, part)) for part in parts)
        assert lines <= swatches == rgb
        assert len(lines) > 6
        page.emulate_media(media="print")
        assert "rgb(178, 0, 0)" in page.evaluate(strokes, parts[0])  # paper is white
