"""How accurate each network is and what it costs: the intervals drawn in the table, every run, and the Pareto front."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd

from convarium.analysis.comparison import METRICS, Comparison, Metric
from convarium.pages.chart_style import HEIGHT, IS_SHOWN, WIDTH, Chart, axis_bounds, label_color

COSTS = {
    "parameters": "parameters",
    "flops": "FLOPs of one image",
    "train_seconds": "training time, s",
}
"""The costs of a network, each with its title on an axis."""

PLOT_WIDTH = 130.0
"""Width of a `ForestPlot`, in its own units."""

_MOST_NAMES = 8
"""Number of points that can be labeled without overlap. With more networks, only those on the front are labeled."""

_GRAY = "#8A8A8A"


@dataclass(frozen=True)
class IntervalMark:
    """One row's difference to the baseline, in units of the plot; `low` and `high` are None without an interval."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ForestPlot:
    """All rows' differences on one scale, as a forest plot.

    Attributes:
        marks: one for each row of the comparison; None for a row without a difference.
        zero: where the line of no difference stands.
        margin: the bounds of the band of differences that are too small to matter; None without a margin.
    """

    marks: tuple[IntervalMark | None, ...]
    zero: float
    margin: tuple[float, float] | None


def forest_plot(comparison: Comparison) -> ForestPlot | None:
    """The differences to the baseline as positions from 0 to PLOT_WIDTH; None if there is no difference to draw."""
    differences = [row.difference for row in comparison.rows]
    ends = [end for d in differences if d is not None for end in (d.mean, d.low, d.high) if end is not None]
    if not ends:
        return None
    margin = comparison.margin
    ends += [0.0] if margin is None else [-margin, margin]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def position(value: float) -> float:
        return round(4 + (PLOT_WIDTH - 8) * (value - low) / span, 2)

    def position_or_none(value: float | None) -> float | None:
        return None if value is None else position(value)

    marks = tuple(
        None if d is None else IntervalMark(position(d.mean), position_or_none(d.low), position_or_none(d.high))
        for d in differences
    )
    return ForestPlot(marks, position(0), None if margin is None else (position(-margin), position(margin)))


def cost_points(comparison: Comparison) -> pd.DataFrame:
    """One row for each network and each cost that is known.

    Returns:
        Columns label, cost (a name of COSTS), value, mean, low, high (of `panel_metric`, fractions of 1; low and high
        are the mean where there is no interval), n, and front: whether the network is on the Pareto front, that is
        whether no other network costs at most as much and has a higher mean. Training times are included only if all
        of them were measured in one environment.
    """
    same_environment = len({row.environment for row in comparison.rows if row.train_seconds}) == 1
    records = []
    for row in comparison.rows:
        accuracy = row.estimate(panel_metric(comparison))
        seconds = row.train_seconds.mean if row.train_seconds and same_environment else None
        for cost, value in (("parameters", row.parameters), ("flops", row.flops), ("train_seconds", seconds)):
            if accuracy is not None and value:
                mean = accuracy.mean
                low = mean if accuracy.low is None else max(accuracy.low, 0.0)
                high = mean if accuracy.high is None else min(accuracy.high, 1.0)
                records.append({"label": row.label, "cost": cost, "value": float(value), "mean": mean,
                                "low": low, "high": high, "n": row.n})  # fmt: skip
    columns = ["label", "cost", "value", "mean", "low", "high", "n"]
    points = pd.DataFrame(records, columns=columns).sort_values(
        ["cost", "value", "mean"], ascending=[True, True, False]
    )
    points = points.astype({"value": float, "mean": float, "low": float, "high": float})  # also if there are no rows
    best_so_far = points.groupby("cost")["mean"].cummax().groupby(points["cost"]).shift(fill_value=-1.0)
    return points.assign(front=points["mean"] > best_so_far).reset_index(drop=True)


def panel_metric(comparison: Comparison) -> Metric:
    """The metric of these charts: the accuracy of the comparison's split, balanced where rows are compared by that."""
    names = [f"{comparison.split}_{kind}" for kind in ("accuracy", "balanced_accuracy")]
    return METRICS[comparison.metric if comparison.metric in names else names[0]]


def seed_points(comparison: Comparison) -> pd.DataFrame:
    """`panel_metric` of every trained run: columns label, seed, accuracy, and the label's mean, low and high."""
    metric = panel_metric(comparison)
    rows = [
        {
            "label": row.label,
            "seed": seed,
            "accuracy": value,
            "mean": mean.mean,
            "low": mean.mean if mean.low is None else max(mean.low, 0.0),
            "high": mean.mean if mean.high is None else min(mean.high, 1.0),
        }
        for row in comparison.rows
        if (mean := row.estimate(metric)) is not None
        for seed, value in row.values(metric).items()
    ]
    return pd.DataFrame(rows, columns=["label", "seed", "accuracy", "mean", "low", "high"])


