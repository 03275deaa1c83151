"""Facts that a reader looks for by name: the hardest class of every network, and who got to a level first."""

import math
from dataclasses import dataclass
from statistics import fmean

from convarium.analysis.comparison import Comparison, Row, metric_of

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)


@dataclass(frozen=True)
class Hardest:
    """The two classes of which a network gets the smallest shares right, accuracies in per cent.

    Attributes:
        spread: of the hardest, from the lowest to the highest seed; None for one seed.
    """

    label: str
    name: str
    accuracy: str
    spread: str | None
    next_name: str
    next_accuracy: str


@dataclass(frozen=True)
class Arrivals:
    """When each network got to a level of accuracy, looked at after every epoch.

    Attributes:
        split: whose accuracy it is.
        level: the highest of LEVELS that every trained network reaches, such as "98 %".
        epochs: (label, mean epochs), the first one first.
    """

    split: str
    level: str
    epochs: tuple[tuple[str, str], ...]


def hardest(comparison: Comparison) -> tuple[Hardest, ...]:
    """Of every trained network; nothing where a class is missing in a split of two classes or fewer."""
    return tuple(found for row in comparison.rows if (found := _hardest(row)) is not None)


def _hardest(row: Row) -> Hardest | None:
    scored = [run.outcome.test.per_class for run in row.trained if run.outcome.test]
    names = [n for n in (scored[0] if scored else ()) if all(of.get(n) is not None for of in scored)]
    if len(names) < 2:
        return None
    values = {name: [accuracy for of in scored if (accuracy := of[name]) is not None] for name in names}
    first, second = sorted(names, key=lambda name: fmean(values[name]))[:2]
    low, high = min(values[first]), max(values[first])
    spread = f"{100 * low:.1f} to {100 * high:.1f}" if len(scored) > 1 else None
    means = (f"{100 * fmean(values[name]):.1f}" for name in (first, second))
    return Hardest(row.label, first, next(means), spread, second, next(means))


def arrivals(comparison: Comparison) -> Arrivals | None:
    """On validation, or else on a watched test split; None where neither was looked at after every epoch."""
    rows = [row for row in comparison.rows if row.trained]
    for split in ("validation", "test"):
        for level in reversed(LEVELS):
            metric = metric_of(f"epochs_to({split}_accuracy={level:g})")
            reached = {row.label: [e for e in row.values(metric).values() if math.isfinite(e)] for row in rows}
            if len(rows) > 1 and all(len(reached[row.label]) == row.n for row in rows):
                means = sorted((fmean(epochs), label) for label, epochs in reached.items())
                return Arrivals(split, f"{100 * level:g} %", tuple((label, f"{mean:.3g}") for mean, label in means))
    return None
