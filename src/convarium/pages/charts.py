"""The charts of a comparison as altair charts, for notebooks and for the files of `save_figures`."""

from textwrap import wrap
from typing import Any

import altair as alt
import pandas as pd

from convarium.analysis.comparison import Comparison
from convarium.diagnostics import Diagnoses
from convarium.errors import ConvariumError
from convarium.pages import accuracy_panel, cost_panel, diagnostics_charts, prediction_charts
from convarium.pages.chart_style import HEIGHT, Chart, hidden_parameter, inline_data, with_style
from convarium.pages.cost_panel import COSTS
from convarium.pages.curve_charts import curve_chart
from convarium.pages.curves import QUANTITIES, RATE, XAxis, curve_points, recorded_splits
from convarium.pages.diagnostics_section import MOMENTS, SHARES, available_diagnoses
from convarium.pages.predictions import (
    Predictions,
    agreement,
    calibration,
    class_points,
    confusion_points,
    read_predictions,
)


def plot_curves(comparison: Comparison, *, x: XAxis = "epoch", log: bool = False, learning_rate: bool = False) -> Chart:
    """Loss and accuracy of every split: one line for each network, with a band from the lowest to the highest seed.

    A click on the legend highlights a network. Failed runs are thin dotted lines of their own.

    Args:
        comparison: the comparison whose runs are drawn.
        x: whether the horizontal axis counts epochs ("epoch"), steps ("step"), or seconds of training ("second"), which
            must have been measured in one environment.
        log: whether losses have a logarithmic scale.
        learning_rate: whether a last panel shows the learning rate.

    Raises:
        ConvariumError: no run has recorded a value.
    """
    points = _not_empty(curve_points(comparison, x), f"recorded a value by {x}")
    chosen = alt.selection_point(name="chosen", fields=["label"], bind="legend")
    splits = recorded_splits(points)
    rows: list[Any] = []
    for quantity in QUANTITIES:
        panels: list[Any] = [
            curve_chart(inline_data(points.query("split == @split and quantity == @quantity")), points, quantity, split,
                        labels=_labels(comparison), x=x, log=log, chosen=chosen)
            for split in splits
        ]  # fmt: skip
        if not rows:  # A selection belongs to one panel, and all panels react to it.
            panels[0] = panels[0].add_params(chosen)
        rows.append(alt.hconcat(*panels))
    if learning_rate:
        data = inline_data(points[points["quantity"] == RATE])
        rows.append(curve_chart(data, points, RATE, "train", labels=_labels(comparison), x=x, log=log, chosen=chosen))
    return _finish(alt.vconcat(*rows))


def plot_accuracy(comparison: Comparison) -> Chart:
    """Test accuracy of every trained run, with the mean of each network and its 95 % interval.

    Raises:
        ConvariumError: no run has test scores.
    """
    points = _not_empty(accuracy_panel.seed_points(comparison), "test scores")
    title = accuracy_panel.panel_metric(comparison).title
    return _finish(accuracy_panel.seeds_chart(inline_data(points), points, _labels(comparison), title=title))


def plot_cost(comparison: Comparison) -> Chart:
    """Mean test accuracy against parameters, FLOPs and training time, with intervals and the Pareto front.

    Raises:
        ConvariumError: no trained run has a cost.
    """
    points = _not_empty(cost_panel.cost_points(comparison), "a cost and test scores")
    panels = [
        cost_panel.cost_chart(
            inline_data(points[points["cost"] == cost]),
            points,
            _labels(comparison),
            cost,
            title=accuracy_panel.panel_metric(comparison).title,
        )
        for cost in COSTS
        if (points["cost"] == cost).any()
    ]
    return _finish(alt.concat(*panels, columns=2))


def plot_classes(comparison: Comparison) -> Chart:
    """Test accuracy by class. With many classes, those on which the networks differ most are shown.

    Raises:
        ConvariumError: no run has test scores.
    """
    points = _not_empty(class_points(comparison), "test scores")
    shown = points[points["class"].isin(prediction_charts.most_differing(points))]
    title = f"{comparison.split} accuracy"
    return _finish(prediction_charts.classes_chart(inline_data(shown), shown, _labels(comparison), title=title))


def plot_confusion(comparison: Comparison, row: object = None) -> Chart:
    """Confusion matrices in shares of the true class, summed over the trained runs.

    Args:
        comparison: the comparison whose runs are drawn.
        row: label of one row; None: all rows, three side by side.

    Raises:
        ConvariumError: no run has test scores.
        SpecError: there is no such row.
    """
    points = _not_empty(confusion_points(comparison), "test scores")
    names = [comparison.row(row).label] if row is not None else list(dict.fromkeys(points["label"]))
    panels: list[Any] = []
    for name in names:
        own = _not_empty(points[points["label"] == name], f"test scores under {name!r}")
        panel: Any = prediction_charts.confusion_chart(inline_data(own), list(dict.fromkeys(points["true"])))
        panels.append(panel.properties(title=name) if len(names) > 1 else panel)
    return with_style(alt.concat(*panels, columns=3) if len(panels) > 1 else panels[0])