def seeds_chart(data: alt.Data, points: pd.DataFrame, labels: Sequence[str], *, title: str = "test accuracy") -> Chart:
    """Accuracy of every trained run as a tick, with each network's mean and 95 % interval above the ticks.

    Args:
        data: what is drawn.
        points: the rows of `seed_points`, which decide the scale.
        labels: labels of all networks, in the order of their colors.
        title: of the axis, see `panel_metric`.
    """
    values = pd.concat([points["accuracy"], points["low"], points["high"]])
    x = alt.Scale(domain=axis_bounds(values, 0.03), zero=False, nice=False)
    axis = alt.Axis(format="~%", tickCount=6)
    base = (
        alt.Chart(data)
        .transform_filter(IS_SHOWN)
        .encode(
            y=alt.Y("label:N", title=None, sort=list(labels), axis=alt.Axis(ticks=False, domain=False)),
            color=label_color(labels, legend=False),
        )
    )
    mean = base.transform_aggregate(mean="mean(mean)", low="min(low)", high="max(high)", groupby=["label"])
    tooltip = ["label:N", *(alt.Tooltip(f"{part}:Q", format=".2%") for part in ("mean", "low", "high"))]
    layers = [
        mean.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=x, axis=axis, title=title), x2="high:Q"),
        base.mark_tick(thickness=1.5, size=12, opacity=0.55).encode(
            x=alt.X("accuracy:Q", scale=x),
            tooltip=["label:N", "seed:Q", alt.Tooltip("accuracy:Q", title=title, format=".2%")],
        ),
        mean.mark_point(filled=True, size=55, opacity=1).encode(x=alt.X("mean:Q", scale=x), tooltip=tooltip),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=24 * points["label"].nunique())


def cost_chart(
    data: alt.Data, points: pd.DataFrame, labels: Sequence[str], cost: str, *, title: str = "test accuracy"
) -> Chart:
    """Mean accuracy with its interval against one cost on a logarithmic axis, with the Pareto front.

    Args:
        data: what is drawn; rows of other costs are filtered out.
        points: the rows of `cost_points`, which decide the scales.
        labels: labels of all networks, in the order of their colors.
        cost: a name of COSTS.
        title: of the other axis, see `panel_metric`.
    """
    of_cost = points[points["cost"] == cost]
    value = of_cost["value"]
    x = alt.X(
        "value:Q",
        title=COSTS[cost],
        scale=alt.Scale(type="log", domain=[float(value.min()) / 1.5, float(value.max()) * 1.5], nice=False),
        axis=alt.Axis(grid=False, format="~s", tickCount=5),
    )
    y_scale = alt.Scale(domain=axis_bounds(pd.concat([of_cost["low"], of_cost["high"]]), 0.05), zero=False, nice=False)
    y_axis = alt.Axis(title=title, format="~%", tickCount=5)
    mean = alt.Y("mean:Q", scale=y_scale, axis=y_axis)
    base = alt.Chart(data).transform_filter(f"datum.cost === '{cost}' && {IS_SHOWN}").encode(x=x)
    colored = base.encode(color=label_color(labels, legend=False))
    tooltip = ["label:N", alt.Tooltip("value:Q", title=COSTS[cost], format=",.3~f"), alt.Tooltip("n:Q", title="seeds")]
    tooltip += [alt.Tooltip(f"{part}:Q", format=".2%") for part in ("mean", "low", "high")]
    layers = [
        base.transform_filter("datum.front")
        .mark_line(interpolate="step-after", strokeWidth=1, strokeDash=[3, 3], color=_GRAY)
        .encode(y=mean),
        colored.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q", scale=y_scale, axis=y_axis), y2="high:Q"),
        colored.mark_point(filled=True, size=60, opacity=1).encode(y=mean, tooltip=tooltip),
    ]
    all_fit = len(of_cost) <= _MOST_NAMES
    if all_fit or int(of_cost["front"].sum()) <= _MOST_NAMES:
        middle = math.sqrt(float(value.min()) * float(value.max()))
        # Long names lose their middles, because two names mostly differ at their ends.
        names = (base if all_fit else base.transform_filter("datum.front")).transform_calculate(
            name="length(datum.label) > 24 ? slice(datum.label, 0, 8) + '…' + slice(datum.label, -15) : datum.label"
        )
        left, right = (names.transform_filter(f"datum.value {side} {middle}") for side in ("<=", ">"))
        layers += [  # A name is written on the side of its point that has more room.
            left.mark_text(align="left", dx=7, dy=-7, limit=180).encode(y=mean, text="name:N"),
            right.mark_text(align="right", dx=-7, dy=-7, limit=180).encode(y=mean, text="name:N"),
        ]
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)
