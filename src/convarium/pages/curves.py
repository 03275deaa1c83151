"""Learning curves: one line for each network with a band over its seeds, as points and as charts."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd

from convarium.analysis.comparison import Comparison, status
from convarium.analysis.comparison.rows import Row
from convarium.pages.chart_style import HEIGHT, IS_SHOWN, WIDTH, Chart, axis_bounds, label_color, label_dash
from convarium.pages.study_status import RunInProgress, row_label
from convarium.records import Epoch
from convarium.runs.store import StoredRun

XAxis = Literal["epoch", "step"]
SPLITS = ("train", "validation", "test")
QUANTITIES = ("loss", "accuracy")

POINTS = 300
"""Largest number of points in a line. A panel is about 500 pixels wide, so that more would not be visible."""

_MOST_TICKS = 8
"""Number of epochs up to which each epoch has its own tick; Vega alone would put ticks between them."""

_SPLIT_TITLES = {"train": "training", "validation": "validation", "test": "test"}

_COLUMNS = ["label", "run", "split", "quantity", "x", "mean", "low", "high", "n"]


def curve_points(comparison: Comparison, x: XAxis = "epoch", in_progress: Sequence[RunInProgress] = ()) -> pd.DataFrame:
    """The points of all learning curves.

    Args:
        comparison: the comparison of the finished runs.
        x: whether the horizontal axis counts epochs or steps.
        in_progress: runs that are training; they have curves by epoch only.

    Returns:
        Columns label, run, split, quantity, x, mean, low, high, n. `run` is "" for a line over all trained runs of a
        label: mean, lowest and highest of n seeds. A run that failed or is training has a line of its own, such as
        "seed 3, diverged", up to its last finite value. If a line would have more than POINTS points, each point
        represents several: the mean of their means, and by epoch also the lowest low and the highest high.
    """
    lines = _epoch_lines if x == "epoch" else _step_lines
    parts = [_thinned(line, x) for row in comparison.rows for line in lines(row)]
    for run in in_progress if x == "epoch" else ():
        name = f"seed {run.recipe.seed}, training"
        parts += [_thinned(line, x) for line in _epoch_points(row_label(run, comparison), name, run.history)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_COLUMNS)


def steps_per_point(points: pd.DataFrame) -> int:
    """The largest number of training steps that one point of the curves by step represents."""
    gaps = points.groupby(["label", "run", "quantity"])["x"].apply(lambda x: x.diff().max())
    return int(gaps.max()) if gaps.notna().any() else 1


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
        quantity: "loss" or "accuracy".
        split: "train", "validation" or "test".
        labels: labels of all networks, in the order of their colors.
        x: whether the horizontal axis counts epochs or steps.
        log: whether losses have a logarithmic scale.
        chosen: the selection by the chart's legend. None: a chart for the page, which has a legend and tooltips of its
            own and moves a rule to the value of the parameter `at`.
    """
    of_quantity = points[points["quantity"] == quantity]
    positive = of_quantity.loc[of_quantity["mean"] > 0, "mean"]
    is_log = log and quantity == "loss" and not positive.empty
    bounds = [float(positive.min()), float(positive.max())] if is_log else axis_bounds(of_quantity["mean"])
    linear = alt.Scale(domain=bounds, clamp=True, nice=True, zero=False)
    y_scale = alt.Scale(domain=bounds, clamp=True, nice=False, type="log") if is_log else linear
    title = f"{_SPLIT_TITLES[split]} {quantity}" + (", nats" if quantity == "loss" else "")
    y_axis = alt.Axis(title=title, format="~%" if quantity == "accuracy" else "~r", tickCount=5)
    first, last = axis_bounds(points["x"])
    few = list(range(math.ceil(first), math.floor(last) + 1)) if last - first <= _MOST_TICKS else alt.Undefined
    along = alt.X(
        "x:Q",
        title=x,
        scale=alt.Scale(domain=[first, last], nice=False),
        axis=alt.Axis(grid=False, values=few, tickCount=6, format="~s" if x == "step" else "d"),
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
        base.mark_point(filled=True, size=18, clip=True)
        .transform_joinaggregate(points="count()", groupby=["label", "run"])
        .transform_filter("datum.points === 1")
        .encode(y=middle, opacity=opacity(1, 0.08)),
    ]
    if has_legend:
        tooltip = ["label:N", "run:N", alt.Tooltip("x:Q", title=x), "mean:Q", "low:Q", "high:Q"]
        tooltip.append(alt.Tooltip("n:Q", title="seeds"))
        layers.append(base.mark_point(size=60, opacity=0).encode(y=middle, tooltip=tooltip))
    else:
        rule = alt.Chart(alt.InlineData(values=[{}])).transform_filter("at !== null").transform_calculate(x="at")
        layers.append(rule.mark_rule(opacity=0.4).encode(x=along))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


