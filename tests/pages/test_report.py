"""What is drawn and written from a comparison: tables, curves, figures and the page."""

import io
import json
import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import vl_convert
from rich.console import Console

from convarium.analysis.claims import Better, judge
from convarium.analysis.comparison import METRICS, Comparison, compare_runs, formatting
from convarium.analysis.statistics import Difference
from convarium.errors import ConvariumError
from convarium.models.describe import describe
from convarium.pages import (
    ClaimsSection,
    ExtraTable,
    as_csv,
    as_latex,
    as_markdown,
    as_rich,
    plot_accuracy,
    plot_agreement,
    plot_calibration,
    plot_classes,
    plot_confusion,
    plot_cost,
    plot_curves,
    save_figures,
    write_report,
)
from convarium.pages.class_charts import SHADE
from convarium.pages.cost_panel import cost_points
from convarium.pages.curves import POINTS, curve_points, steps_per_point
from convarium.pages.difference_plot import PLOT_WIDTH, difference_plot
from convarium.pages.disagreements import shares_correct
from convarium.pages.highlights import epochs_to_level, first_and_last, hardest_classes
from convarium.pages.page import render
from convarium.pages.predictions import agreement, calibration, class_points, read_predictions
from convarium.pages.table import Column, columns
from convarium.recipes.recipe import Recipe
from convarium.records import ImageSpec
from html_page import Reader, data_of
from made_studies import DIGITS, HERE, made_run, made_study

PLOTS = (plot_curves, plot_accuracy, plot_cost, plot_classes, plot_confusion, plot_calibration, plot_agreement)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Comparison:
    """Three networks and one that always diverges; one run of the second diverges too."""
    levels = {"lenet": 0.9, "memory_mlp": 0.85, "residual_cnn": 0.97, "googlenet": None}
    return made_study(tmp_path_factory.mktemp("study"), levels, diverged=[("memory_mlp", 1)])


@pytest.fixture(scope="module")
def text(study) -> str:
    return render(study)


# ---- the table -------------------------------------------------------------------------------------------------------


def column(comparison: Comparison, key: str) -> Column:
    return next(column for column in columns(comparison) if column.key == key)


ORDER = ["label", "test", "difference", "verdict", "validation", "seeds", "train_seconds", "parameters", "flops"]


def test_the_answer_comes_first_in_the_table(study):
    assert [column.key for column in columns(study)] == [*ORDER, "images_per_second"]
    assert [cell.value for cell in column(study, "label").cells] == ["residual_cnn", "lenet", "memory_mlp", "googlenet"]


def test_the_metric_that_is_compared_stands_beside_the_network(tmp_path):
    sizes = {"nin": 9, "lenet": 5}
    runs = [
        made_run(tmp_path, Recipe(model=model, epochs=3, seed=seed), 0.9, parameters=size)
        for model, size in sizes.items()
        for seed in (0, 1)
    ]
    by_size = compare_runs(runs, metric="parameters")
    assert [column.key for column in columns(by_size)][:4] == ["label", "parameters", "difference", "verdict"]
    assert column(by_size, "label").cells[0].value == "lenet"  # fewer are better
    by_loss = columns(compare_runs(runs, metric="test_loss"))
    assert [column.heading for column in by_loss][1] == "test loss, nats"
    assert {"test", "validation"} <= {column.key for column in by_loss}


def test_columns_have_a_cell_for_every_row_and_unknown_numbers_sort_last(study):
    for made in columns(study):
        assert len(made.cells) == len(study.rows)
    test = column(study, "test")
    assert [cell.value is None for cell in test.cells] == [False, False, False, True]
    assert test.cells[3].text == "–"
    assert [cell.text for cell in column(study, "seeds").cells] == ["3", "3", "2 of 3", "0 of 3"]


def test_the_table_says_how_far_an_interval_reaches_on_either_side(study):
    row = study.ranked[1]
    shown = column(study, "test").cells[1].text
    mean, reach = map(float, shown.split(" ± "))
    assert mean == pytest.approx(100 * row.test.mean, abs=0.06)
    assert reach == pytest.approx(100 * max(row.test.mean - row.test.low, row.test.high - row.test.mean), abs=0.06)
    accuracy = METRICS["test_accuracy"]
    assert formatting.with_interval(accuracy, 0.98, 0.978, 0.982) == "98.0 ± 0.2"
    assert formatting.with_interval(accuracy, 0.998, 0.9951, 0.9992) == "99.8 −0.3 +0.1"
    gap = METRICS["generalization_gap"]
    assert formatting.with_interval(gap, -0.02, -0.03, -0.01) == "−2.0 ± 1.0"  # training is harder, with dropout


