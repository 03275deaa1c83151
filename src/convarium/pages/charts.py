"""The charts of a comparison as altair charts, for notebooks and for the files of `save_figures`."""

from typing import Any

import altair as alt
import pandas as pd

from convarium.analysis.comparison import Comparison
from convarium.errors import ConvariumError
from convarium.pages import accuracy_panel, class_charts, cost_panel, prediction_charts
from convarium.pages.chart_style import Chart, hidden_parameter, inline_data
from convarium.pages.cost_panel import COSTS
from convarium.pages.curve_charts import curve_chart
from convarium.pages.curves import QUANTITIES, RATE, XAxis, curve_points, recorded_splits
from convarium.pages.figure_sizes import fitted
from convarium.pages.names import wrapped_name
from convarium.pages.predictions import (
    Predictions,
    agreement,
    calibration,
    class_points,
    confusion_points,
    read_predictions,
)


def plot_curves(
    comparison: Comparison,
    *,
    x: XAxis = "epoch",
    log: bool = False,
    learning_rate: bool = False,
    only: tuple[str, str] | None = None,
    width: str | float | None = None,
) -> Chart:
    """Loss and accuracy of every split: one line for each network, with a band from the lowest to the highest seed.

    A click on the legend highlights a network. Failed runs are thin dotted lines of their own.

    Args:
        comparison: the comparison whose runs are drawn.
        x: whether the horizontal axis counts epochs ("epoch"), steps ("step"), or seconds of training ("second"), which
            must have been measured in one environment.
        log: whether losses have a logarithmic scale.
        learning_rate: whether a last panel shows the learning rate.
        only: quantity ("loss" or "accuracy") and split ("train", "validation" or "test") of the only panel; None: all.
        width: of the whole figure, such as "84mm"; a number is in pixels. None: panels of the usual width.

    Raises:
        ConvariumError: no run has recorded a value.
    """
    points = _not_empty(curve_points(comparison, x), f"recorded a value by {x}")
    chosen = alt.selection_point(name="chosen", fields=["label"], bind="legend")
    splits = recorded_splits(points)
    panels = [(quantity, split) for quantity in QUANTITIES for split in splits] if only is None else [only]
    panels += [(RATE, "train")] if learning_rate else []

    def draw(panel: float, columns: int) -> Any:
        drawn: list[Any] = []
        for quantity, split in panels:
            own = _not_empty(points.query("split == @split and quantity == @quantity"), f"recorded {split} {quantity}")
            chart = curve_chart(inline_data(own), points, quantity, split, labels=_labels(comparison), x=x, log=log,
                                chosen=chosen)  # fmt: skip
            drawn.append(chart.properties(width=panel))
        drawn[0] = drawn[0].add_params(chosen)  # A selection belongs to one panel, and all panels react to it.
        return _switched(alt.concat(*drawn, columns=columns) if len(drawn) > 1 else drawn[0])

    return fitted(draw, width, columns=min(len(panels), len(splits)))


def plot_accuracy(comparison: Comparison, *, width: str | float | None = None) -> Chart:
    """Test accuracy of every trained run, with the mean of each network and its 95 % interval.

    Args:
        comparison: the comparison whose runs are drawn.
        width: as for `plot_curves`.

    Raises:
        ConvariumError: no run has test scores.
    """
    points = _not_empty(accuracy_panel.seed_points(comparison), "test scores")
    title = accuracy_panel.panel_metric(comparison).title
    chart: Any = accuracy_panel.seeds_chart(inline_data(points), points, _labels(comparison), title=title)
    return fitted(lambda panel, _: _switched(chart.properties(width=panel)), width)


def plot_cost(comparison: Comparison, *, only: str | None = None, width: str | float | None = None) -> Chart:
    """Mean test accuracy against parameters, FLOPs and training time, with intervals and the Pareto front.

    Args:
        comparison: the comparison whose runs are drawn.
        only: the only cost: "parameters", "flops" or "train_seconds"; None: all.
        width: as for `plot_curves`.

    Raises:
        ConvariumError: no trained run has a cost.
    """
    points = _not_empty(cost_panel.cost_points(comparison), "a cost and test scores")
    costs = [cost for cost in COSTS if (points["cost"] == cost).any() and only in (None, cost)]
    _not_empty(points[points["cost"].isin(costs)], f"{COSTS.get(only or '', only)} that can be compared")
    title = accuracy_panel.panel_metric(comparison).title

    def draw(panel: float, columns: int) -> Any:
        drawn: list[Any] = [
            cost_panel.cost_chart(inline_data(points[points["cost"] == cost]), points, _labels(comparison), cost,
                                  title=title, width=panel)
            for cost in costs
        ]  # fmt: skip
        return _switched(alt.concat(*drawn, columns=columns) if len(drawn) > 1 else drawn[0])

    return fitted(draw, width, columns=min(2, len(costs)))


