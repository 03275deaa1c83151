"""The charts of the page: specifications without data, and the data once for all of them."""

from dataclasses import dataclass
from typing import Any

import altair as alt

from convarium.comparison import Comparison
from convarium.report import charts, style
from convarium.report.curves import QUANTITIES, XAxis, curve_points, steps_a_point

_PAGE_STYLE = style.config(font_size=12, ink="currentColor", font="system-ui, sans-serif") | {"background": None}


@dataclass(frozen=True)
class Panels:
    """What the page's script draws.

    Attributes:
        specs: Vega-Lite by name; "curves/loss/train/epoch/linear" and the like.
        data: tables by name, one list a column.
        curves: (quantity, split) of each curve panel.
        by_step: whether the curves can be shown by step.
        steps_a_point: training steps that one point of such a curve stands for.
    """

    specs: dict[str, Any]
    data: dict[str, Any]
    curves: tuple[tuple[str, str], ...]
    by_step: bool
    steps_a_point: int


def panels(comparison: Comparison) -> Panels:
    """All charts that the comparison has data for."""
    labels = [row.label for row in comparison.rows]
    specs: dict[str, Any] = {}
    data: dict[str, Any] = {}
    shown: dict[str, list[tuple[str, str]]] = {}
    axes: tuple[XAxis, ...] = ("epoch", "step")
    for x in axes:
        points = curve_points(comparison, x)
        data[x] = charts.columnar(points)
        shown[x] = [] if points.empty else [(q, s) for q in QUANTITIES for s in charts.recorded_splits(points)]
        for quantity, split in shown[x]:
            for log in (False, True):
                panel = charts.curve_panel(alt.NamedData(name=x), points, labels, quantity, split, x=x, log=log)
                specs[f"curves/{quantity}/{split}/{x}/{'log' if log else 'linear'}"] = _for_page(panel)
    return Panels(specs, data, tuple(shown["epoch"]), bool(shown["step"]), steps_a_point(comparison))


def _for_page(chart: Any) -> dict[str, Any]:
    """As wide as the page allows, in the page's own colours, with the page's own legend."""
    spec: dict[str, Any] = chart.add_params(charts.none_hidden()).to_dict()
    del spec["$schema"]
    spec["config"] = _PAGE_STYLE
    spec["width"], spec["height"] = "container", 220
    return spec
