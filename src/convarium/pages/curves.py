"""Learning curves as numbers: one line a network with a band over its seeds, no denser than an eye can see."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from convarium.analysis.comparison import Comparison, status
from convarium.analysis.comparison.rows import Row
from convarium.pages.study_status import RunInProgress, row_label
from convarium.records import Epoch
from convarium.runs.store import StoredRun

XAxis = Literal["epoch", "step"]
SPLITS = ("train", "validation", "test")
QUANTITIES = ("loss", "accuracy")

POINTS = 300
"""Points a line has at most: a panel is about 500 pixels wide."""

_COLUMNS = ["label", "run", "split", "quantity", "x", "mean", "low", "high", "n"]


def curve_points(comparison: Comparison, x: XAxis = "epoch", in_progress: Sequence[RunInProgress] = ()) -> pd.DataFrame:
    """The points of all curves.

    Args:
        comparison: of the finished runs.
        x: what runs along the axis.
        in_progress: runs that are training, which have epochs so far, and no steps yet.

    Returns:
        Columns label, run, split, quantity, x, mean, low, high, n. `run` is "" for the trained runs of a label
        together: mean, lowest and highest of n seeds. A run that failed, or is training, is a line of its own,
        "seed 3, diverged", as far as its values are finite. Where a line would have more than POINTS points, each
        stands for several: the mean of the means, and for epochs the lowest low and the highest high.
    """
    lines = _epoch_lines if x == "epoch" else _step_lines
    parts = [_thinned(line, x) for row in comparison.rows for line in lines(row)]
    for run in in_progress if x == "epoch" else ():
        name = f"seed {run.recipe.seed}, training"
        parts += [_thinned(line, x) for line in _epoch_points(row_label(run, comparison), name, run.history)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_COLUMNS)


def steps_a_point(points: pd.DataFrame) -> int:
    """How many training steps one point of the step curves stands for, at most."""
    apart = points.groupby(["label", "run", "quantity"])["x"].apply(lambda x: x.diff().max())
    return int(apart.max()) if apart.notna().any() else 1


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
                found = grouped.agg(mean="mean", low="min", high="max", n="size").rename_axis("x").reset_index()
                yield found.assign(label=label, run=name, split=split, quantity=quantity)


def _step_lines(row: Row) -> Iterator[pd.DataFrame]:
    for name, runs in _lines(row):
        found = [steps for run in runs if (steps := run.steps()) is not None]
        for i, quantity in enumerate(QUANTITIES):
            lines = [_finite_part(steps[i]) for steps in found]
            shortest = min(map(len, lines), default=0)
            if shortest:
                over_seeds = np.stack([_binned(line[:shortest]) for line in lines])
                yield pd.DataFrame({
                    "x": _binned(np.arange(1, shortest + 1)),
                    "mean": over_seeds.mean(0), "low": over_seeds.min(0), "high": over_seeds.max(0), "n": len(lines),
                    "label": row.label, "run": name, "split": "train", "quantity": quantity,
                })  # fmt: skip


def _finite_part(values: np.ndarray) -> np.ndarray:
    """Up to the first value that is not finite."""
    broken = np.flatnonzero(~np.isfinite(values))
    return values[: broken[0]] if len(broken) else values


def _binned(values: np.ndarray) -> np.ndarray:
    """Means of equally many neighbours, the last one of what remains; at most POINTS of them."""
    size = -(-len(values) // POINTS)
    starts = np.arange(0, len(values), size)
    return np.asarray(np.add.reduceat(values.astype(float), starts) / np.diff([*starts, len(values)]))


def _thinned(line: pd.DataFrame, x: XAxis) -> pd.DataFrame:
    size = -(-len(line) // POINTS)
    if x == "step" or size == 1:
        return line[_COLUMNS]
    named: dict[str, Any] = {name: line[name].iloc[0] for name in ("label", "run", "split", "quantity")}
    kept = line.groupby(np.arange(len(line)) // size).agg(
        {"x": "mean", "mean": "mean", "low": "min", "high": "max", "n": "min"}
    )
    return kept.assign(**named)[_COLUMNS]
