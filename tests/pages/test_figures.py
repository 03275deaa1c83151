"""Figures one panel at a time, in the width of a column."""

import re

import pytest
from PIL import Image

from convarium.errors import ConvariumError, SpecError
from convarium.pages.figure_sizes import width_in_points
from convarium.pages.figures import FIGURES, plot, save_figures
from made_studies import made_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    levels = {"lenet": 0.9, "residual_cnn": 0.97, "memory_mlp": 0.8}
    return made_study(tmp_path_factory.mktemp("study"), levels, seeds=2, epochs=3, images=100)


def test_widths_are_read_in_five_units():
    assert width_in_points("84mm") == pytest.approx(238.1, abs=0.05)
    assert width_in_points("8.4 cm") == pytest.approx(238.1, abs=0.05)
    assert width_in_points("3.5in") == 252
    assert width_in_points("320px") == width_in_points(320) == 240
    assert width_in_points("240pt") == 240


@pytest.mark.parametrize("width", ["wide", "84 furlongs", "", "-3in"])
def test_a_text_that_is_no_width_is_refused(width):
    with pytest.raises(ConvariumError, match="expected such as 84mm"):
        width_in_points(width)


@pytest.mark.parametrize("width", ["5mm", "900cm"])
def test_a_width_in_which_nothing_can_be_read_is_refused(width):
    with pytest.raises(ConvariumError, match=r"no unit.*try 84mm"):
        width_in_points("84")
    with pytest.raises(ConvariumError, match="no figure can be read"):
        width_in_points(width)


def test_one_panel_is_written_as_wide_as_asked_for_with_text_of_nine_points(study, tmp_path):
    files = save_figures(study, tmp_path, panel="curves-validation-accuracy", width="84mm")
    assert [path.name for path in files] == [f"curves-validation-accuracy.{end}" for end in ("svg", "pdf", "png")]
    svg = files[0].read_text("utf-8")
    assert float(re.search(r'<svg[^>]* width="([\d.]+)pt"', svg)[1]) == pytest.approx(238.1, abs=1)
    assert set(re.findall(r'font-size="(\d+)px"', svg)) == {"9"}
    assert "validation accuracy" in svg
    assert "training" not in svg
    with Image.open(files[2]) as png:
        assert png.width == pytest.approx(84 / 25.4 * 300, abs=5)


@pytest.mark.parametrize("name", ["cost"])
def test_panels_stand_below_one_another_where_the_figure_is_narrow(study, name):
    narrow, wide = plot(study, name, width="84mm").to_dict(), plot(study, name, width="7in").to_dict()
    assert narrow["columns"] == 1
    assert wide["columns"] > 1


def test_a_wrong_panel_lists_the_panels(study, tmp_path):
    with pytest.raises(SpecError) as caught:
        save_figures(study, tmp_path / "none", panel="curve")
    assert all(name in str(caught.value) for name in FIGURES)
    assert not (tmp_path / "none").exists()


def test_a_panel_without_data_says_so(study, tmp_path):
    for panel in ("curves-test-loss", "surface"):
        with pytest.raises(ConvariumError, match=r"no run has recorded test loss|add --diagnostics"):
            save_figures(study, tmp_path, panel=panel)


def test_a_comparison_draws_a_chart_in_a_width(study):
    assert study.chart("cost-parameters", width=320).to_dict()["height"] >= 140