def test_large_differences_are_written_without_an_exponent():
    assert formatting.margin(METRICS["test_loss"], 811.6) == "81,200 %"
    assert formatting.margin(METRICS["test_loss"], 0.2) == "20 %"
    assert formatting.quantity(METRICS["images_per_second"], 12345.6).startswith("12,300 ")
    assert formatting.quantity(METRICS["test_accuracy"], 0.0025) == "0.25 points"


def test_ends_of_a_loss_or_a_ratio_that_lie_far_apart_have_two_digits_each():
    """With the decimals that the lower end needs, the upper one would be given to a hundredth: 59.97."""
    loss = METRICS["test_loss"]
    assert formatting.interval(loss, 0.5573, 0.0118, 59.97) == ["0.56", "0.012", "60"]
    assert formatting.with_interval(loss, 0.5573, 0.0118, 59.97) == "0.56 −0.55 +59"
    assert formatting.interval(loss, 0.5573, 0.118, 5.997) == ["0.56", "0.12", "6.00"]
    accuracy = METRICS["test_accuracy"]
    assert formatting.interval(accuracy, 0.5, 0.009, 0.994) == ["50.0", "0.9", "99.4"]  # never 100
    ratio = Difference(1.8, 0.0042, 812.6, 5, 5, False, 0.95, 1, is_ratio=True)
    assert formatting.differences(loss, ratio, [1.8, 0.0042, 812.6]) == ["1.8", "0.0042", "810"]
    assert formatting.differences(loss, ratio, [1.8, 1.0004, 812.6]) == ["1.8", "1.0004", "810"]  # no other ratio is 1


def test_times_of_several_environments_are_marked_as_not_comparable(tmp_path):
    elsewhere = replace(HERE, processor="Another CPU")
    runs = [
        made_run(tmp_path, Recipe(model="lenet", epochs=2), 0.9),
        made_run(tmp_path, Recipe(model="residual_cnn", epochs=2), 0.9, environment=elsewhere),
    ]
    study = compare_runs(runs)
    cells = column(study, "train_seconds").cells
    assert [cell.text.endswith("†") for cell in cells] == [False, True]
    assert "not comparable" in as_markdown(study)
    assert "train_seconds" not in set(cost_points(study)["cost"])


