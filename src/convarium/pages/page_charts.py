"""The charts of the page: specifications without data, and the data that they share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt
import pandas as pd

from convarium.analysis.comparison import Comparison
from convarium.diagnostics import Diagnoses
from convarium.pages import (
    accuracy_panel,
    class_charts,
    cost_panel,
    diagnostics_charts,
    prediction_charts,
    surface_charts,
)
from convarium.pages.chart_style import hidden_parameter, to_columns, vega_config
from convarium.pages.cost_panel import COSTS
from convarium.pages.curve_charts import curve_chart
from convarium.pages.curves import (
    AXES,
    QUANTITIES,
    RATE,
    constant_rate,
    curve_points,
    recorded_splits,
    steps_per_point,
)
from convarium.pages.diagnostics_section import MOMENTS, SHARES, available_diagnoses
from convarium.pages.predictions import Predictions, agreement, calibration, class_points, confusion_points
from convarium.pages.study_status import RunInProgress

PAGE_STYLE = vega_config(font_size=12, ink="currentColor", font="system-ui, sans-serif") | {"background": None}
"""Vega-Lite's `config` of all charts of the page."""
_CELL = 34
"""Width of a cell of a matrix with numbers, in pixels."""
_COST_WIDTH, _COST_HEIGHT = 270, 200
"""Size of the plots of costs, in pixels: their names stand where nothing else is in exactly this width."""
_SURFACE_SIZE = 216
"""Width and height of a loss surface, in pixels."""


@dataclass
class PageCharts:
    """What the script of the page draws.

    Attributes:
        specs: Vega-Lite specifications by name, such as "curves/loss/train/epoch/linear"; `usermeta` names the table
            that a specification needs.
        tables: data by name, one list for each column.
        curves: (quantity, split) of each panel of the learning curves.
        axes: names of AXES by which the curves can be shown.
        constant_rate: the learning rate of all runs if it never changes; None if it does, and has a panel.
        one_epoch: whether every run has one epoch, so that curves by epoch are dots.
        steps_per_point: the largest number of training steps that one point of a curve by step represents.
        costs: names of COSTS that can be drawn.
        classes: number of classes.
        shown_classes: names of the classes that the charts show.
        confusion_labels: labels of the networks with a confusion matrix.
    """

    specs: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    curves: tuple[tuple[str, str], ...] = ()
    axes: tuple[str, ...] = ()
    constant_rate: float | None = None
    one_epoch: bool = False
    steps_per_point: int = 1
    costs: tuple[str, ...] = ()
    classes: int = 0
    shown_classes: tuple[str, ...] = ()
    confusion_labels: tuple[str, ...] = ()


def page_charts(
    comparison: Comparison,
    predictions: Predictions | None,
    labels: Sequence[str],
    *,
    in_progress: Sequence[RunInProgress] = (),
    diagnoses: Diagnoses = (),
) -> PageCharts:
    """All charts for which there are data.

    Args:
        comparison: the comparison of the finished runs.
        predictions: the predictions of the finished runs.
        labels: labels of all networks, in the order of their colors.
        in_progress: runs that are training.
        diagnoses: the diagnostics of the networks; empty: without their charts.
    """
    made = PageCharts()
    _add_curves(made, comparison, labels, in_progress)
    _add_costs(made, comparison, labels)
    _add_classes(made, comparison, labels)
    if predictions is not None:
        _add_predictions(made, predictions, labels)
    _add_diagnostics(made, diagnoses, labels)
    return made


def _add_curves(
    made: PageCharts, comparison: Comparison, labels: Sequence[str], in_progress: Sequence[RunInProgress]
) -> None:
    for x in AXES:
        points = curve_points(comparison, x, in_progress)
        if points.empty:
            continue
        shown = [(quantity, split) for quantity in QUANTITIES for split in recorded_splits(points)]
        if not made.curves:
            made.curves, made.constant_rate = tuple(shown), constant_rate(points)
        made.axes = (*made.axes, x)
        made.tables[x] = to_columns(points if made.constant_rate is None else points[points["quantity"] != RATE])
        if x == "step":
            made.one_epoch = all(run.recipe.epochs == 1 for row in comparison.rows for run in row.runs)
            made.steps_per_point = steps_per_point(points)
        for quantity, split in [*shown, *([(RATE, "train")] if made.constant_rate is None else [])]:
            for log in (False, True) if quantity == "loss" else (False,):
                panel = curve_chart(alt.NamedData(name=x), points, quantity, split, labels=labels, x=x, log=log)
                name = f"curves/{quantity}/{split}/{x}/{'log' if log else 'linear'}"
                made.specs[name] = _for_page(panel, x, height=220, rule="at")


def _add_costs(made: PageCharts, comparison: Comparison, labels: Sequence[str]) -> None:
    seeds, costs = accuracy_panel.seed_points(comparison), cost_panel.cost_points(comparison)
    title = accuracy_panel.panel_metric(comparison).title
    if not seeds.empty:
        panel: Any = accuracy_panel.seeds_chart(_named(made, "seeds", seeds), seeds, labels, title=title)
        made.specs["seeds"] = _for_page(panel, "seeds")
    several = len(set(costs["label"])) > 1  # one network alone is no front
    made.costs = tuple(cost for cost in COSTS if several and (costs["cost"] == cost).any())
    for cost in made.costs:
        panel = cost_panel.cost_chart(_named(made, "costs", costs), costs, labels, cost, title=title,
                                      width=_COST_WIDTH, height=_COST_HEIGHT, font_size=12)  # fmt: skip
        made.specs[f"cost/{cost}"] = _for_page(panel, "costs", wide=False)


