"""The charts of a comparison as altair charts, for notebooks and figures."""

from textwrap import wrap
from typing import Any

import altair as alt
import pandas as pd

from convarium.analysis.comparison import Comparison
from convarium.errors import ConvariumError
from convarium.pages import inside, inside_panels, score_panels
from convarium.pages.costs import COSTS, cost_points, seed_points
from convarium.pages.curve_panels import curve_panel, recorded_splits
from convarium.pages.curves import QUANTITIES, XAxis, curve_points
from convarium.pages.drawing import HEIGHT, Chart, dressed, inline, none_hidden
from convarium.pages.predictions import (
    Predictions,
    agreement,
    calibration,
    class_points,
    confusion_points,
    read_predictions,
)

_WHY = "each diagnosis says why"


def plot_curves(comparison: Comparison, *, x: XAxis = "epoch", log: bool = False) -> Chart:
    """Loss and accuracy of every split: one line a network, a band from the lowest to the highest seed.

    A click on the legend brings a network out. Failed runs are thin dotted lines of their own.

    Args:
        comparison: whose runs.
        x: "epoch" or "step".
        log: losses on a logarithmic scale.

    Raises:
        ConvariumError: no run has recorded anything.
    """
    points = _some(curve_points(comparison, x), f"recorded a value by {x}")
    chosen = alt.selection_point(name="chosen", fields=["label"], bind="legend")
    splits = recorded_splits(points)
    rows: list[Any] = []
    for quantity in QUANTITIES:
        panels: list[Any] = [
            curve_panel(inline(points.query("split == @split and quantity == @quantity")), points,
                        _labels(comparison), quantity, split, x=x, log=log, chosen=chosen)
            for split in splits
        ]  # fmt: skip
        if not rows:  # a selection belongs to one view, and is heard in all
            panels[0] = panels[0].add_params(chosen)
        rows.append(alt.hconcat(*panels))
    return _whole(alt.vconcat(*rows))


def plot_accuracy(comparison: Comparison) -> Chart:
    """Test accuracy of every trained run, with the mean of each network and its 95 % interval.

    Raises:
        ConvariumError: no run has test scores.
    """
    points = _some(seed_points(comparison), "test scores")
    return _whole(score_panels.seeds_panel(inline(points), points, _labels(comparison)))


def plot_cost(comparison: Comparison) -> Chart:
    """Mean test accuracy against parameters, FLOPs and training time, with intervals and the Pareto front.

    Raises:
        ConvariumError: no trained run has a cost.
    """
    points = _some(cost_points(comparison), "a cost and test scores")
    panels = [
        score_panels.cost_panel(inline(points[points["cost"] == cost]), points, _labels(comparison), cost)
        for cost in COSTS
        if (points["cost"] == cost).any()
    ]
    return _whole(alt.concat(*panels, columns=2))


def plot_classes(comparison: Comparison) -> Chart:
    """Test accuracy class by class; of many classes, those on which the networks differ most.

    Raises:
        ConvariumError: no run has test scores.
    """
    points = _some(class_points(comparison), "test scores")
    shown = points[points["class"].isin(score_panels.most_differing(points))]
    return _whole(score_panels.classes_panel(inline(shown), shown, _labels(comparison)))


def plot_confusion(comparison: Comparison, row: object = None) -> Chart:
    """What was taken for what, in shares of the true class, summed over the trained runs.

    Args:
        comparison: whose runs.
        row: one row's label; None: all rows, three side by side.

    Raises:
        ConvariumError: no run has test scores.
        SpecError: no such row.
    """
    points = _some(confusion_points(comparison), "test scores")
    names = [comparison.row(row).label] if row is not None else list(dict.fromkeys(points["label"]))
    panels: list[Any] = []
    for name in names:
        of_row = _some(points[points["label"] == name], f"test scores under {name!r}")
        panel: Any = score_panels.confusion_panel(inline(of_row), list(dict.fromkeys(points["true"])))
        panels.append(panel.properties(title=name) if len(names) > 1 else panel)
    return dressed(alt.concat(*panels, columns=3) if len(panels) > 1 else panels[0])


