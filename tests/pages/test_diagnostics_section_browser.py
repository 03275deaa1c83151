"""'Inside the training' in a real browser."""

from pathlib import Path

import pytest
from test_diagnostics_section import diagnosis

from browsers import browser as browser  # the fixture
from browsers import needs_browser, opened
from convarium.pages import write_report
from made_studies import made_study

pytestmark = needs_browser

LONG = "residual_variant(depth=110, variant='a_name_that_is_rather_long_for_a_telephone')"


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    study = made_study(tmp_path_factory.mktemp("study"), {"lenet": 0.9, "residual_cnn": 0.97}, seeds=1, epochs=2)
    diagnoses = [diagnosis("lenet", size=15), diagnosis(LONG, 110, worst=900, size=15)]
    return write_report(study, tmp_path_factory.mktemp("page") / "report.html", diagnoses=diagnoses)


def test_all_of_it_is_drawn_and_the_legend_hides_a_network_there_too(browser, report):
    with opened(browser, report) as page:
        assert page.locator("#diagnostics figure[data-chart] svg.marks").count() == 8
        areas = page.locator("figure[data-chart='surface/0/shared'] g.mark-symbol path[fill]")
        assert len({area.get_attribute("fill") for area in areas.all()}) >= 3
        page.locator("#own-scale").check()
        page.locator("figure[data-chart='surface/1/scale'] svg.marks").wait_for()
        shown = page.locator("#diagnostics figure[data-scale]:visible")
        assert {figure.get_attribute("data-scale") for figure in shown.all()} == {"own"}
        assert shown.count() == 4
        page.locator("#own-scale").uncheck()
        page.locator("figure[data-chart='surface/scale']").wait_for()
        lines = "figure[data-chart='gradients/initial'] g.mark-line path"
        drawn = page.locator(lines).count()
        page.locator("#diagnostics .legend button[data-label=lenet]").click()
        page.wait_for_function(f"document.querySelectorAll(`{lines}`).length < {drawn}")
        for image in page.locator("#diagnostics img").all():
            assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [380, 1280])
def test_it_fits_any_width_and_takes_the_colors_of_the_scheme(browser, report, width, scheme):
    with opened(browser, report, width, scheme) as page:
        page.evaluate("document.querySelectorAll('#diagnostics details').forEach(one => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for part in page.locator("#diagnostics figure:visible, #diagnostics img").all():
            box = part.bounding_box()
            assert box["x"] + box["width"] <= width
        label = page.locator("figure[data-chart='surface/0/shared'] g.role-axis-label text").first
        assert label.evaluate("text => getComputedStyle(text).fill") == page.evaluate(
            "getComputedStyle(document.body).color"
        )
