"""What metrics read from a stored run: scores, costs, and columns of its history."""

import math
from collections.abc import Callable
from typing import Literal

from convarium.records import Cost, Epoch, Scores
from convarium.runs.store import StoredRun

Measure = Callable[[StoredRun], float | None]
Split = Literal["train", "validation", "test"]


def recorded(run: StoredRun, column: str) -> list[tuple[Epoch, float]]:
    """Returns the epochs that recorded a finite value in a column of the history, each with that value."""
    pairs = ((row, getattr(row, column)) for row in run.outcome.history)
    return [(row, float(value)) for row, value in pairs if value is not None and math.isfinite(value)]


def best_epoch(run: StoredRun, column: str) -> Epoch | None:
    """Returns the first epoch with a column's best value (highest accuracy, lowest loss); None if none recorded it."""
    sign = -1 if column.endswith("loss") else 1
    return max(recorded(run, column), key=lambda pair: sign * pair[1], default=(None, 0.0))[0]


def first_to_reach(run: StoredRun, column: str, level: float) -> Epoch | None:
    """Returns the first epoch at whose end a column has reached a level; None if it never did within the run."""
    falls = column.endswith("loss")
    return next((row for row, value in recorded(run, column) if (value <= level if falls else value >= level)), None)


def counted_images(split: Split) -> Callable[[StoredRun], int | None]:
    """The number of images of a split; in records without scores of the training images by the time they took."""

    def counted(run: StoredRun) -> int | None:
        scores: Scores | None = getattr(run.outcome, split)
        if scores is not None:
            return scores.n or None
        cost, epochs = run.outcome.cost, len(run.outcome.history)
        if split != "train" or cost is None or not epochs:
            return None
        return round(cost.images_per_second * cost.train_seconds / epochs) or None

    return counted


def score_of(split: Split, field: Literal["accuracy", "loss"]) -> Measure:
    """The accuracy or loss of the final weights on a split; None where it was not scored."""

    def measure(run: StoredRun) -> float | None:
        scores: Scores | None = getattr(run.outcome, split)
        return None if scores is None else float(getattr(scores, field))

    return measure


def cost_of(field: str) -> Measure:
    """A field of what the training cost; None where nothing is recorded."""

    def measure(run: StoredRun) -> float | None:
        cost: Cost | None = run.outcome.cost
        return None if cost is None else float(getattr(cost, field))

    return measure


def of_last_epoch(column: str) -> Measure:
    """A column of the history in the last epoch; None without one."""

    def measure(run: StoredRun) -> float | None:
        rows = run.outcome.history
        value = getattr(rows[-1], column) if rows else None
        if value is None and rows and column.startswith("test_") and run.outcome.selected_epoch == rows[-1].epoch:
            return score_of("test", "accuracy" if column.endswith("accuracy") else "loss")(run)
        return None if value is None else float(value)

    return measure


def of_best_epoch(column: str) -> Measure:
    """The best value of a column of the history; None if none was recorded."""

    def measure(run: StoredRun) -> float | None:
        row = best_epoch(run, column)
        return None if row is None else float(getattr(row, column))

    return measure


def test_accuracy_at_best_validation(run: StoredRun) -> float | None:
    """The test accuracy after the epoch of the best validation accuracy; None if either is not recorded."""
    row = best_epoch(run, "validation_accuracy")
    if row is None:
        return None
    if row.test_accuracy is None and run.outcome.selected_epoch == row.epoch:
        return score_of("test", "accuracy")(run)
    return row.test_accuracy