def drawn(study: Comparison, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(as_rich(study))
    return console.export_text()


def test_rich_table_is_whole_in_100_columns_and_takes_names_as_text(tmp_path):
    study = made_study(tmp_path, {"resnet(depth=20, shortcut='A')": 0.9, "densenet": 0.85, "lenet": None})
    shown = drawn(study, 100)
    assert max(map(len, shown.splitlines())) <= 100
    assert "…" not in shown
    for made in columns(study):
        if made.key in ("parameters", "test", "validation", "train_seconds", "difference"):
            assert all(cell.text in shown for cell in made.cells)
    assert all(" ".join(row.verdict.split()) in " ".join(shown.split()) for row in study.rows)


def test_the_answer_stands_first_and_the_rows_below_it_are_sorted(study):
    shown = drawn(study, 80)
    assert " ".join(shown.split()).startswith(study.answer)
    table = shown.split("━" if "━" in shown else "─", 1)[1].split("\n\n")[0]
    places = [table.index(row.label) for row in study.ranked]
    assert places == sorted(places)
    assert not re.search(r"^\s*%", shown, re.MULTILINE)


def test_a_terminal_shows_every_warning_and_notes_up_to_three(study):
    lost = [f"A run is left out: it is damaged, number {i}." for i in range(4)]
    for count in range(5):
        shown = " ".join(drawn(replace(study, warnings=tuple(lost[:count])), 100).split())
        assert all(text in shown for text in lost[:count])
        assert sum(note in shown for note in study.notes) == max(3 - count, 0)


def test_twelve_long_names_are_whole_in_80_columns(tmp_path):
    names = [f"resnet(depth={depth}, shortcut='{kind}')" for depth in (20, 32, 44, 56, 110, 164) for kind in "AB"]
    study = made_study(tmp_path, {name: 0.6 + 0.03 * i for i, name in enumerate(names)}, epochs=2)
    shown = drawn(study, 80)
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    together = "".join(shown.split())
    assert all("".join(name.split()) in together for name in names)
    assert together.startswith("".join(study.answer.split()))


@pytest.mark.parametrize("width", [60, 80])
def test_narrow_terminals_keep_names_accuracy_and_difference(study, width):
    shown = drawn(study, width)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    for made in columns(study):
        if made.key in ("label", "test", "difference"):
            assert all(cell.text in shown for cell in made.cells)


@pytest.mark.parametrize("width", [40, 48])
def test_the_narrowest_terminals_keep_names_and_accuracy(study, width):
    shown = drawn(study, width)
    assert max(map(len, shown.splitlines())) <= width
    table = re.split(r"[─━]+", shown, maxsplit=1)[1].split("\n\n")[0]
    rows = [line for line in table.splitlines() if line.strip()]
    for name, test in zip(column(study, "label").cells, column(study, "test").cells, strict=True):
        assert any(row.split()[0] == name.text and test.text in row for row in rows)


def test_a_terminals_table_says_which_networks_failed(study):
    table = re.split(r"[─━]+", drawn(study, 80), maxsplit=1)[1].split("\n\n")[0]
    for row in study.ranked:
        line = next(line for line in table.splitlines() if row.label in line)
        assert line.rstrip().endswith("failed") == (row.decision == "failed")


def test_every_time_has_three_digits(tmp_path):
    for seconds, text in ((2.0, "2.00"), (1.19, "1.19"), (0.7168, "0.717"), (99.96, "100"), (1234.5, "1,234")):
        run = made_run(tmp_path / text, Recipe(model="lenet", epochs=2), 0.9, seconds=seconds)
        assert column(compare_runs([run]), "train_seconds").cells[0].text == text


@pytest.mark.parametrize("width", [60, 80])
def test_long_headings_are_folded_and_never_cut(tmp_path, width):
    runs = [
        made_run(tmp_path, Recipe(model=model, epochs=3, seed=s), 0.9) for model in ("lenet", "nin") for s in (0, 1)
    ]
    comparison = compare_runs(runs, metric="best_epoch_validation_accuracy")
    table = drawn(comparison, width)
    heading = column(comparison, "measured").heading
    assert all(word in table.split() for word in heading.split())


def test_markdown_table_has_equal_rows_and_escapes_its_own_signs(tmp_path):
    study = made_study(tmp_path, {"memory_mlp": 0.9, "lenet": 0.8}, question="a | b *or* <script>?")
    written = as_markdown(study)
    lines = [re.sub(r"\\\|", "", line) for line in written.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 2 + len(study.rows)
    assert "memory\\_mlp" in written
    assert "<script>" not in written
    assert r"a \| b \*or\*" in written


def test_markdown_lists_verdicts_in_the_order_of_its_table(tmp_path):
    study = made_study(tmp_path, {"lenet": 0.7, "residual_cnn": 0.9, "googlenet": 0.8})
    verdicts = [line.removeprefix("- ") for line in as_markdown(study).splitlines() if line.startswith("- ")]
    assert verdicts == [row.verdict.replace("_", "\\_") for row in study.ranked if row.verdict]
    assert [text.partition(" ")[0] for text in verdicts] == ["residual\\_cnn", "googlenet", "lenet:"]


def test_csv_has_every_number_unrounded(study):
    read = pd.read_csv(io.StringIO(as_csv(study)))
    assert list(read["label"]) == [row.label for row in study.rows]
    assert read["test_mean"][0] == study.rows[0].test.mean


def test_latex_table_is_balanced_and_escapes_special_signs(study):
    written = as_latex(study)
    body = [line for line in written.splitlines() if line.endswith(r"\\")]
    alignment = re.search(r"tabular}\{(\w+)\}", written)[1]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(alignment) - 1}
    assert r"memory\_mlp" in written
    assert not re.search(r"[±−–×]", "".join(body))


def test_drawn_differences_keep_the_order_of_the_numbers(study):
    rows = study.ranked
    plot = difference_plot(study, rows)
    for mark, row in zip(plot.marks, rows, strict=True):
        assert (mark is None) == (row.difference is None)
        if mark is not None:
            assert 0 <= mark.low <= mark.mean <= mark.high <= PLOT_WIDTH
            assert (mark.mean > plot.zero) == (row.difference.mean > 0)


@pytest.mark.parametrize("scale", [0.1, 1, 10, 100])
def test_the_margin_is_seen_beside_differences_of_any_size(study, scale):
    """Where some differences are many times the margin, the scale is compressed; its ticks say so."""
    plot = difference_plot(replace(study, margin=0.05 / scale), study.ranked)
    low, high = plot.margin
    assert high - low >= 12
    assert 0 <= low < plot.zero < high <= PLOT_WIDTH
    positions = [tick.position for tick in plot.ticks]
    assert positions == sorted(positions)
    assert "0" in [tick.text for tick in plot.ticks]
    assert plot.is_compressed == (scale > 1)


@pytest.mark.parametrize("low", [-0.4, -0.35, -0.06, -0.011])
def test_labels_of_the_scale_stand_apart_where_the_plot_is_smallest(study, low):
    """88 px, with digits of 11 px that are at most 6.6 px wide."""
    row = next(row for row in study.rows if row.difference)
    moved = replace(row, difference=replace(row.difference, mean=low / 2, low=low, high=0.19))
    ticks = difference_plot(study, (moved,)).ticks
    assert len(ticks) >= 2
    for one, other in pairwise(ticks):
        assert 0.88 * (other.position - one.position) >= 6.6 * (len(one.text + other.text) / 2) + 2


# ---- curves ----------------------------------------------------------------------------------------------------------


def test_curves_are_means_over_trained_runs_between_lowest_and_highest_seed(study):
    points = curve_points(study).query("label == 'lenet' and split == 'validation' and quantity == 'accuracy'")
    runs = [[epoch.validation_accuracy for epoch in run.outcome.history] for run in study.row("lenet").trained]
    np.testing.assert_allclose(points["mean"], np.mean(runs, 0))
    np.testing.assert_allclose(points["low"], np.min(runs, 0))
    np.testing.assert_allclose(points["high"], np.max(runs, 0))
    assert set(points["n"]) == {3}


def test_failed_runs_are_lines_of_their_own(study):
    points = curve_points(study)
    assert set(points.query("label == 'googlenet'")["run"]) == {f"seed {s}, diverged" for s in range(3)}
    assert set(points.query("label == 'memory_mlp'")["run"]) == {"", "seed 1, diverged"}
    assert set(points.query("label == 'memory_mlp' and run == ''")["n"]) == {2}


def test_step_curves_keep_the_mean_of_all_steps(study):
    run = study.row("residual_cnn").trained[0]
    steps = len(run.steps()[0])
    points = curve_points(study, "step").query("label == 'residual_cnn' and split == 'train' and quantity == 'loss'")
    expected = np.mean([run.steps()[0].astype(float) for run in study.row("residual_cnn").trained], 0)
    assert len(points) == steps  # fewer than POINTS: nothing is thinned
    np.testing.assert_allclose(points["mean"], expected, rtol=1e-6)
    assert steps_per_point(curve_points(study, "step")) == 1


def test_by_step_and_by_time_every_split_has_its_points(study):
    by_epoch = curve_points(study).query("label == 'lenet' and split == 'validation' and quantity == 'loss'")
    run = study.row("lenet").trained[0]
    for x, ends in (("step", [epoch.steps for epoch in run.outcome.history]), ("second", None)):
        points = curve_points(study, x).query("label == 'lenet' and split == 'validation' and quantity == 'loss'")
        assert points["mean"].tolist() == by_epoch["mean"].tolist()
        assert ends is None or points["x"].tolist() == ends
    seconds = [sum(epoch.seconds for epoch in run.outcome.history) for run in study.row("lenet").trained]
    assert points["x"].tolist()[-1] == pytest.approx(np.mean(seconds))


def test_curves_by_time_need_one_environment(tmp_path):
    elsewhere = replace(HERE, processor="Another CPU")
    runs = [
        made_run(tmp_path, Recipe(model="lenet", epochs=2), 0.9),
        made_run(tmp_path, Recipe(model="nin", epochs=2), 0.9, environment=elsewhere),
    ]
    assert curve_points(compare_runs(runs), "second").empty
    assert "not all timed in one environment" in Reader(render(compare_runs(runs))).visible


def test_the_learning_rate_has_a_panel_only_where_it_changes(tmp_path, text):
    assert "The learning rate was 0.01 throughout." in Reader(text).visible
    assert not [name for name in data_of(text)["specs"] if "learning rate" in name]
    runs = [made_run(tmp_path, Recipe(model="lenet", epochs=3, learning_rate=rate), 0.8 + rate) for rate in (0.01, 0.1)]
    comparison = compare_runs(runs, by="learning_rate")
    changing = render(comparison)
    assert 'id="rate"' in changing
    assert "curves/learning rate/train/epoch/linear" in data_of(changing)["specs"]
    assert "learning rate" in json.dumps(plot_curves(comparison, learning_rate=True).to_dict())


@pytest.mark.parametrize("x", ["epoch", "step"])
def test_long_curves_are_thinned_without_losing_their_extremes(tmp_path, x):
    study = made_study(tmp_path, {"lenet": 0.9}, seeds=2, epochs=1000, steps_an_epoch=3)
    points = curve_points(study, x).query("split == 'train' and quantity == 'accuracy'")
    assert POINTS / 2 < len(points) <= POINTS
    full = curve_values(study, x)
    assert points["x"].is_monotonic_increasing
    assert points["mean"].mean() == pytest.approx(full.mean(), rel=1e-3)
    if x == "epoch":
        assert points["low"].min() == full.min()
        assert points["high"].max() == full.max()
    else:
        assert steps_per_point(points) == 3000 / POINTS


def curve_values(study: Comparison, x: str) -> np.ndarray:
    runs = study.rows[0].trained
    if x == "step":
        return np.array([run.steps()[1] for run in runs])
    return np.array([[epoch.train_accuracy for epoch in run.outcome.history] for run in runs])


def test_values_that_are_not_finite_are_left_out(tmp_path):
    study = made_study(tmp_path, {"lenet": None}, seeds=1)
    run = study.rows[0].runs[0]
    broken = replace(run.outcome.history[-1], epoch=99, train_loss=math.nan, validation_loss=math.inf)
    outcome = replace(run.outcome, history=(*run.outcome.history, broken))
    points = curve_points(compare_runs([replace(run, outcome=outcome)]))
    assert np.isfinite(points["mean"]).all()
    assert 99 not in set(points.query("quantity == 'loss'")["x"])


# ---- cost, predictions -----------------------------------------------------------------------------------------------


def test_networks_on_the_pareto_front_are_unbeaten_and_all_others_are_beaten(study):
    for _, points in cost_points(study).groupby("cost"):
        for _, point in points.iterrows():
            cheaper = points[(points["value"] <= point["value"]) & (points["label"] != point["label"])]
            beaten = (cheaper["mean"] >= point["mean"]).any()
            assert point["front"] != beaten


def test_agreement_is_symmetric_and_compares_a_network_with_itself_by_other_seeds(study):
    result = agreement(read_predictions(study)).set_index(["first", "second"])
    for (first, second), row in result.iterrows():
        assert row["agreement"] == pytest.approx(result.loc[(second, first), "agreement"])
    one, two = (run.predictions()[0].argmax(1) for run in study.row("memory_mlp").trained)
    assert result.loc[("memory_mlp", "memory_mlp"), "agreement"] == pytest.approx((one == two).mean())


def test_calibration_bins_give_back_the_accuracy_and_the_stored_error(study):
    points = calibration(read_predictions(study))
    for label, bins in points.groupby("label"):
        assert bins["share"].sum() == pytest.approx(1)
        assert (bins["share"] * bins["accuracy"]).sum() == pytest.approx(study.row(label).test.mean)


def test_one_runs_calibration_bins_give_back_its_stored_error(tmp_path):
    study = made_study(tmp_path, {"lenet": 0.9}, seeds=1)
    bins = calibration(read_predictions(study))
    error = (bins["share"] * (bins["accuracy"] - bins["confidence"]).abs()).sum()
    assert error == pytest.approx(study.rows[0].runs[0].outcome.test.calibration_error, abs=1e-6)


def test_contested_shares_add_up_to_the_accuracies(study):
    for result in shares_correct(read_predictions(study), "lenet"):
        assert result.both + result.only_this + result.only_baseline + result.neither == pytest.approx(1)
        assert result.both + result.only_this == pytest.approx(study.row(result.label).test.mean)
        assert result.both + result.only_baseline == pytest.approx(study.row("lenet").test.mean)
        assert not set(result.images[0]) & set(result.images[1])


# ---- charts and figures ----------------------------------------------------------------------------------------------


def test_a_bin_of_few_predictions_is_not_drawn(tmp_path):
    study = made_study(tmp_path, {"lenet": 0.9}, seeds=1, images=60)
    points = calibration(read_predictions(study))
    enough = points[points["count"] >= 10]
    assert 0 < len(enough) < len(points)
    svg = vl_convert.vegalite_to_svg(plot_calibration(study).to_dict())
    assert len(re.findall('aria-roledescription="point"', svg)) == len(enough)


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.__name__)
def test_charts_are_valid_and_hold_their_own_data(plot, study):
    spec = plot(study).to_dict()
    assert "residual_cnn" in json.dumps(spec)
    assert "http" not in json.dumps({k: v for k, v in spec.items() if k != "$schema"})


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.__name__)
def test_charts_of_nothing_say_so(plot, tmp_path):
    study = made_study(tmp_path, {"lenet": None}, seeds=1)
    run = study.rows[0].runs[0]
    empty = compare_runs([replace(run, outcome=replace(run.outcome, history=()))])
    with pytest.raises(ConvariumError, match=r"no run has"):
        plot(empty)


