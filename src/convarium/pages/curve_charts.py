"""Charts of learning curves."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from convarium.pages.chart_style import (
    HEIGHT,
    IS_SHOWN,
    WIDTH,
    Chart,
    axis_bounds,
    label_color,
    label_dash,
    label_symbol,
)
from convarium.pages.curves import AXES, RATE, XAxis
from convarium.pages.numbers import AXIS_NUMBER, AXIS_POWER, log_ticks

_MOST_TICKS = 8
"""Number of epochs up to which each epoch has its own tick; Vega alone would put ticks between them."""

_SPLIT_TITLES = {"train": "training", "validation": "validation", "test": "test"}
_UNITS = {"loss": ", nats", "accuracy": ""}


def curve_chart(
    data: alt.Data,
    points: pd.DataFrame,
    quantity: str,
    split: str,
    *,
    labels: Sequence[str],
    x: XAxis,
    log: bool,
    chosen: alt.Parameter | None = None,
) -> Chart:
    """One panel of the learning curves.

    Args:
        data: what is drawn; rows of other splits and quantities are filtered out.
        points: the rows of `curve_points` of all panels, which decide the scales that all splits share.
        quantity: "loss", "accuracy", or RATE.
        split: "train", "validation" or "test".
        labels: labels of all networks, in the order of their colors.
        x: what the horizontal axis counts.
        log: whether losses have a logarithmic scale.
        chosen: the selection by the chart's legend. None: a chart for the page, which has a legend and tooltips of its
            own and moves a rule to the value of the parameter `at`.
    """
    of_quantity = points[points["quantity"] == quantity]
    positive = of_quantity.loc[of_quantity["mean"] > 0, "mean"]
    is_log = log and quantity == "loss" and not positive.empty
    bounds = [float(positive.min()), float(positive.max())] if is_log else axis_bounds(of_quantity["mean"])
    linear = alt.Scale(domain=bounds, clamp=True, nice=True, zero=quantity == RATE)
    y_scale = alt.Scale(domain=bounds, clamp=True, nice=False, type="log") if is_log else linear
    title = RATE if quantity == RATE else f"{_SPLIT_TITLES[split]} {quantity}" + _UNITS[quantity]
    y_axis = alt.Axis(title=title, format="~%", tickCount=5)
    if quantity != "accuracy":
        y_axis = alt.Axis(title=title, labelExpr=AXIS_NUMBER, tickCount=5)
    if is_log:
        y_axis = alt.Axis(title=title, labelExpr=AXIS_POWER, values=log_ticks(*bounds))
    first, last = axis_bounds(points["x"])
    few = list(range(math.ceil(first), math.floor(last) + 1)) if last - first <= _MOST_TICKS else alt.Undefined
    along = alt.X(
        "x:Q",
        title=AXES[x],
        scale=alt.Scale(domain=[0 if x == "second" else first, last], nice=False),
        axis=alt.Axis(grid=False, values=few if x == "epoch" else alt.Undefined, tickCount=5, labelExpr=AXIS_NUMBER),
    )
    has_legend = chosen is not None
    base = (
        alt.Chart(data)
        .transform_filter(f"datum.split === '{split}' && datum.quantity === '{quantity}' && {IS_SHOWN}")
        .encode(x=along, color=label_color(labels, legend=has_legend), detail="run:N")
    )
    trained, failed = base.transform_filter("datum.run === ''"), base.transform_filter("datum.run !== ''")
    middle = alt.Y("mean:Q", scale=y_scale, axis=y_axis)
    low = alt.Y("low:Q", scale=y_scale, axis=y_axis)

    def opacity(value: float, faded: float) -> Any:
        return alt.value(value) if chosen is None else alt.condition(chosen, alt.value(value), alt.value(faded))

    layers = [
        trained.mark_area(clip=True).encode(y=low, y2="high:Q", opacity=opacity(0.18, 0.02)),
        failed.mark_line(strokeWidth=1.6, strokeDash=[2, 3], clip=True).encode(y=middle, opacity=opacity(1, 0.08)),
        trained.mark_line(strokeWidth=1.8, clip=True, strokeJoin="round").encode(
            y=middle, opacity=opacity(1, 0.08), strokeDash=label_dash(labels, legend=has_legend)
        ),
        # A line of one point is invisible: a dot shows a network that trained for one epoch.
        base.mark_point(filled=True, shape=label_symbol(labels), size=18, clip=True)
        .transform_joinaggregate(points="count()", groupby=["label", "run"])
        .transform_filter("datum.points === 1")
        .encode(y=middle, opacity=opacity(1, 0.08)),
    ]
    if has_legend:
        tooltip = ["label:N", "run:N", alt.Tooltip("x:Q", title=AXES[x]), "mean:Q", "low:Q", "high:Q"]
        tooltip.append(alt.Tooltip("n:Q", title="seeds"))
        layers.append(base.mark_point(size=60, opacity=0).encode(y=middle, tooltip=tooltip))
    else:
        rule = alt.Chart(alt.InlineData(values=[{}])).transform_filter("at !== null").transform_calculate(x="at")
        layers.append(rule.mark_rule(opacity=0.4).encode(x=along))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)