def plot_calibration(comparison: Comparison) -> Chart:
    """Accuracy against confidence, all trained runs of a network together (a reliability diagram).

    Raises:
        ConvariumError: no run has stored its predictions.
    """
    points = calibration(_predictions(comparison))
    return _whole(score_panels.calibration_panel(inline(points), points, _labels(comparison), legend=True))


def plot_agreement(comparison: Comparison) -> Chart:
    """How often the runs of two networks predict the same class, and two seeds of one network.

    Raises:
        ConvariumError: there are no two runs with predictions of the same images.
    """
    points = _some(agreement(_predictions(comparison)), "stored its predictions beside another")
    return dressed(score_panels.agreement_panel(inline(points), points))


def plot_gradients(diagnoses: inside.Diagnoses) -> Chart:
    """The norm of the gradient from the first layer to the last: where the seed starts, and at the stored weights.

    Args:
        diagnoses: of `convarium.diagnostics.diagnose`.

    Raises:
        ConvariumError: no network could be looked into.
    """
    points, labels = _some_inside(inside.gradient_points(diagnoses)), [one.label for one in diagnoses]
    panels = [
        inside_panels.gradient_panel(inline(points), points, labels, moment, legend=True) for moment in inside.MOMENTS
    ]
    return _whole(alt.hconcat(*panels))


def plot_units(diagnoses: inside.Diagnoses) -> Chart:
    """Dead and saturated units, and outputs, from the first activation to the last.

    Args:
        diagnoses: of `convarium.diagnostics.diagnose`.

    Raises:
        ConvariumError: no network could be looked into, or none has an activation of a known kind.
    """
    points, labels = _some_inside(inside.unit_points(diagnoses)), [one.label for one in diagnoses]
    panels = [inside_panels.units_panel(inline(points), points, labels, share, legend=True) for share in inside.SHARES]
    return _whole(alt.hconcat(*panels))


def plot_surface(diagnoses: inside.Diagnoses) -> Chart:
    """The loss around every network's solution, in the same colors, and along the first direction.

    Args:
        diagnoses: of `convarium.diagnostics.diagnose`.

    Raises:
        ConvariumError: no network could be looked into.
    """
    points, labels = _some_inside(inside.surface_points(diagnoses)), [one.label for one in diagnoses]
    drawn: list[Any] = []
    for number, one in enumerate(inside.known(diagnoses)):
        own = inline(points[points["network"] == number])
        drawn.append(
            inside_panels.surface_panel(own, points, number, side=HEIGHT).properties(title=wrap(one.label, 28))
        )
    scale: Any = inside_panels.loss_scale(inline(inside.scale_points(points)), points)
    along = points[points["second"] == 0]
    lines: Any = inside_panels.slice_panel(inline(along), points, labels, legend=True)
    whole = alt.vconcat(alt.concat(*drawn, columns=3), scale, lines)  # colors mean losses above, networks below
    return _whole(whole.resolve_scale(color="independent", strokeDash="independent"))


def _labels(comparison: Comparison) -> list[str]:
    return [row.label for row in comparison.rows]


def _whole(chart: Any) -> Chart:
    return dressed(chart.add_params(none_hidden()))


def _some(points: pd.DataFrame, what: str) -> pd.DataFrame:
    if points.empty:
        raise ConvariumError(f"there is nothing to draw: no run has {what}", hint="compare runs that finished")
    return points


def _some_inside(points: pd.DataFrame) -> pd.DataFrame:
    if points.empty:
        raise ConvariumError("there is nothing to draw: no network could be looked into", hint=_WHY)
    return points


def _predictions(comparison: Comparison) -> Predictions:
    found = read_predictions(comparison)
    if found is None:
        raise ConvariumError(
            "there is nothing to draw: no run has stored its predictions, or not of the same images",
            hint="compare runs that finished, on one data set",
        )
    return found