def test_confusion_of_one_row(study):
    spec = plot_confusion(study, "lenet").to_dict()
    rows = next(iter(spec["datasets"].values()))
    assert {row["label"] for row in rows} == {"lenet"}
    images = study.rows[0].trained[0].outcome.test.n
    assert sum(row["count"] for row in rows) == images * 3
    with pytest.raises(ConvariumError, match="row of the comparison"):
        plot_confusion(study, "vgg16")


def test_figures_are_written_in_all_forms_with_their_data(tmp_path):
    study = made_study(tmp_path, {"lenet": 0.9, "residual_cnn": 0.97}, seeds=2, epochs=3, images=100)
    files = save_figures(study, tmp_path / "new" / "figures")
    assert len({path.stem for path in files if path.suffix == ".pdf"}) == len(PLOTS)
    for path in files:
        start = path.read_bytes()[:8]
        assert start.startswith({".svg": b"<svg", ".pdf": b"%PDF", ".png": b"\x89PNG", ".csv": b"label,"}[path.suffix])
    assert pd.read_csv(tmp_path / "new" / "figures" / "epochs.csv").shape[0] == 12


def test_figures_without_data_are_left_out(tmp_path):
    files = save_figures(made_study(tmp_path, {"lenet": None}, seeds=1, epochs=2), tmp_path / "figures")
    assert {path.stem for path in files if path.suffix == ".svg"} == {"curves"}