def plot_classes(comparison: Comparison, *, width: str | float | None = None) -> Chart:
    """Test accuracy by class, of more than six networks as a matrix. With many classes, those on which the networks
    differ most are shown.

    Args:
        comparison: the comparison whose runs are drawn.
        width: as for `plot_curves`.

    Raises:
        ConvariumError: no run has test scores.
    """
    points = _not_empty(class_points(comparison), "test scores")
    shown = points[points["class"].isin(class_charts.most_differing(points))]
    labels = _labels(comparison)
    if len(labels) > class_charts.MOST_LINES:
        count = shown["class"].nunique()

        def draw(panel: float, _: int) -> Any:
            cell = None if width is None else panel / count
            return class_charts.class_matrix_chart(inline_data(shown), shown, labels, cell=cell)

        return fitted(draw, width)
    title = f"{comparison.split} accuracy"
    chart: Any = class_charts.classes_chart(inline_data(shown), shown, labels, title=title)
    return fitted(lambda panel, _: _switched(chart.properties(width=panel)), width)


def plot_confusion(comparison: Comparison, row: object = None, *, width: str | float | None = None) -> Chart:
    """Confusion matrices in shares of the true class, summed over the trained runs.

    Args:
        comparison: the comparison whose runs are drawn.
        row: label of one row; None: all rows, three side by side.
        width: as for `plot_curves`.

    Raises:
        ConvariumError: no run has test scores.
        SpecError: there is no such row.
    """
    points = _not_empty(confusion_points(comparison), "test scores")
    names = [comparison.row(row).label] if row is not None else list(dict.fromkeys(points["label"]))
    classes = list(dict.fromkeys(points["true"]))

    def draw(panel: float, columns: int) -> Any:
        cell = 22 if width is None else panel / len(classes)
        panels: list[Any] = []
        for name in names:
            own = _not_empty(points[points["label"] == name], f"test scores under {name!r}")
            chart: Any = prediction_charts.confusion_chart(inline_data(own), classes, cell=cell)
            panels.append(chart.properties(title=wrapped_name(name, 28)) if len(names) > 1 else chart)
        return alt.concat(*panels, columns=columns) if len(panels) > 1 else panels[0]

    return fitted(draw, width, columns=min(3, len(names)))


def plot_calibration(comparison: Comparison, *, width: str | float | None = None) -> Chart:
    """Accuracy against confidence over all trained runs of each network (a reliability diagram).

    Args:
        comparison: the comparison whose runs are drawn.
        width: as for `plot_curves`.

    Raises:
        ConvariumError: no run has stored its predictions.
    """
    points = calibration(_predictions(comparison))
    chart: Any = prediction_charts.calibration_chart(inline_data(points), points, _labels(comparison), legend=True)
    return fitted(lambda panel, _: _switched(chart.properties(width=panel, height=panel)), width)


def plot_agreement(comparison: Comparison, *, width: str | float | None = None) -> Chart:
    """How often the runs of two networks, and two seeds of one network, predict the same class.

    Args:
        comparison: the comparison whose runs are drawn.
        width: as for `plot_curves`.

    Raises:
        ConvariumError: no two runs have stored predictions of the same images.
    """
    points = _not_empty(agreement(_predictions(comparison)), "stored its predictions beside another")
    count = points["first"].nunique()

    def draw(panel: float, _: int) -> Any:
        cell = 36 if width is None else panel / count
        return prediction_charts.agreement_chart(inline_data(points), points, cell=cell)

    return fitted(draw, width)


def _labels(comparison: Comparison) -> list[str]:
    return [row.label for row in comparison.rows]


def _switched(chart: Any) -> Any:
    """The chart with the parameter that its filters read."""
    return chart.add_params(hidden_parameter())


def _not_empty(points: pd.DataFrame, what: str) -> pd.DataFrame:
    if points.empty:
        raise ConvariumError(f"there is nothing to draw: no run has {what}", hint="compare runs that finished")
    return points


def _predictions(comparison: Comparison) -> Predictions:
    predictions = read_predictions(comparison)
    if predictions is None:
        raise ConvariumError(
            "there is nothing to draw: no run has stored its predictions, or not of the same images",
            hint="compare finished runs on one data set",
        )
    return predictions
