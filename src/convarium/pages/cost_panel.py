"""What the accuracy of each network costs: the Pareto front against parameters, FLOPs and training time."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from convarium.analysis.comparison import Comparison
from convarium.pages.accuracy_panel import drawn_ends, panel_metric
from convarium.pages.chart_style import (
    HEIGHT,
    IS_SHOWN,
    WIDTH,
    Chart,
    axis_bounds,
    inline_data,
    label_color,
    label_symbol,
)
from convarium.pages.label_places import Place, Segment, place_labels, text_width
from convarium.pages.names import shortened_name
from convarium.pages.numbers import AXIS_NUMBER, even_ticks, log_ticks

COSTS = {
    "parameters": "parameters",
    "flops": "FLOPs of one image",
    "train_seconds": "training time, s",
}
"""The costs of a network, each with its title on an axis."""

_MOST_COVERED = 0.35
"""Share of a plot that names may cover; if all names together cover more, those on the front alone are written."""

_GRAY = "#8A8A8A"
_HEADROOM = (0, 24, 48, 72, 96, 130, 170, 220)
"""Pixels that a chart may grow above its points until every name has a place."""


@dataclass(frozen=True)
class _Layout:
    """The plot of one cost: the ends of its axes, its height in pixels, and where each name stands in its data."""

    x: tuple[float, float]
    y: tuple[float, float]
    height: float
    names: pd.DataFrame


def cost_points(comparison: Comparison) -> pd.DataFrame:
    """One row for each network and each cost that is known.

    Returns:
        Columns label, cost (a name of COSTS), value, mean, low, high (of `panel_metric`, fractions of 1; low and high
        are the mean where there is no interval), n, and front: whether the network is on the Pareto front, that is
        whether no other network costs at most as much and has a higher mean. Training times are included only if all
        of them were measured in one environment.
    """
    same_environment = len({row.timed_in for row in comparison.rows if row.train_seconds}) == 1
    records = []
    for row in comparison.rows:
        accuracy = row.estimate(panel_metric(comparison))
        seconds = row.train_seconds.mean if row.train_seconds and same_environment else None
        for cost, value in (("parameters", row.parameters), ("flops", row.flops), ("train_seconds", seconds)):
            if accuracy is not None and value:
                mean = accuracy.mean
                low, high = drawn_ends(panel_metric(comparison), accuracy)
                records.append({"label": row.label, "cost": cost, "value": float(value), "mean": mean,
                                "low": low, "high": high, "n": row.n})  # fmt: skip
    columns = ["label", "cost", "value", "mean", "low", "high", "n"]
    points = pd.DataFrame(records, columns=columns).sort_values(
        ["cost", "value", "mean"], ascending=[True, True, False]
    )
    points = points.astype({"value": float, "mean": float, "low": float, "high": float})  # also if there are no rows
    best_so_far = points.groupby("cost")["mean"].cummax().groupby(points["cost"]).shift(fill_value=-1.0)
    return points.assign(front=points["mean"] > best_so_far).reset_index(drop=True)


def cost_chart(
    data: alt.Data,
    points: pd.DataFrame,
    labels: Sequence[str],
    cost: str,
    *,
    title: str = "test accuracy",
    width: float = WIDTH,
    height: float = HEIGHT,
    font_size: int = 9,
) -> Chart:
    """Mean accuracy with its interval against one cost on a logarithmic axis, with the Pareto front.

    Names stand where nothing else is, for exactly this width; the chart grows above its points if they need more room.

    Args:
        data: what is drawn; rows of other costs are filtered out.
        points: the rows of `cost_points`, which decide the scales.
        labels: labels of all networks, in the order of their colors.
        cost: a name of COSTS.
        title: of the other axis, see `panel_metric`.
        width, height: of the plot without its axes.
        font_size: of the names, in the same units.
    """
    of_cost = points[points["cost"] == cost]
    layout = _layout(of_cost, width, height, font_size)
    x_scale = alt.Scale(type="log", domain=list(layout.x), nice=False)
    x_axis = alt.Axis(grid=False, values=log_ticks(*layout.x, most=4), labelExpr=AXIS_NUMBER)
    x = alt.X("value:Q", title=COSTS[cost], scale=x_scale, axis=x_axis)
    y_scale = alt.Scale(domain=list(layout.y), zero=False, nice=False)
    highest = min(1.0, float(of_cost["high"].max()) + 0.05 * (layout.y[1] - layout.y[0]))
    y_axis = alt.Axis(title=title, format="~%", values=even_ticks(layout.y[0], highest))
    mean = alt.Y("mean:Q", scale=y_scale, axis=y_axis)
    base = alt.Chart(data).transform_filter(f"datum.cost === '{cost}' && {IS_SHOWN}").encode(x=x)
    colored = base.encode(color=label_color(labels, legend=False))
    tooltip = ["label:N", alt.Tooltip("value:Q", title=COSTS[cost], format=",.3~f"), alt.Tooltip("n:Q", title="seeds")]
    tooltip += [alt.Tooltip(f"{part}:Q", format=".2%") for part in ("mean", "low", "high")]
    names = alt.Chart(inline_data(layout.names)).transform_filter(IS_SHOWN)
    leaders = names.transform_filter("isValid(datum.x1)")
    layers = [
        base.transform_filter("datum.front")
        .mark_line(interpolate="step-after", strokeWidth=1, strokeDash=[3, 3], color=_GRAY)
        .encode(y=mean),
        leaders.mark_rule(strokeWidth=0.7, opacity=0.6).encode(
            x=alt.X("x1:Q", scale=x_scale), y=alt.Y("y1:Q", scale=y_scale), x2="x2:Q", y2="y2:Q"
        ),
        colored.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q", scale=y_scale, axis=y_axis), y2="high:Q"),
        colored.mark_point(filled=True, shape=label_symbol(labels), size=60, opacity=1).encode(y=mean, tooltip=tooltip),
        *(
            names.transform_filter(f"datum.align === '{align}'")
            .mark_text(align=align, baseline="middle")
            .encode(x=alt.X("x:Q", scale=x_scale), y=alt.Y("y:Q", scale=y_scale), text="text:N")
            for align in ("left", "right")
        ),
    ]
    return alt.layer(*layers).properties(width=width, height=layout.height)


def _layout(points: pd.DataFrame, width: float, height: float, font_size: float) -> _Layout:
    """The plot of one cost, as low as its names allow."""
    x_ends = float(points["value"].min()) / 1.5, float(points["value"].max()) * 1.5
    low, high = axis_bounds(pd.concat([points["low"], points["high"]]), 0.05)
    room = _MOST_COVERED * width * height
    named = next(
        (some for some in (points, points[points["front"]]) if _area(some, font_size) <= room), points.iloc[:0]
    )
    layout, fewest = None, len(named) + 1
    for more in _HEADROOM:
        y_ends = low, high + (high - low) * more / height
        plot = _Layout(x_ends, y_ends, height + more, pd.DataFrame())
        found = place_labels(
            list(named["label"]),
            [_pixel(plot, width, x, y) for x, y in zip(named["value"], named["mean"], strict=True)],
            lines=_lines(plot, width, points),
            width=width,
            height=plot.height,
            font_size=font_size,
        )
        missing = found.count(None)
        if layout is None or missing < fewest:
            rows = [
                _row(plot, width, point, place)
                for point, place in zip(named.itertuples(), found, strict=True)
                if place is not None
            ]
            columns = ["label", "text", "align", "x", "y", "x1", "y1", "x2", "y2"]
            layout, fewest = _Layout(x_ends, y_ends, plot.height, pd.DataFrame(rows, columns=columns)), missing
        if not missing:
            break
    assert layout is not None
    return layout


def _area(points: pd.DataFrame, font_size: float) -> float:
    """How much the names of points cover, in square pixels."""
    return sum(text_width(shortened_name(label), font_size) * 1.5 * font_size for label in points["label"])


def _lines(plot: _Layout, width: float, points: pd.DataFrame) -> list[Segment]:
    """The intervals and the steps of the front in pixels, and a short line through each point that has no name."""
    lines = [
        (*_pixel(plot, width, value, low), *_pixel(plot, width, value, high))
        for value, low, high in zip(points["value"], points["low"], points["high"], strict=True)
    ]
    front = [_pixel(plot, width, x, y) for x, y in points.loc[points["front"], ["value", "mean"]].to_numpy()]
    for (x0, y0), (x1, y1) in itertools.pairwise(front):
        lines += [(x0, y0, x1, y0), (x1, y0, x1, y1)]
    dots = [_pixel(plot, width, x, y) for x, y in zip(points["value"], points["mean"], strict=True)]
    return lines + [(x - 4, y, x + 4, y) for x, y in dots]


def _pixel(plot: _Layout, width: float, value: float, accuracy: float) -> tuple[float, float]:
    left, right = map(math.log, plot.x)
    low, high = plot.y
    return width * (math.log(value) - left) / (right - left), plot.height * (high - accuracy) / (high - low)


def _row(plot: _Layout, width: float, point: Any, place: Place) -> dict[str, object]:
    """A name and its line in units of the data, so that they belong to the chart's own axes.

    A name on the left of its point is aligned with its right end, since usual fonts make it narrower than its place.
    """

    def value(x: float) -> float:
        left, right = map(math.log, plot.x)
        return math.exp(left + (right - left) * x / width)

    def accuracy(y: float) -> float:
        low, high = plot.y
        return high - (high - low) * y / plot.height

    x0, y0, x1, y1 = place.leader or (math.nan,) * 4
    is_left = place.right < _pixel(plot, width, point.value, point.mean)[0]
    end, align = (place.right, "right") if is_left else (place.left, "left")
    return {"label": point.label, "text": place.text, "align": align, "x": value(end), "y": accuracy(place.middle),
            "x1": value(x0), "y1": accuracy(y0), "x2": value(x1), "y2": accuracy(y1)}  # fmt: skip
