"""What a run's history says: how far it overfits, how far it swings, and the mean of a column over its first epochs."""

import math
from collections.abc import Callable
from itertools import pairwise

from convarium.runs.store import StoredRun


def generalization_gap(run: StoredRun) -> float | None:
    """Returns by how much the running training accuracy of the last epoch exceeds the validation accuracy after it.

    The test accuracy stands in where no images are held out for validation; None where neither was scored.
    """
    last = run.outcome.history[-1] if run.outcome.history else None
    if last is None:
        return None
    other = last.validation_accuracy if last.validation_accuracy is not None else last.test_accuracy
    return None if other is None else last.train_accuracy - other


def largest_drop(run: StoredRun) -> float | None:
    """Returns by how much the test accuracy fell most from one epoch to the next; 0 if it never fell.

    None for a run that did not score the test split after each of two epochs or more.
    """
    scored = [row.test_accuracy for row in run.outcome.history]
    known = [accuracy for accuracy in scored if accuracy is not None]
    if len(known) < 2 or len(known) < len(scored):
        return None
    return max(0.0, *(before - after for before, after in pairwise(known)))


def mean_until(column: str, epoch: float) -> Callable[[StoredRun], float | None]:
    """Returns the measure of a column's mean over the epochs from the first to `epoch`; None for a shorter run."""

    def measure(run: StoredRun) -> float | None:
        values = [getattr(row, column) for row in run.outcome.history if row.epoch <= epoch]
        if len(values) < epoch or any(value is None or not math.isfinite(value) for value in values):
            return None
        return math.fsum(values) / len(values)

    return measure
