"""The metrics that can be read from a stored run, and for each whether higher is better."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from convarium.analysis.comparison.curve_metrics import generalization_gap, largest_drop, mean_until
from convarium.analysis.comparison.measures import (
    Measure,
    Split,
    cost_of,
    counted_images,
    first_to_reach,
    of_best_epoch,
    of_last_epoch,
    recorded,
    score_of,
    test_accuracy_at_best_validation,
)
from convarium.analysis.statistics import Scale
from convarium.errors import ConvariumError
from convarium.metrics import ClassCounts, class_counts, mean_f1, mean_recall
from convarium.records import Scores
from convarium.runs.store import StoredRun
from convarium.spec import parse, unknown

Kind = Literal["accuracy", "loss", "time", "reach", "size"]
OfCounts = Callable[[ClassCounts], np.ndarray]


@dataclass(frozen=True)
class Metric:
    """One number of a run.

    Attributes:
        name: how a user writes it: "test_accuracy", "epochs_to(test_accuracy=0.98)".
        title: how a sentence names it.
        measure: returns the number; None if the run did not record it, infinity if a level was never reached.
        kind: "accuracy" (fractions of 1), "loss" (nats), "time" (comparable within one environment only), "reach"
            (epochs or steps up to a level, censored at the end of the run), "size" (the same for every seed).
        higher_is_better: whether a larger number is the better one.
        unit: the unit of a difference, as a sentence names it.
        better, worse: the adjectives for the two sides of a comparison.
        chosen_on_test: whether the number was picked by looking at the test split.
        of_counts: computes the number from the counts of each class in the confusion matrix of the split that was
            scored; None where it is the mean of a number of each image, or of no image at all.
        counted: returns the number of images that an accuracy was counted on, of one run; None if it is not recorded.
    """

    name: str
    title: str
    measure: Measure
    kind: Kind
    higher_is_better: bool
    unit: str
    better: str = "better"
    worse: str = "worse"
    chosen_on_test: bool = False
    of_counts: OfCounts | None = None
    counted: Callable[[StoredRun], int | None] | None = None

    @property
    def scale(self) -> Scale:
        """The scale of the intervals of one network: accuracies lie on the logit, losses on the logarithm.

        A difference of accuracies, of which no images are counted, may be negative and lies as it is.
        """
        if self.kind == "loss":
            return "log"
        return "plain" if self.counted is None else "logit"

    def images(self, run: StoredRun) -> int | None:
        """The number of images that an accuracy was counted on; None for another metric, or if it is not recorded."""
        return None if self.counted is None else self.counted(run)

    @property
    def on_test(self) -> bool:
        """Whether the number was measured on the test split."""
        return "test" in self.name

    @property
    def on_validation(self) -> bool:
        """Whether the number is a score of the final weights on the validation split."""
        return self.name.startswith("validation_")


def metric_of(name: str) -> Metric:
    """Returns the metric with this name.

    - Accuracies: "test_accuracy", "validation_accuracy", "train_accuracy" and "final_train_accuracy";
      "last_epoch_test_accuracy", "best_validation_epoch_test_accuracy", "best_epoch_test_accuracy" and
      "best_epoch_validation_accuracy", of runs that scored every epoch; "test_balanced_accuracy",
      "validation_balanced_accuracy", "test_macro_f1" and "validation_macro_f1".
    - Losses: "test_loss", "validation_loss", "train_loss", "final_train_loss" and "last_epoch_test_loss".
    - Cost: "train_seconds", "images_per_second", "parameters" and "flops".
    - Speed of learning: "epochs_to(COLUMN=LEVEL)" and "steps_to(COLUMN=LEVEL)", and a column's mean over the first
      epochs, "mean_until(COLUMN=EPOCH)".
    - The curve: "generalization_gap" and "largest_test_accuracy_drop".

    "balanced_accuracy" and "macro_f1" are those of the test split.

    COLUMN is an accuracy of the history (reached from below) or a loss (from above): "epochs_to(test_accuracy=0.98)".

    Raises:
        SpecError: no such metric or column.
        ConvariumError: not exactly one level, or one that is not a number.
    """
    name = f"test_{name}" if name in ("balanced_accuracy", "macro_f1") else name
    if name in METRICS:
        return METRICS[name]
    spec = parse(name)
    examples = {reach: f"{reach}(test_accuracy=0.98)" for reach in _REACH} | {_MEAN: f"{_MEAN}(train_loss=10)"}
    if spec.name not in examples:
        raise unknown("metric", name, [*METRICS, *examples.values()])
    if len(spec.options) != 1 or spec.args:
        one = "epoch" if spec.name == _MEAN else "level"
        raise ConvariumError(f"cannot read the metric {name!r}", expected=f"one {one}: {examples[spec.name]}")
    ((column, level),) = spec.options.items()
    if column not in COLUMNS:
        raise unknown("column of the history", column, COLUMNS)
    if not isinstance(level, (int, float)) or isinstance(level, bool):
        raise ConvariumError(f"the level of {name!r} is not a number", expected="a number such as 0.98", received=level)
    if spec.name == _MEAN:
        return _mean_of_first_epochs(column, level, name=str(spec))
    unit, counter = spec.name.removesuffix("_to"), _REACH[spec.name]

    def reach(run: StoredRun) -> float | None:
        row = first_to_reach(run, column, level)
        if row is not None:
            return float(getattr(row, counter))
        return math.inf if recorded(run, column) or run.outcome.status == "diverged" else None

    written = f"{100 * level:g} %" if column.endswith("accuracy") else f"{level:g}"
    title = f"{unit} to {column.replace('_', ' ')} {written}"
    return Metric(str(spec), title, reach, "reach", False, unit, "faster", "slower")


def _mean_of_first_epochs(column: str, epoch: float, *, name: str) -> Metric:
    if not float(epoch).is_integer() or epoch < 1:
        raise ConvariumError(f"the epoch of {name!r} is out of range", expected="a whole number from 1", received=epoch)
    running = "running " * column.startswith("train_")
    title = f"mean {running}{_words(column)} of epochs 1 to {epoch:g}"
    of_accuracy = column.endswith("accuracy")
    return (_accuracy if of_accuracy else _loss)(name, mean_until(column, epoch), title)


def _words(column: str) -> str:
    return column.replace("train_", "training ").replace("_", " ")


def class_accuracy(name: str, split: Literal["train", "test"] = "test") -> Metric:
    """Returns the metric of one class's accuracy: the share of its images that the final weights classify correctly."""

    def recall(run: StoredRun) -> float | None:
        scores: Scores | None = getattr(run.outcome, split)
        return None if scores is None else scores.per_class.get(name)

    def counted(run: StoredRun) -> int | None:
        scores: Scores | None = getattr(run.outcome, split)
        if scores is None or name not in scores.per_class:
            return None
        return sum(scores.confusion[list(scores.per_class).index(name)]) or None

    title = f"{'training' if split == 'train' else 'test'} accuracy of {name}"
    return Metric(f"{split}_accuracy_of({name!r})", title, recall, "accuracy", True, "points", counted=counted)


