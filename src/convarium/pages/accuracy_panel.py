"""How accurate each network is: the intervals drawn in the table, and every run."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd

from convarium.analysis.comparison import METRICS, Comparison, Metric
from convarium.pages.chart_style import IS_SHOWN, WIDTH, Chart, axis_bounds, label_color

PLOT_WIDTH = 130.0
"""Width of a `ForestPlot`, in its own units."""


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
