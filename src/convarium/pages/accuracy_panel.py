"""How accurate each network is: every run, and its mean."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from convarium.analysis.comparison import METRICS, Comparison, Metric, formatting
from convarium.analysis.statistics import Estimate
from convarium.pages.chart_style import IS_SHOWN, WIDTH, Chart, axis_bounds, label_color, label_symbol, name_axis


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
            "low": low,
            "high": high,
        }
        for row in comparison.rows
        if (mean := row.estimate(metric)) is not None
        for low, high in [drawn_ends(metric, mean)]
        for seed, value in row.values(metric).items()
    ]
    return pd.DataFrame(rows, columns=["label", "seed", "accuracy", "mean", "low", "high"])


def drawn_ends(metric: Metric, mean: Estimate) -> tuple[float, float]:
    """The ends of the line that is drawn for an interval: both are the mean where there is none that tells anything."""
    if mean.low is None or mean.high is None or formatting.fills_range(metric, mean.low, mean.high):
        return mean.mean, mean.mean
    return mean.low, mean.high


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
            y=alt.Y("label:N", title=None, sort=list(labels), axis=name_axis(labels)),
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
        mean.mark_point(filled=True, shape=label_symbol(labels), size=55, opacity=1).encode(
            x=alt.X("mean:Q", scale=x), tooltip=tooltip
        ),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=24 * points["label"].nunique())