# ---- the page --------------------------------------------------------------------------------------------------------


def test_page_has_question_answer_command_verdicts_and_failures(study, text):
    shown = Reader(text).visible
    assert study.question in shown
    assert study.answer in shown
    assert study.command in shown
    for row in study.rows:
        assert row.verdict in shown
    for note in study.notes:
        assert note in shown
    assert "memory_mlp, seed 1: diverged after 4 of 8 epochs: loss is nan at epoch 4" in shown
    assert "Some CPU" in shown
    assert "0123abc" in shown  # the commit
    for run in study.rows[0].runs:
        assert run.key[:8] in shown


def test_page_makes_no_requests(text):
    tags = Reader(text).tags
    loaded = [attributes.get(name) for _, attributes in tags for name in ("src", "href") if attributes.get(name)]
    assert all(source.startswith(("data:", "#")) for source in loaded)
    policy = next(a["content"] for t, a in tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert text.count("vegaEmbed=") <= 2  # one copy of the library


def test_page_holds_what_its_buttons_copy(study, text):
    copies = data_of(text)["copies"]
    assert copies["markdown"] == as_markdown(study)
    assert copies["csv"] == as_csv(study)
    assert copies["latex"] == as_latex(study)


def test_every_chart_of_the_page_has_a_specification_and_a_table(text):
    data = data_of(text)
    for tag, attributes in Reader(text).tags:
        if tag == "figure" and "data-chart" in attributes:
            assert attributes["data-chart"] in data["specs"]
    for name, spec in data["specs"].items():
        assert spec["usermeta"]["table"] in data["tables"], name


def test_names_from_users_stay_text(tmp_path):
    names = ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "</script>", "猫", "{{ 7 * 7 }}")
    question = "Is <b>this</b> & </title><script>alert(3)</script> safe?"
    study = made_study(tmp_path, {"lenet": 0.9, "residual_cnn": 0.95}, names=names, question=question, images=200)
    text = render(study)
    reader = Reader(text)
    scripts = [attributes for tag, attributes in reader.tags if tag == "script"]
    assert len(scripts) == 3  # the library, the data, the page's own
    assert not [attributes for _, attributes in reader.tags if "onerror" in attributes]
    assert question in reader.visible
    assert set(names) == set(data_of(text)["tables"]["classes"]["class"])