def plot_calibration(comparison: Comparison) -> Chart:
    """Accuracy against confidence over all trained runs of each network (a reliability diagram).

    Raises:
        ConvariumError: no run has stored its predictions.
    """
    points = calibration(_predictions(comparison))
    chart = prediction_charts.calibration_chart(inline_data(points), points, _labels(comparison), legend=True)
    return _finish(chart)


def plot_agreement(comparison: Comparison) -> Chart:
    """How often the runs of two networks, and two seeds of one network, predict the same class.

    Raises:
        ConvariumError: no two runs have stored predictions of the same images.
    """
    points = _not_empty(agreement(_predictions(comparison)), "stored its predictions beside another")
    return with_style(prediction_charts.agreement_chart(inline_data(points), points))


def plot_gradients(diagnoses: Diagnoses) -> Chart:
    """The norm of the gradient from the first layer to the last, at the initial and at the stored weights.

    Args:
        diagnoses: the result of `convarium.diagnostics.diagnose`.

    Raises:
        ConvariumError: no network has diagnostics.
    """
    points, labels = _not_empty_diagnoses(diagnostics_charts.gradient_points(diagnoses)), [d.label for d in diagnoses]
    panels = [
        diagnostics_charts.gradient_chart(inline_data(points), points, labels, moment, legend=True)
        for moment in MOMENTS
    ]
    return _finish(alt.hconcat(*panels))


def plot_units(diagnoses: Diagnoses) -> Chart:
    """Dead and saturated units, and outputs, from the first activation to the last.

    Args:
        diagnoses: the result of `convarium.diagnostics.diagnose`.

    Raises:
        ConvariumError: no network has diagnostics, or none has an activation of a known kind.
    """
    points, labels = _not_empty_diagnoses(diagnostics_charts.unit_points(diagnoses)), [d.label for d in diagnoses]
    panels = [
        diagnostics_charts.units_chart(inline_data(points), points, labels, share, legend=True) for share in SHARES
    ]
    return _finish(alt.hconcat(*panels))


def plot_surface(diagnoses: Diagnoses) -> Chart:
    """The loss around every network's weights in the same colors, and along the first direction.

    Args:
        diagnoses: the result of `convarium.diagnostics.diagnose`.

    Raises:
        ConvariumError: no network has diagnostics.
    """
    points, labels = _not_empty_diagnoses(diagnostics_charts.surface_points(diagnoses)), [d.label for d in diagnoses]
    panels: list[Any] = []
    for number, diagnosis in enumerate(available_diagnoses(diagnoses)):
        own = inline_data(points[points["network"] == number])
        panel: Any = diagnostics_charts.surface_chart(own, points, number, side=HEIGHT)
        panels.append(panel.properties(title=wrap(diagnosis.label, 28)))
    scale: Any = diagnostics_charts.loss_scale_chart(inline_data(diagnostics_charts.scale_points(points)), points)
    along = points[points["second"] == 0]
    lines: Any = diagnostics_charts.slice_chart(inline_data(along), points, labels, legend=True)
    # Colors represent losses in the upper charts and networks in the lowest one.
    chart = alt.vconcat(alt.concat(*panels, columns=3), scale, lines)
    return _finish(chart.resolve_scale(color="independent", strokeDash="independent"))


def _labels(comparison: Comparison) -> list[str]:
    return [row.label for row in comparison.rows]


def _finish(chart: Any) -> Chart:
    return with_style(chart.add_params(hidden_parameter()))


def _not_empty(points: pd.DataFrame, what: str) -> pd.DataFrame:
    if points.empty:
        raise ConvariumError(f"there is nothing to draw: no run has {what}", hint="compare runs that finished")
    return points


def _not_empty_diagnoses(points: pd.DataFrame) -> pd.DataFrame:
    if points.empty:
        raise ConvariumError(
            "there is nothing to draw: no network has diagnostics", hint="each MissingDiagnosis has its reason"
        )
    return points


def _predictions(comparison: Comparison) -> Predictions:
    predictions = read_predictions(comparison)
    if predictions is None:
        raise ConvariumError(
            "there is nothing to draw: no run has stored its predictions, or not of the same images",
            hint="compare finished runs on one data set",
        )
    return predictions