def _accuracy(name: str, measure: Measure, title: str = "", *, chosen_on_test: bool = False) -> Metric:
    title = title or name.replace("_", " ")
    counted = counted_images(_split_of(name))
    return Metric(name, title, measure, "accuracy", True, "points", chosen_on_test=chosen_on_test, counted=counted)


def _split_of(name: str) -> Split:
    """The split of a metric, which is the last one that its name has: best_validation_epoch_test_accuracy."""
    splits: tuple[Split, ...] = ("train", "validation", "test")
    return max(splits, key=name.rfind)


def _of_counts(split: Literal["validation", "test"], name: str, measure: OfCounts, title: str) -> Metric:
    def measured(run: StoredRun) -> float | None:
        scores: Scores | None = getattr(run.outcome, split)
        return None if scores is None or not scores.n else float(measure(class_counts(scores.confusion)))

    return Metric(
        f"{split}_{name}", title, measured, "accuracy", True, "points", of_counts=measure, counted=counted_images(split)
    )


def _loss(name: str, measure: Measure, title: str = "") -> Metric:
    return Metric(name, title or name.replace("_", " "), measure, "loss", False, "nats")


METRICS = {
    metric.name: metric
    for metric in (
        _accuracy("test_accuracy", score_of("test", "accuracy")),
        _accuracy("validation_accuracy", score_of("validation", "accuracy")),
        _accuracy("train_accuracy", of_last_epoch("train_accuracy"), "running training accuracy of the last epoch"),
        _accuracy("final_train_accuracy", score_of("train", "accuracy"), "training accuracy of the final weights"),
        _accuracy("last_epoch_test_accuracy", of_last_epoch("test_accuracy"), "test accuracy after the last epoch"),
        _accuracy("best_validation_epoch_test_accuracy", test_accuracy_at_best_validation,
                  "test accuracy at the epoch of the best validation accuracy"),
        _accuracy("best_epoch_test_accuracy", of_best_epoch("test_accuracy"), "highest test accuracy of any epoch",
                  chosen_on_test=True),
        _accuracy("best_epoch_validation_accuracy", of_best_epoch("validation_accuracy"),
                  "highest validation accuracy of any epoch"),
        _of_counts("test", "balanced_accuracy", mean_recall, "balanced test accuracy"),
        _of_counts("validation", "balanced_accuracy", mean_recall, "balanced validation accuracy"),
        _of_counts("test", "macro_f1", mean_f1, "macro F1 score of the test images"),
        _of_counts("validation", "macro_f1", mean_f1, "macro F1 score of the validation images"),
        _loss("test_loss", score_of("test", "loss")),
        _loss("validation_loss", score_of("validation", "loss")),
        _loss("train_loss", of_last_epoch("train_loss"), "running training loss of the last epoch"),
        _loss("final_train_loss", score_of("train", "loss"), "training loss of the final weights"),
        _loss("last_epoch_test_loss", of_last_epoch("test_loss"), "test loss after the last epoch"),
        Metric("generalization_gap", "training minus validation accuracy after the last epoch", generalization_gap,
               "accuracy", False, "points", "less overfitted", "more overfitted"),
        Metric("largest_test_accuracy_drop", "largest drop of the test accuracy from one epoch to the next",
               largest_drop, "accuracy", False, "points", "steadier", "less steady", counted=counted_images("test")),
        Metric("train_seconds", "training time", cost_of("train_seconds"), "time", False, "s", "faster", "slower"),
        Metric("images_per_second", "training speed", cost_of("images_per_second"), "time", True, "images per second",
               "faster", "slower"),
        Metric("parameters", "parameters", cost_of("parameters"), "size", False, "parameters", "smaller", "larger"),
        Metric("flops", "FLOPs of one image", cost_of("flops"), "size", False, "FLOPs", "cheaper", "more expensive"),
    )
}  # fmt: skip
"""Every metric except those with a level, such as "epochs_to(test_accuracy=0.98)"."""

COLUMNS = (
    "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "test_loss", "test_accuracy",
)  # fmt: skip
"""Columns of the history that have a best value and reach levels."""

_MEAN = "mean_until"
_REACH = {"epochs_to": "epoch", "steps_to": "steps"}