def test_table_is_a_table_for_screen_readers(text):
    tags = Reader(text).tags
    results = next(i for i, (tag, attributes) in enumerate(tags) if attributes.get("id") == "results")
    heads = [attributes for tag, attributes in tags[results:] if tag == "th"][:11]
    assert all(attributes.get("scope") in ("col", "row") for attributes in heads)
    regions = [attributes for _, attributes in tags if attributes.get("class") == "scroll"]
    assert all("aria-label" in a or "aria-labelledby" in a for a in regions)
    figures = [attributes for tag, attributes in tags if tag == "figure"]
    assert all(attributes.get("aria-label") for attributes in figures)


def test_page_lists_the_layers_of_every_network(text):
    shown = Reader(text).visible
    assert "Gradient-based learning applied to document recognition" in shown
    assert "61,706 parameters" in shown  # LeNet-5 as d2l.ai counts it


def test_many_networks_make_a_short_title_and_folded_lists(tmp_path):
    levels = {f"plain(depth={depth})": None for depth in range(8, 56, 6)}
    page = Reader(render(made_study(tmp_path, levels, seeds=1, epochs=2, question="")))
    assert "How do plain(depth=8), plain(depth=14), plain(depth=20) and 5 more compare on digits?" in page.visible
    assert "The layers of 8 networks" in page.visible
    assert "The failed runs, one by one" in page.visible
    assert "Each verdict in a sentence" in page.visible


@pytest.fixture(scope="module")
def seven(tmp_path_factory):
    """Seven networks: one more than have lines of their own within a class."""
    levels = {f"plain(depth={6 * n + 2})": 0.8 + 0.02 * n for n in range(1, 8)}
    return made_study(tmp_path_factory.mktemp("seven"), levels, seeds=2, epochs=2, images=200)


