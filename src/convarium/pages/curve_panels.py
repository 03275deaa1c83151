"""One panel of the learning curves."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from convarium.pages.curves import SPLITS, XAxis
from convarium.pages.drawing import HEIGHT, SHOWN, WIDTH, Chart, label_color, label_dash, room

_EACH_NUMBERED = 8
"""Epochs up to which each has its own tick; left to itself, Vega would put ticks between them."""

_TITLES = {"train": "training", "validation": "validation", "test": "test"}


def curve_panel(
    data: alt.Data,
    points: pd.DataFrame,
    labels: Sequence[str],
    quantity: str,
    split: str,
    *,
    x: XAxis,
    log: bool,
    chosen: alt.Parameter | None = None,
) -> Chart:
    """One panel of the learning curves. `points` are all panels' and decide the scales, which all splits share.

    Args:
        data: what is drawn; other splits and quantities in it are left out.
        points: of `curve_points`.
        labels: of all networks, in the order of their colors.
        quantity: "loss" or "accuracy".
        split: "train", "validation" or "test".
        x: what runs along the axis.
        log: losses on a logarithmic scale.
        chosen: the selection of the chart's own legend; None: for the page, which has its own legend and tooltips and
            moves the rule at the parameter `at`.
    """
    of_quantity = points[points["quantity"] == quantity]
    positive = of_quantity.loc[of_quantity["mean"] > 0, "mean"]
    is_log = log and quantity == "loss" and not positive.empty
    bounds = [float(positive.min()), float(positive.max())] if is_log else room(of_quantity["mean"])
    linear = alt.Scale(domain=bounds, clamp=True, nice=True, zero=False)
    y_scale = alt.Scale(domain=bounds, clamp=True, nice=False, type="log") if is_log else linear
    title = f"{_TITLES[split]} {quantity}" + (", nats" if quantity == "loss" else "")
    y_axis = alt.Axis(title=title, format="~%" if quantity == "accuracy" else "~r", tickCount=5)
    first, last = room(points["x"])
    few = list(range(math.ceil(first), math.floor(last) + 1)) if last - first <= _EACH_NUMBERED else alt.Undefined
    along = alt.X(
        "x:Q",
        title=x,
        scale=alt.Scale(domain=[first, last], nice=False),
        axis=alt.Axis(grid=False, values=few, tickCount=6, format="~s" if x == "step" else "d"),
    )
    has_legend = chosen is not None
    base = (
        alt.Chart(data)
        .transform_filter(f"datum.split === '{split}' && datum.quantity === '{quantity}' && {SHOWN}")
        .encode(x=along, color=label_color(labels, has_legend), detail="run:N")
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
            y=middle, opacity=opacity(1, 0.08), strokeDash=label_dash(labels, has_legend)
        ),
        # A line has one tooltip and a legend needs no point: dots show a network that trained for one epoch alone.
        base.mark_point(filled=True, size=18, clip=True)
        .transform_joinaggregate(points="count()", groupby=["label", "run"])
        .transform_filter("datum.points === 1")
        .encode(y=middle, opacity=opacity(1, 0.08)),
    ]
    if has_legend:
        tips = ["label:N", "run:N", alt.Tooltip("x:Q", title=x), "mean:Q", "low:Q", "high:Q"]
        tips.append(alt.Tooltip("n:Q", title="seeds"))
        layers.append(base.mark_point(size=60, opacity=0).encode(y=middle, tooltip=tips))
    else:
        rule = alt.Chart(alt.InlineData(values=[{}])).transform_filter("at !== null").transform_calculate(x="at")
        layers.append(rule.mark_rule(opacity=0.4).encode(x=along))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


def recorded_splits(points: pd.DataFrame) -> list[str]:
    """The splits that have points, in their usual order."""
    return [split for split in SPLITS if (points["split"] == split).any()]
