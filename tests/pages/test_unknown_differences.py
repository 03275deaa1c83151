"""What stands in place of an interval that holds all that is possible."""

import io
import re

import numpy as np
import pytest
from rich.console import Console

from convarium.analysis.comparison import METRICS, compare_runs, formatting
from convarium.analysis.statistics import Estimate, difference
from convarium.pages import as_csv, as_markdown
from convarium.pages.accuracy_panel import seed_points
from convarium.pages.difference_plot import difference_plot
from convarium.pages.page import render
from convarium.pages.reading import reading_example
from convarium.pages.table import columns
from convarium.pages.terminal_table import as_rich
from convarium.recipes.recipe import Recipe
from html_page import Reader
from made_studies import made_run, made_study

ACCURACY, LOSS = METRICS["test_accuracy"], METRICS["test_loss"]


@pytest.fixture(scope="module")
def scattered(tmp_path_factory):
    """A baseline whose runs end at 30 % to 95 %, beside a network that is quite sure."""
    folder = tmp_path_factory.mktemp("scattered")
    levels = {"lenet": (0.3, 0.95, 0.6), "residual_cnn": (0.9, 0.91, 0.9), "memory_mlp": (0.8, 0.81, 0.8)}
    runs = [
        made_run(folder, Recipe(model=model, epochs=2, seed=seed), level, images=200, steps_an_epoch=5)
        for model, levels_of in levels.items()
        for seed, level in enumerate(levels_of)
    ]
    return compare_runs(runs, baseline="lenet")


def shown_in_terminal(comparison, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(as_rich(comparison))
    return console.export_text()


def test_a_difference_that_may_be_any_is_said_in_words_wherever_it_is_shown(scattered):
    row = scattered.row("residual_cnn")
    assert row.difference.low is None
    cell = next(column for column in columns(scattered) if column.key == "difference").cells[0]
    assert re.fullmatch(r"\+[\d.]+ \(3 seeds cannot tell\)", cell.text)
    assert "3 seeds cannot tell" in as_markdown(scattered)
    page = render(scattered)
    assert "(3 seeds cannot tell)" in Reader(page).visible
    assert page.count('class="interval any"') == 2
    assert "the difference may be anything" in Reader(page).visible
    assert "cannot tell" not in as_csv(scattered)
    terminal = shown_in_terminal(scattered, 80)
    assert "(cannot tell)" in terminal
    assert "may be anything" in " ".join(terminal.split())


def test_it_is_drawn_across_the_whole_plot_and_not_as_a_sure_dot(scattered):
    plot = difference_plot(scattered, scattered.ranked)
    assert [mark and mark.may_be_any for mark in plot.marks] == [
        None if row.difference is None else True for row in scattered.ranked
    ]


def test_a_mean_whose_interval_is_nearly_all_is_said_in_words(scattered):
    assert formatting.fills_range(ACCURACY, 0.02, 0.98)
    assert not formatting.fills_range(ACCURACY, 0.1, 0.98)
    assert not formatting.fills_range(LOSS, 0.1, 90.0)
    row = scattered.row("lenet")
    filled = Estimate(mean=row.test.mean, low=0.01, high=0.99, n=3, deviation=row.test.deviation)
    assert formatting.mean(ACCURACY, filled).endswith(" %, but 3 seeds cannot tell")


def test_a_line_is_drawn_for_an_interval_that_tells_something(scattered):
    points = seed_points(scattered).drop_duplicates("label").set_index("label")
    for row in scattered.rows:
        told = not formatting.fills_range(ACCURACY, row.test.low, row.test.high)
        assert (points.loc[row.label, "low"] < points.loc[row.label, "mean"]) == told


def test_ratios_beyond_all_digits_tell_nothing():
    wild = difference(np.exp([-40.0, 0.0, 40.0]), np.exp([0.0, 0.1, 0.2]), paired=False, ratio=True)
    sure = difference([1.0, 1.1, 1.2], [2.0, 2.1, 2.2], paired=False, ratio=True)
    assert formatting.tells_nothing(wild)
    assert not formatting.tells_nothing(sure)
    assert formatting.tells_nothing(difference([1.0], [2.0], paired=False))
    assert not formatting.tells_nothing(difference([1.0, 1.0], [2.0, 2.0], paired=False))  # there is no spread


def test_a_row_is_read_aloud_with_its_own_numbers(tmp_path, scattered):
    study = made_study(tmp_path, {"lenet": 0.8, "residual_cnn": 0.95}, epochs=2)
    read, row = reading_example(study), study.row("residual_cnn")
    assert read.startswith("To read a row: the 3 trained runs of residual_cnn")
    assert f"a mean test accuracy of {100 * row.test.mean:.1f} %" in read
    assert "above lenet" in read
    assert read.endswith("This interval leaves out 0, so that the network is called better.")
    assert read in Reader(render(study)).visible.replace("\u00a0", " ")
    assert reading_example(scattered) is None
    below = reading_example(made_study(tmp_path / "below", {"lenet": 0.95, "residual_cnn": 0.8}, epochs=2))
    assert "points below lenet" in below
    assert "−" not in below  # "below" says it
    one = made_study(tmp_path / "one", {"lenet": 0.8}, epochs=2)
    assert reading_example(one) is None