def test_classes_of_many_networks_are_a_table_in_which_the_most_wrong_is_the_darkest(seven):
    text = render(seven)
    assert 'data-chart="classes"' not in text
    (table,) = re.findall(r'<table class="class-table".*?</table>', text, re.S)
    cells = re.findall(r'<td class="number( hardest)?" style="--wrong: ([\d.]+)">([\d.]+)</td>', table)
    assert len(cells) == 7 * 10
    assert sorted(cells, key=lambda cell: float(cell[1])) == sorted(cells, key=lambda cell: -float(cell[2]))
    assert max(float(shade) for _, shade, _ in cells) == SHADE
    points = class_points(seven).set_index(["label", "class"])["mean"]
    assert [float(number) for *_, number in cells] == pytest.approx(
        [100 * points[row.label, name] for row in seven.ranked for name in DIGITS], abs=0.05
    )
    for row, first in zip(seven.ranked, range(0, 70, 10), strict=True):
        hardest = {name for name, cell in zip(DIGITS, cells[first : first + 10], strict=True) if cell[0]}
        assert hardest == set(points[row.label][points[row.label] == points[row.label].min()].index)


@pytest.mark.parametrize("width", [None, "84mm"])
def test_classes_of_many_networks_are_drawn_as_a_matrix_with_numbers_where_they_fit(seven, width):
    chart = plot_classes(seven, width=width).to_dict()
    marks = [layer["mark"]["type"] for layer in chart["layer"]]
    assert marks == (["rect", "text"] if width is None else ["rect"])


def test_many_networks_are_told_who_reached_a_level_first_and_last(seven):
    reached = epochs_to_level(seven)
    shown = Reader(render(seven)).visible
    for end in (reached.epochs[0], reached.epochs[-1]):
        assert f"after epoch {end[1]} (" in shown
    assert first_and_last(replace(reached, epochs=(("a", "2"), ("b", "2")))) == ("2 (a and b)",)
    assert first_and_last(replace(reached, epochs=(("a", "1"), ("b", "2")))) == ("1 (a)", "2 (b)")


def test_per_cent_is_written_in_one_way(study):
    """With a space, as the International System of Units has it."""
    assert re.findall(r"\d%", Reader(render(study)).visible) == []


def test_images_that_divide_two_networks_are_shown_where_given(tmp_path):
    study = made_study(tmp_path, {"lenet": 0.8, "residual_cnn": 0.95}, images=200)
    pixels = np.random.default_rng(0).integers(0, 256, (200, 1, 8, 8), dtype=np.uint8)
    images = pixels, np.arange(200) % 10
    path = write_report(study, tmp_path / "deep" / "report.html", test_images=images)
    tags = Reader(path.read_text("utf-8")).tags
    pictures = [attributes for tag, attributes in tags if tag == "img"]
    assert len(pictures) == 48  # twelve for either side, and twelve mistakes of each network
    assert all(attributes["src"].startswith("data:image/png;base64,") and attributes["alt"] for attributes in pictures)
    without = Reader(render(study))
    assert not [tag for tag, _ in without.tags if tag == "img"]
    assert re.search(r"image \d+", without.visible)


def test_images_of_another_split_are_refused(tmp_path):
    study = made_study(tmp_path, {"lenet": 0.8, "residual_cnn": 0.95}, images=200)
    images = np.zeros((10, 1, 8, 8), dtype=np.uint8), np.arange(10)
    with pytest.raises(ConvariumError, match="not the test images"):
        write_report(study, tmp_path / "report.html", test_images=images)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    "study",
    [
        pytest.param({"levels": {"lenet": 0.9}, "seeds": 1}, id="one run"),
        pytest.param({"levels": {"lenet": 0.9, "residual_cnn": 0.95}, "seeds": 1}, id="one seed"),
        pytest.param({"levels": {"lenet": None, "residual_cnn": None}}, id="all diverged"),
        pytest.param({"levels": {"lenet": None}, "seeds": 1}, id="one run, diverged"),
        pytest.param({"levels": {"lenet": 0.9, "residual_cnn": 0.95}, "epochs": 1}, id="one epoch"),
        pytest.param({"levels": {"lenet": 0.9, "residual_cnn": 0.97}, "names": ("ants", "bees")}, id="two classes"),
        pytest.param(
            {
                "levels": {"lenet": 0.9, "residual_cnn": 0.95},
                "names": [f"class {i}" for i in range(200)],
                "images": 2000,
            },
            id="200 classes",
        ),
        pytest.param(
            {
                "levels": {"lenet": 0.9, "residual_cnn": 0.95},
                "names": list("零一二三四五六七八九"),
                "question": "哪个更好？",
            },
            id="Chinese",
        ),
    ],
)
def test_odd_studies_make_sensible_pages(study, tmp_path):
    made = made_study(tmp_path, **({"epochs": 3} | study))
    text = render(made)
    shown = Reader(text).visible
    assert made.answer in shown
    assert "nan" not in shown.replace("loss is nan", "")
    assert "None" not in shown
    assert "inf" not in re.findall(r"\b\w+\b", shown)
    data_of(text)


