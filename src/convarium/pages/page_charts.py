"""The charts of the page: specifications without data, and the data once for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt
import pandas as pd

from convarium.analysis.comparison import Comparison
from convarium.pages import inside, inside_panels, score_panels, style
from convarium.pages.costs import COSTS, cost_points, seed_points
from convarium.pages.curve_panels import curve_panel, recorded_splits
from convarium.pages.curves import QUANTITIES, XAxis, curve_points, steps_a_point
from convarium.pages.drawing import columnar, none_hidden
from convarium.pages.predictions import Predictions, agreement, calibration, class_points, confusion_points
from convarium.pages.study_status import RunInProgress

_PAGE_STYLE = style.config(font_size=12, ink="currentColor", font="system-ui, sans-serif") | {"background": None}
_CELL = 34
"""Of a matrix with numbers, in pixels."""
_SIDE = 216
"""Of a loss surface, in pixels."""


@dataclass
class PageCharts:
    """What the page's script draws.

    Attributes:
        specs: Vega-Lite by name, the tables it needs in `usermeta`; "curves/loss/train/epoch/linear" and the like.
        tables: by name, one list a column.
        curves: (quantity, split) of each panel of the learning curves.
        by_step: whether the curves can be shown by step.
        one_epoch: whether every run is one epoch long, so that curves by epoch are dots.
        steps_a_point: training steps that one point of such a curve stands for, at most.
        costs: names of COSTS that can be drawn.
        classes, shown_classes: how many there are, and how many of them the charts show.
        confused: labels that have a confusion matrix.
    """

    specs: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    curves: tuple[tuple[str, str], ...] = ()
    by_step: bool = False
    one_epoch: bool = False
    steps_a_point: int = 1
    costs: tuple[str, ...] = ()
    classes: int = 0
    shown_classes: int = 0
    confused: tuple[str, ...] = ()


def page_charts(
    comparison: Comparison,
    predictions: Predictions | None,
    labels: Sequence[str],
    in_progress: Sequence[RunInProgress] = (),
    diagnoses: inside.Diagnoses = (),
) -> PageCharts:
    """All charts that the comparison, and what is training, have data for.

    Args:
        comparison: of the finished runs.
        predictions: theirs.
        labels: of all networks, in the order of their colors.
        in_progress: runs that are training.
        diagnoses: what the networks look like from inside, where that was asked for.
    """
    made = PageCharts()
    _add_curves(made, comparison, labels, in_progress)
    _add_costs(made, comparison, labels)
    _add_classes(made, comparison, labels)
    if predictions is not None:
        _add_predictions(made, predictions, labels)
    _add_inside(made, diagnoses, labels)
    return made


def _add_curves(
    made: PageCharts, comparison: Comparison, labels: Sequence[str], in_progress: Sequence[RunInProgress]
) -> None:
    axes: tuple[XAxis, ...] = ("epoch", "step")
    for x in axes:
        points = curve_points(comparison, x, in_progress)
        if points.empty:
            continue
        made.tables[x] = columnar(points)
        shown = [(quantity, split) for quantity in QUANTITIES for split in recorded_splits(points)]
        if x == "step":
            made.one_epoch = all(run.recipe.epochs == 1 for row in comparison.rows for run in row.runs)
            made.by_step, made.steps_a_point = True, steps_a_point(points)
        made.curves = made.curves or tuple(shown)
        for quantity, split in shown:
            for log in (False, True) if quantity == "loss" else (False,):
                panel = curve_panel(alt.NamedData(name=x), points, labels, quantity, split, x=x, log=log)
                name = f"curves/{quantity}/{split}/{x}/{'log' if log else 'linear'}"
                made.specs[name] = _for_page(panel, x, height=220, moving="at")


def _add_costs(made: PageCharts, comparison: Comparison, labels: Sequence[str]) -> None:
    seeds, costs = seed_points(comparison), cost_points(comparison)
    if not seeds.empty:
        made.specs["seeds"] = _for_page(score_panels.seeds_panel(_named(made, "seeds", seeds), seeds, labels), "seeds")
    made.costs = tuple(cost for cost in COSTS if (costs["cost"] == cost).any())
    for cost in made.costs:
        panel = score_panels.cost_panel(_named(made, "costs", costs), costs, labels, cost)
        made.specs[f"cost/{cost}"] = _for_page(panel, "costs", height=260)


def _add_classes(made: PageCharts, comparison: Comparison, labels: Sequence[str]) -> None:
    points = class_points(comparison)
    if points.empty:
        return
    names = list(dict.fromkeys(points["class"]))
    kept = score_panels.most_differing(points)
    made.classes, made.shown_classes = len(names), len(kept)
    shown = points[points["class"].isin(kept)]
    panel = score_panels.classes_panel(_named(made, "classes", shown), shown, labels)
    made.specs["classes"] = _for_page(panel, "classes")
    confused = confusion_points(comparison)
    confused = confused[confused["true"].isin(kept) & confused["predicted"].isin(kept)]
    made.confused = tuple(dict.fromkeys(confused["label"]))
    chart: Any = score_panels.confusion_panel(_named(made, "confusion", confused), kept, cell=_CELL)
    chosen = alt.param(name="row", value=made.confused[0])
    chart = chart.transform_filter("datum.label === row").add_params(chosen)
    made.specs["confusion"] = _for_page(chart, "confusion", wide=False)


def _add_predictions(made: PageCharts, predictions: Predictions, labels: Sequence[str]) -> None:
    points = calibration(predictions)
    panel = score_panels.calibration_panel(_named(made, "calibration", points), points, labels, legend=False)
    made.specs["calibration"] = _for_page(panel, "calibration", height=340)
    alike = agreement(predictions)
    if not alike.empty:
        panel = score_panels.agreement_panel(_named(made, "agreement", alike), alike, cell=_CELL + 16)
        made.specs["agreement"] = _for_page(panel, "agreement", wide=False)


def _add_inside(made: PageCharts, diagnoses: inside.Diagnoses, labels: Sequence[str]) -> None:
    if not inside.known(diagnoses):
        return
    gradients, units = inside.gradient_points(diagnoses), inside.unit_points(diagnoses)
    data = _named(made, "gradients", gradients)
    for moment in inside.MOMENTS:
        panel = inside_panels.gradient_panel(data, gradients, labels, moment)
        made.specs[f"gradients/{moment}"] = _for_page(panel, "gradients", height=220)
    if not units.empty:
        data = _named(made, "units", units)
        for share in inside.SHARES:
            made.specs[f"units/{share}"] = _for_page(
                inside_panels.units_panel(data, units, labels, share), "units", height=220
            )
    surfaces = inside.surface_points(diagnoses)
    if surfaces.empty:
        return
    data = _named(made, "surfaces", surfaces)
    for number in surfaces["network"].unique():
        panel = inside_panels.surface_panel(data, surfaces, number, side=_SIDE)
        made.specs[f"surface/{number}"] = _for_page(panel, "surfaces", wide=False)
    made.specs["surface/slice"] = _for_page(inside_panels.slice_panel(data, surfaces, labels), "surfaces", height=260)
    scale = inside_panels.loss_scale(_named(made, "scale", inside.scale_points(surfaces)), surfaces)
    made.specs["surface/scale"] = _for_page(scale, "scale")


def _named(made: PageCharts, name: str, points: pd.DataFrame) -> alt.NamedData:
    made.tables[name] = columnar(points)
    return alt.NamedData(name=name)


def _for_page(
    chart: Any, table: str, *, height: int | None = None, wide: bool = True, moving: str | None = None
) -> dict[str, Any]:
    """In the page's own colors and without a legend; `wide`: as wide as the page gives it room."""
    params = [none_hidden()] + ([alt.param(name=moving, value=None)] if moving else [])
    spec: dict[str, Any] = chart.add_params(*params).to_dict(validate=False)  # its parts were when they were made
    del spec["$schema"]
    spec |= {"config": _PAGE_STYLE, "usermeta": {"table": table}}
    if wide:
        spec |= {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
    if height is not None:
        spec["height"] = height
    return spec