def recorded_splits(points: pd.DataFrame) -> list[str]:
    """The splits that have points, in the order of SPLITS."""
    return [split for split in SPLITS if (points["split"] == split).any()]


def _lines(row: Row) -> Iterator[tuple[str, tuple[StoredRun, ...]]]:
    if row.trained:
        yield "", row.trained
    for run in row.runs:
        ended = status(run)
        if ended != "trained":
            yield f"seed {run.recipe.seed}, {ended}", (run,)


def _epoch_lines(row: Row) -> Iterator[pd.DataFrame]:
    for name, runs in _lines(row):
        yield from _epoch_points(row.label, name, [epoch for run in runs for epoch in run.outcome.history])


def _epoch_points(label: str, name: str, epochs: Sequence[Epoch]) -> Iterator[pd.DataFrame]:
    x = np.array([epoch.epoch for epoch in epochs])
    for quantity in QUANTITIES:
        for split in SPLITS:
            values = np.array([getattr(epoch, f"{split}_{quantity}") for epoch in epochs], dtype=float)
            finite = np.isfinite(values)
            if finite.any():
                grouped = pd.Series(values[finite]).groupby(x[finite])
                summary = grouped.agg(mean="mean", low="min", high="max", n="size").rename_axis("x").reset_index()
                yield summary.assign(label=label, run=name, split=split, quantity=quantity)


def _step_lines(row: Row) -> Iterator[pd.DataFrame]:
    for name, runs in _lines(row):
        recorded = [steps for run in runs if (steps := run.steps()) is not None]
        for i, quantity in enumerate(QUANTITIES):
            lines = [_finite_part(steps[i]) for steps in recorded]
            shortest = min(map(len, lines), default=0)
            if shortest:
                over_seeds = np.stack([_binned(line[:shortest]) for line in lines])
                yield pd.DataFrame({
                    "x": _binned(np.arange(1, shortest + 1)),
                    "mean": over_seeds.mean(0), "low": over_seeds.min(0), "high": over_seeds.max(0), "n": len(lines),
                    "label": row.label, "run": name, "split": "train", "quantity": quantity,
                })  # fmt: skip


def _finite_part(values: np.ndarray) -> np.ndarray:
    """The values before the first one that is not finite."""
    not_finite = np.flatnonzero(~np.isfinite(values))
    return values[: not_finite[0]] if len(not_finite) else values


def _binned(values: np.ndarray) -> np.ndarray:
    """Means of groups of neighboring values, at most POINTS of them; the last group may be smaller."""
    size = -(-len(values) // POINTS)
    starts = np.arange(0, len(values), size)
    return np.asarray(np.add.reduceat(values.astype(float), starts) / np.diff([*starts, len(values)]))


def _thinned(line: pd.DataFrame, x: XAxis) -> pd.DataFrame:
    size = -(-len(line) // POINTS)
    if x == "step" or size == 1:
        return line[_COLUMNS]
    named: dict[str, Any] = {name: line[name].iloc[0] for name in ("label", "run", "split", "quantity")}
    thinned = line.groupby(np.arange(len(line)) // size).agg(
        {"x": "mean", "mean": "mean", "low": "min", "high": "max", "n": "min"}
    )
    return thinned.assign(**named)[_COLUMNS]