def test_networks_of_a_users_folder_are_described_by_what_their_runs_recorded(tmp_path):
    """Runs from before that was recorded still have a page, and need the images for this part of it."""
    study = made_study(tmp_path, {"lenet": 0.9}, dataset="folder:/somewhere/pets", seeds=1)
    assert "the runs did not record the size of their images" in Reader(render(study)).visible
    (row,) = study.rows
    recorded = replace(row.runs[0], outcome=replace(row.runs[0].outcome, image=ImageSpec(3, 40, 30, 5)))
    known = replace(study, rows=(replace(row, runs=(recorded,)),))
    assert f"{describe('lenet', ImageSpec(3, 40, 30, 5)).root.parameters:,} parameters" in Reader(render(known)).visible


def test_comparison_by_another_axis(tmp_path):
    runs = [
        made_run(tmp_path, Recipe(model="lenet", epochs=3, learning_rate=rate, seed=seed), 0.8 + rate)
        for rate in (0.01, 0.1)
        for seed in range(2)
    ]
    shown = Reader(render(compare_runs(runs, by="learning_rate"))).visible
    assert "learning_rate=0.1" in shown
    assert "learning rate" in shown


def test_a_studys_claims_and_tables_stand_on_its_page(tmp_path):
    comparison = made_study(tmp_path, {"lenet": 0.8, "nin": 0.95}, seeds=5)
    claims = {
        "better": Better("nin", than="lenet", source="a blog, section 1"),
        "worse": Better("lenet", than="nin", source="a blog, section 2"),
        "guess": Better("lenet", than="nin", source="a book, section 3", assumed="the optimizer <Adam>"),
    }
    verdicts = {name: judge(claim, comparison) for name, claim in claims.items()}
    not_seen = "not seen under the assumed recipe"
    assert [verdict.outcome for verdict in verdicts.values()] == ["supported", "refuted", not_seen]
    panel = ExtraTable("Of its <own>", ("run", "classes"), (("lenet, seed 0", "6 4"),))
    text = render(comparison, claims=ClaimsSection(verdicts, {"worse": "It saw one <run>."}, (panel,)))
    assert re.sub("<wbr>", "", text).count("nin is better than lenet in test accuracy (a blog, section 1)") == 2
    assert '<span class="verdict supported">supported</span>' in text
    assert f'<span class="verdict not-seen-under-the-assumed-recipe">{not_seen}</span>' in text
    assert text.count("[recipe assumed] a book: the optimizer &lt;Adam&gt;.") == 1
    assert re.sub("<wbr>", "", text).count("in test accuracy [recipe assumed] (a book, section 3)") == 2
    assert "It saw one &lt;run&gt;." in text
    assert "<summary>Of its &lt;own&gt;</summary>" in text
    assert '<td class="number">6 4</td>' in text
    assert "What the sources claim" not in render(comparison)


def test_a_row_that_mostly_failed_is_called_failed_in_every_table(tmp_path):
    study = made_study(tmp_path, {"lenet": 0.9, "nin": 0.95, "vgg": 0.93}, diverged=[("vgg", 0), ("vgg", 2)])
    assert sorted(cell.text for cell in column(study, "verdict").cells) == ["baseline", "better", "failed"]
    assert set(study.frame("rows")["decision"]) == {"baseline", "better", "failed"}
    for text in (as_markdown(study), as_latex(study), as_csv(study), Reader(render(study)).visible):
        assert re.search(r"vgg\b.*\bfailed\b", text)


def test_hardest_classes_are_those_with_the_smallest_means(study):
    for result in hardest_classes(study):
        scored = [run.outcome.test.per_class for run in study.row(result.label).trained]
        means = sorted((sum(of[name] for of in scored) / len(scored), name) for name in scored[0])
        assert (result.accuracy, result.next_accuracy) == tuple(f"{100 * mean:.1f}" for mean, _ in means[:2])
        assert result.name in [name for mean, name in means if mean == means[0][0]]


def test_epochs_to_level_takes_the_highest_level_that_all_trained_networks_reach(tmp_path):
    study = made_study(tmp_path, {"lenet": 0.86, "nin": 0.99}, epochs=8)
    result = epochs_to_level(study)
    assert (result.split, result.level) == ("validation", "80 %")
    assert [label for label, _ in result.epochs] == ["nin", "lenet"]
    firsts = [
        next(epoch.epoch for epoch in run.outcome.history if epoch.validation_accuracy >= 0.8)
        for run in study.row("nin").runs
    ]
    assert result.epochs[0][1] == f"{sum(firsts) / len(firsts):.3g}"
