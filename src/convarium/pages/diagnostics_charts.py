"""Panels of what goes on inside: a quantity layer by layer, and the loss around the solution."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from convarium.pages.drawing import HEIGHT, SHOWN, WIDTH, Chart, columnar, label_color, label_dash
from convarium.pages.inside import MOMENTS, SHARES, loss_bounds

_POWER = "datum.value === 1 ? '1' : format(datum.value, '.0e')"

_DOTTED = 40
"""Layers up to which each is a dot; the dots of more would make the line a band."""

_PLACES = "{'0': 'first', '0.25': '¼', '0.5': '½', '0.75': '¾', '1': 'last'}[datum.value] + ''"


def gradient_panel(
    data: alt.Data, points: pd.DataFrame, labels: Sequence[str], moment: str, *, legend: bool = False
) -> Chart:
    """The norm of the gradient from the first layer to the last, one line a network, on a logarithmic scale.

    Args:
        data: what is drawn; other moments in it are left out.
        points: of `gradient_points`, of all moments, which share the scale.
        labels: of all networks, in the order of their colors.
        moment: of MOMENTS.
        legend: whether the panel names its lines itself.
    """
    positive = points.loc[points["norm"] > 0, "norm"]
    bounds = [float(positive.min()) / 1.5, float(positive.max()) * 1.5] if len(positive) else [0.1, 1.0]
    norm = alt.Y(
        "norm:Q",
        title=f"gradient norm {MOMENTS[moment]}",
        scale=alt.Scale(type="log", domain=bounds, nice=False),
        axis=alt.Axis(values=_decades(*bounds), labelExpr=_POWER),
    )
    # what has vanished altogether has no place on a logarithmic scale
    base = alt.Chart(data).transform_filter(f"datum.moment === '{moment}' && datum.norm > 0 && {SHOWN}")
    tips = [alt.Tooltip(f"{name}:Q", format=".2e") for name in ("norm", "rms")]
    return _by_depth(base.encode(y=norm), labels, "layer", tips, legend=legend)


def units_panel(
    data: alt.Data, points: pd.DataFrame, labels: Sequence[str], share: str, *, legend: bool = False
) -> Chart:
    """A share of the units, or of their outputs, from the first activation to the last, one line a network.

    Args:
        data: what is drawn.
        points: of `unit_points`.
        labels: of all networks, in the order of their colors.
        share: of SHARES.
        legend: whether the panel names its lines itself.
    """
    scale = alt.Scale(domain=[0, max(0.1, float(points[share].max()))], nice=True)
    part = alt.Y(f"{share}:Q", title=SHARES[share], scale=scale, axis=alt.Axis(format="~%", tickCount=5))
    base = alt.Chart(data).transform_filter(SHOWN)
    tips = ["activation:N", "units:Q", "idle:Q", *(alt.Tooltip(f"{name}:Q", format=".1%") for name in SHARES)]
    return _by_depth(base.encode(y=part), labels, "activation", tips, legend=legend)


def _by_depth(base: Any, labels: Sequence[str], counted: str, tips: Sequence[Any], *, legend: bool) -> Chart:
    """Lines over the place in the network, which is the same for the last layer of all, however many they have."""
    places = alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], labelExpr=_PLACES, labelAngle=0, grid=False)
    base = base.encode(
        x=alt.X("place:Q", title=counted, axis=places, scale=alt.Scale(domain=[0, 1], nice=False)),
        color=label_color(labels, legend),
    )
    named = ["label:N", alt.Tooltip("layer:N", title=counted), alt.Tooltip("depth:Q", title="number")]
    size = alt.condition(f"datum.layers <= {_DOTTED}", alt.value(1), alt.value(0))
    return alt.layer(
        base.mark_line(strokeWidth=1.6, strokeJoin="round").encode(strokeDash=label_dash(labels, legend)),
        base.mark_point(filled=True, size=22).encode(
            opacity=size, tooltip=[*named, alt.Tooltip("layers:Q", title="of"), *tips]
        ),
    ).properties(width=WIDTH, height=HEIGHT)


def surface_panel(data: alt.Data, points: pd.DataFrame, number: int, *, side: int) -> Chart:
    """The loss around one network's solution, which is the cross in the middle; `points` are all networks'."""
    offsets = columnar(points[["first"]].drop_duplicates().sort_values("first"))["first"]
    reach = offsets[-1]
    ends = alt.Axis(values=[-reach, 0.0, reach], format="~r", labelAngle=0, ticks=False, domain=False, title=None)
    across = alt.X("first:O", axis=ends, scale=alt.Scale(domain=offsets, paddingInner=0, paddingOuter=0))
    up = alt.Y("second:O", axis=ends, scale=alt.Scale(domain=offsets[::-1], paddingInner=0, paddingOuter=0))
    base = alt.Chart(data).transform_filter(f"datum.network === {number}").encode(x=across, y=up)
    cells = base.mark_rect(strokeWidth=1).encode(  # a stroke of its own color closes the seams between cells
        color=_loss_color(points),
        stroke=_loss_color(points, alt.Stroke),
        tooltip=[alt.Tooltip(f"{name}:Q", format=".3~r") for name in ("first", "second", "loss")],
    )
    cross = base.transform_filter("datum.first === 0 && datum.second === 0").mark_point(
        shape="cross", size=70, filled=True, color="white", stroke="#222222", strokeWidth=0.8, opacity=1
    )
    return alt.layer(cells, cross).properties(width=side, height=side)


def loss_scale(data: alt.Data, points: pd.DataFrame) -> Chart:
    """Which color stands for which loss; `data` are the `scale_points`, `points` those of all surfaces."""
    bounds = loss_bounds(points)
    axis = alt.Axis(
        title="loss, nats: the same colors for all", format="~g", values=_decades(*bounds), grid=False, domain=False
    )
    x = alt.X("from:Q", scale=alt.Scale(type="log", domain=list(bounds), nice=False), axis=axis)
    drawn: Chart = (
        alt.Chart(data)
        .mark_rect(strokeWidth=0.7)
        .encode(x=x, x2="to:Q", color=_loss_color(points), stroke=_loss_color(points, alt.Stroke))
        .properties(width=WIDTH, height=10)
    )
    return drawn


def slice_panel(data: alt.Data, points: pd.DataFrame, labels: Sequence[str], *, legend: bool = False) -> Chart:
    """The loss along the first direction, through the solutions of all networks."""
    along = points[points["second"] == 0]
    low, high = (float(along["loss"].agg(end)) for end in ("min", "max"))
    bounds = (max(low, 1e-6) / 1.1, max(high, 1e-5) * 1.1)
    scale = alt.Scale(type="log", domain=list(bounds), nice=False, clamp=True)
    base = (
        alt.Chart(data)
        .transform_filter(f"datum.second === 0 && {SHOWN}")
        .encode(
            x=alt.X("first:Q", title="along the first direction", axis=alt.Axis(grid=False, tickCount=5, format="~r")),
            y=alt.Y("loss:Q", title="loss, nats", scale=scale, axis=alt.Axis(format="~g", values=_decades(*bounds))),
            color=label_color(labels, legend),
        )
    )
    tips = ["label:N", alt.Tooltip("first:Q", format=".2f"), alt.Tooltip("loss:Q", format=".3~r")]
    return alt.layer(
        base.mark_line(strokeWidth=1.8, strokeJoin="round").encode(strokeDash=label_dash(labels, legend)),
        base.mark_point(filled=True, size=16, opacity=1).encode(tooltip=tips),
    ).properties(width=2 * WIDTH, height=HEIGHT)


def _decades(low: float, high: float) -> Any:
    """The powers of ten between two bounds, six or fewer; where there is one at most, Vega's own choice."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    step = max(1, math.ceil((last - first + 1) / 6))
    powers = [10.0**power for power in range(last, first - 1, -step)]
    return powers if len(powers) > 1 else alt.Undefined


def _loss_color(points: pd.DataFrame, channel: Any = alt.Color) -> Any:
    scale = alt.Scale(type="log", domain=list(loss_bounds(points)), scheme="viridis", clamp=True)
    return channel("loss:Q", scale=scale, legend=None)