def _add_classes(made: PageCharts, comparison: Comparison, labels: Sequence[str]) -> None:
    points = class_points(comparison)
    if points.empty:
        return
    names = list(dict.fromkeys(points["class"]))
    classes = class_charts.most_differing(points)
    made.classes, made.shown_classes = len(names), tuple(classes)
    shown = points[points["class"].isin(classes)]
    if len(labels) <= class_charts.MOST_LINES:  # else the page has a table
        title = f"{comparison.split} accuracy"
        panel = class_charts.classes_chart(_named(made, "classes", shown), shown, labels, title=title)
        made.specs["classes"] = _for_page(panel, "classes")
    confused = confusion_points(comparison)
    confused = confused[confused["true"].isin(classes) & confused["predicted"].isin(classes)]
    made.confusion_labels = tuple(dict.fromkeys(confused["label"]))
    chart: Any = prediction_charts.confusion_chart(_named(made, "confusion", confused), classes, cell=_CELL)
    row = alt.param(name="row", value=made.confusion_labels[0])
    chart = chart.transform_filter("datum.label === row").add_params(row)
    made.specs["confusion"] = _for_page(chart, "confusion", wide=False)


def _add_predictions(made: PageCharts, predictions: Predictions, labels: Sequence[str]) -> None:
    points = calibration(predictions)
    panel = prediction_charts.calibration_chart(_named(made, "calibration", points), points, labels, legend=False)
    made.specs["calibration"] = _for_page(panel, "calibration", height=340)
    alike = agreement(predictions)
    if not alike.empty:
        panel = prediction_charts.agreement_chart(_named(made, "agreement", alike), alike, cell=_CELL + 16)
        made.specs["agreement"] = _for_page(panel, "agreement", wide=False)


def _add_diagnostics(made: PageCharts, diagnoses: Diagnoses, labels: Sequence[str]) -> None:
    if not available_diagnoses(diagnoses):
        return
    gradients, units = diagnostics_charts.gradient_points(diagnoses), diagnostics_charts.unit_points(diagnoses)
    data = _named(made, "gradients", gradients)
    for moment in MOMENTS:
        panel = diagnostics_charts.gradient_chart(data, gradients, labels, moment)
        made.specs[f"gradients/{moment}"] = _for_page(panel, "gradients", height=220)
    if not units.empty:
        data = _named(made, "units", units)
        for share in SHARES:
            made.specs[f"units/{share}"] = _for_page(
                diagnostics_charts.units_chart(data, units, labels, share), "units", height=220
            )
    surfaces = diagnostics_charts.surface_points(diagnoses)
    if surfaces.empty:
        return
    reach = float(surfaces["first"].max())
    shared = surface_charts.loss_bands(surfaces)
    data = _named(made, "contours", surface_charts.contour_points(surfaces, shared))
    for number in sorted(set(surfaces["network"].astype(int))):
        own = surfaces[surfaces["network"] == number]
        panel = surface_charts.surface_chart(data, shared, number, reach=reach, side=_SURFACE_SIZE)
        made.specs[f"surface/{number}/shared"] = _for_page(panel, "contours", wide=False)
        bands = surface_charts.loss_bands(own)
        contours = _named(made, f"contours/{number}", surface_charts.contour_points(own, bands))
        panel = surface_charts.surface_chart(contours, bands, number, reach=reach, side=_SURFACE_SIZE)
        made.specs[f"surface/{number}/own"] = _for_page(panel, f"contours/{number}", wide=False)
        made.specs[f"surface/{number}/scale"] = _scale(made, f"scale/{number}", bands, "loss, nats")
    made.specs["surface/scale"] = _scale(made, "scale", shared, "loss, nats: the same colors for all networks")
    data = _named(made, "slice", surfaces[surfaces["second"] == 0])
    made.specs["surface/slice"] = _for_page(surface_charts.slice_chart(data, surfaces, labels), "slice", height=260)


def _scale(made: PageCharts, table: str, bands: surface_charts.LossBands, title: str) -> dict[str, Any]:
    data = _named(made, table, surface_charts.scale_points(bands))
    width = _SURFACE_SIZE if table != "scale" else 2 * _SURFACE_SIZE - 120
    return _for_page(surface_charts.loss_scale_chart(data, bands, title=title, width=width), table, wide=False)


def _named(made: PageCharts, name: str, points: pd.DataFrame) -> alt.NamedData:
    made.tables[name] = to_columns(points)
    return alt.NamedData(name=name)


def _for_page(
    chart: Any, table: str, *, height: int | None = None, wide: bool = True, rule: str | None = None
) -> dict[str, Any]:
    """A specification without a legend, for the page's own colors, which the script adds.

    Args:
        chart: the chart.
        table: name of the table with its data.
        height: in pixels; None: the chart's own.
        wide: whether the chart takes the full width of its place on the page.
        rule: name of the parameter that holds the position of a vertical rule; None: the chart has no rule.
    """
    params = [hidden_parameter()] + ([alt.param(name=rule, value=None)] if rule else [])
    spec: dict[str, Any] = chart.add_params(*params).to_dict(
        validate=False
    )  # Its parts were validated when they were made.
    del spec["$schema"]
    spec["usermeta"] = {"table": table}
    if wide:
        spec |= {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
    if height is not None:
        spec["height"] = height
    return spec
