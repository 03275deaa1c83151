"""The facts that a reader looks for beside the answer: the hardest classes, and who was accurate first."""

import math
from dataclasses import dataclass
from statistics import fmean

from convarium.analysis.comparison import Comparison, Row, formatting, metric_of

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
"""Levels of accuracy for `epochs_to_level`."""


@dataclass(frozen=True)
class HardestClasses:
    """The two classes of which a network classifies the smallest shares correctly, accuracies in per cent.

    Attributes:
        label: the network's row.
        name, accuracy: the hardest class.
        spread: the accuracies of the hardest class from the lowest to the highest seed; None for one seed.
        next_name, next_accuracy: the second hardest class.
    """

    label: str
    name: str
    accuracy: str
    spread: str | None
    next_name: str
    next_accuracy: str


@dataclass(frozen=True)
class EpochsToLevel:
    """After how many epochs each network first reached a level of accuracy.

    Attributes:
        split: the split whose accuracy this is.
        level: the highest of LEVELS that every trained network reaches, such as "98 %".
        epochs: (label, mean number of epochs), the fastest network first.
    """

    split: str
    level: str
    epochs: tuple[tuple[str, str], ...]


def hardest_classes(comparison: Comparison) -> tuple[HardestClasses, ...]:
    """The hardest classes of every network that has accuracies of two classes or more in all of its trained runs."""
    return tuple(hardest for row in comparison.rows if (hardest := _hardest(comparison, row)) is not None)


def epochs_to_level(comparison: Comparison) -> EpochsToLevel | None:
    """When the networks reached a level on validation, or else on a test split that was scored every epoch.

    Returns:
        None if there are fewer than two trained networks, or if neither split was scored after every epoch.
    """
    rows = [row for row in comparison.rows if row.trained]
    for split in ("validation", "test"):
        for level in reversed(LEVELS):
            metric = metric_of(f"epochs_to({split}_accuracy={level:g})")
            reached = {row.label: [e for e in row.values(metric).values() if math.isfinite(e)] for row in rows}
            if len(rows) > 1 and all(len(reached[row.label]) == row.n for row in rows):
                means = sorted((fmean(epochs), label) for label, epochs in reached.items())
                return EpochsToLevel(
                    split, f"{100 * level:g} %", tuple((label, f"{mean:.3g}") for mean, label in means)
                )
    return None


def first_and_last(reached: EpochsToLevel) -> tuple[str, ...]:
    """The networks that reached the level first and last, each with the epoch: "3.33 (lenet, nin and 2 more)"."""
    ends = dict.fromkeys((reached.epochs[0][1], reached.epochs[-1][1]))
    names = {end: [label for label, epoch in reached.epochs if epoch == end] for end in ends}
    return tuple(f"{end} ({formatting.listed_briefly(some, 3)})" for end, some in names.items())


def _hardest(comparison: Comparison, row: Row) -> HardestClasses | None:
    scored = [scores.per_class for run in row.trained if (scores := comparison.scores(run))]
    names = [n for n in (scored[0] if scored else ()) if all(classes.get(n) is not None for classes in scored)]
    if len(names) < 2:
        return None
    values = {name: [accuracy for classes in scored if (accuracy := classes[name]) is not None] for name in names}
    first, second = sorted(names, key=lambda name: fmean(values[name]))[:2]
    low, high = min(values[first]), max(values[first])
    spread = f"{100 * low:.1f} to {100 * high:.1f}" if len(scored) > 1 else None
    means = (f"{100 * fmean(values[name]):.1f}" for name in (first, second))
    return HardestClasses(row.label, first, next(means), spread, second, next(means))
