"""The points of learning curves: one line for each network with a band over its seeds."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, Literal

import numpy as np
import pandas as pd

from convarium.analysis.comparison import Comparison, status
from convarium.analysis.comparison.rows import Row
from convarium.pages.study_status import RunInProgress, row_label
from convarium.records import Epoch
from convarium.runs.store import StoredRun

XAxis = Literal["epoch", "step", "second"]
AXES: dict[XAxis, str] = {"epoch": "epoch", "step": "step", "second": "training time, s"}
"""What the horizontal axis can count, each with its title."""
SPLITS = ("train", "validation", "test")
QUANTITIES = ("loss", "accuracy")
RATE = "learning rate"
"""The quantity of a recipe that changes with the epochs; its split is "train"."""

POINTS = 300
"""Largest number of points in a line. A panel is about 500 pixels wide, so that more would not be visible."""

_COLUMNS = ["label", "run", "split", "quantity", "x", "mean", "low", "high", "n"]


def curve_points(comparison: Comparison, x: XAxis = "epoch", in_progress: Sequence[RunInProgress] = ()) -> pd.DataFrame:
    """The points of all learning curves.

    Args:
        comparison: the comparison of the finished runs.
        x: whether the horizontal axis counts epochs, steps, or seconds of training. By step, training has the values of
            each step where they were recorded; everything else has a value an epoch. Seconds have points only if all
            rows were timed in one environment.
        in_progress: runs that are training.

    Returns:
        Columns label, run, split, quantity (of QUANTITIES, or RATE), x, mean, low, high, n. `run` is "" for a line over
        all trained runs of a label: mean, lowest and highest of n seeds. A run that failed or is training has a line of
        its own, such as "seed 3, diverged", up to its last finite value. If a line would have more than POINTS points,
        each point represents several: the mean of their means, and by epoch also the lowest low and the highest high.
    """
    parts: list[pd.DataFrame] = []
    if x == "second" and not _timed_alike(comparison):
        return pd.DataFrame(columns=_COLUMNS)
    for row in comparison.rows:
        for name, runs in _lines(row):
            recorded = [steps for run in runs if (steps := run.steps()) is not None] if x == "step" else []
            by_step = list(_step_points(row.label, name, recorded)) if len(recorded) == len(runs) else []
            of_epochs = _epoch_points(row.label, name, [run.outcome.history for run in runs], x)
            parts += by_step
            parts += [_thinned(line) for line in of_epochs if not (by_step and _is_training(line))]
    for run in in_progress:
        name = f"seed {run.recipe.seed}, training"
        parts += [_thinned(line) for line in _epoch_points(row_label(run, comparison), name, [run.history], x)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_COLUMNS)


def steps_per_point(points: pd.DataFrame) -> int:
    """The largest number of training steps that one point of the curves by step represents."""
    training = points[(points["split"] == "train") & points["quantity"].isin(QUANTITIES)]
    gaps = training.groupby(["label", "run", "quantity"])["x"].apply(lambda x: x.diff().max())
    return int(gaps.max()) if gaps.notna().any() else 1


def recorded_splits(points: pd.DataFrame) -> list[str]:
    """The splits that have points, in the order of SPLITS."""
    return [split for split in SPLITS if (points["split"] == split).any()]


def constant_rate(points: pd.DataFrame) -> float | None:
    """The learning rate of all lines if it never changes; None if it does."""
    rates = points.loc[points["quantity"] == RATE, ["low", "high"]].to_numpy()
    return float(rates.flat[0]) if rates.size and (rates == rates.flat[0]).all() else None


def _timed_alike(comparison: Comparison) -> bool:
    return len({row.timed_in for row in comparison.rows if row.train_seconds}) == 1


def _is_training(line: pd.DataFrame) -> bool:
    return bool(line["split"].iloc[0] == "train" and line["quantity"].iloc[0] != RATE)


def _lines(row: Row) -> Iterator[tuple[str, tuple[StoredRun, ...]]]:
    if row.trained:
        yield "", row.trained
    for run in row.runs:
        ended = status(run)
        if ended != "trained":
            yield f"seed {run.recipe.seed}, {ended}", (run,)


def _epoch_points(label: str, name: str, histories: Sequence[Sequence[Epoch]], x: XAxis) -> Iterator[pd.DataFrame]:
    """One line for each quantity and split; by seconds, x is the mean over the runs."""
    epochs = [epoch for history in histories for epoch in history]
    number = np.array([epoch.epoch for epoch in epochs])
    along = np.array([at for history in histories for at in _positions(history, x)], dtype=float)
    columns = {(quantity, split): f"{split}_{quantity}" for quantity in QUANTITIES for split in SPLITS}
    for (quantity, split), column in (columns | {(RATE, "train"): "learning_rate"}).items():
        values = np.array([getattr(epoch, column) for epoch in epochs], dtype=float)
        finite = np.isfinite(values)
        if finite.any():
            read = pd.DataFrame({"x": along[finite], "value": values[finite]}).groupby(number[finite])
            summary = read.agg(x=("x", "mean"), mean=("value", "mean"), low=("value", "min"), high=("value", "max"),
                               n=("value", "size"))  # fmt: skip
            yield summary.assign(label=label, run=name, split=split, quantity=quantity)


def _positions(history: Sequence[Epoch], x: XAxis) -> Sequence[float]:
    if x == "second":
        return list(accumulate(epoch.seconds for epoch in history))
    return [float(epoch.epoch if x == "epoch" else epoch.steps) for epoch in history]


def _step_points(label: str, name: str, recorded: Sequence[tuple[np.ndarray, np.ndarray]]) -> Iterator[pd.DataFrame]:
    for i, quantity in enumerate(QUANTITIES):
        lines = [_finite_part(steps[i]) for steps in recorded]
        shortest = min(map(len, lines), default=0)
        if shortest:
            over_seeds = np.stack([_binned(line[:shortest]) for line in lines])
            yield pd.DataFrame({
                "x": _binned(np.arange(1, shortest + 1)),
                "mean": over_seeds.mean(0), "low": over_seeds.min(0), "high": over_seeds.max(0), "n": len(lines),
                "label": label, "run": name, "split": "train", "quantity": quantity,
            })[_COLUMNS]  # fmt: skip


def _finite_part(values: np.ndarray) -> np.ndarray:
    """The values before the first one that is not finite."""
    not_finite = np.flatnonzero(~np.isfinite(values))
    return values[: not_finite[0]] if len(not_finite) else values


def _binned(values: np.ndarray) -> np.ndarray:
    """Means of groups of neighboring values, at most POINTS of them; the last group may be smaller."""
    size = -(-len(values) // POINTS)
    starts = np.arange(0, len(values), size)
    return np.asarray(np.add.reduceat(values.astype(float), starts) / np.diff([*starts, len(values)]))


def _thinned(line: pd.DataFrame) -> pd.DataFrame:
    size = -(-len(line) // POINTS)
    if size == 1:
        return line[_COLUMNS]
    named: dict[str, Any] = {name: line[name].iloc[0] for name in ("label", "run", "split", "quantity")}
    thinned = line.groupby(np.arange(len(line)) // size).agg(
        {"x": "mean", "mean": "mean", "low": "min", "high": "max", "n": "min"}
    )
    return thinned.assign(**named)[_COLUMNS]
