"""From logits to scores, with NumPy alone: pure functions that choose no split and read nothing."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convarium.errors import DataError
from convarium.records import Scores

if TYPE_CHECKING:
    from torch import Tensor

CALIBRATION_BINS = 15


def scores(logits: "np.ndarray | Tensor", labels: "np.ndarray | Tensor", class_names: Iterable[str]) -> Scores:
    """Scores one model on one split.

    A row with a NaN predicts the class of its first NaN, as `argmax` does, and makes the loss and the calibration error
    NaN: a broken network is scored, not hidden.

    Args:
        logits: (n, classes), of any floating type; the scores are computed in float64.
        labels: (n,) integers in [0, classes).
        class_names: one per class. If any two are equal, every name gets its label as a suffix: "cat (3)".

    Raises:
        DataError: nothing to score, or shapes, labels and names that do not belong together.
    """
    names = _distinct(tuple(class_names))
    logits, labels = _as_array(logits, np.float64), _as_array(labels, np.int64)
    _check(logits, labels, names)

    predicted = logits.argmax(axis=1)
    counts = np.bincount(len(names) * labels + predicted, minlength=len(names) ** 2).reshape(len(names), -1)
    recalls = [int(row[i]) / int(row.sum()) if row.any() else None for i, row in enumerate(counts)]
    with np.errstate(invalid="ignore"):  # of infinite logits
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_sums = np.log(np.exp(shifted).sum(axis=1))
    losses = log_sums - shifted[np.arange(len(labels)), labels]
    return Scores(
        accuracy=int(counts.trace()) / len(labels),
        loss=float(losses.mean()),
        per_class=dict(zip(names, recalls, strict=True)),
        confusion=tuple(tuple(map(int, row)) for row in counts),
        calibration_error=_calibration_error(np.exp(-log_sums), predicted == labels),
        n=len(labels),
    )


class ClassCounts(NamedTuple):
    """What a confusion matrix says of each class; of several matrices with more dimensions in front.

    Attributes:
        right: images of the class that are predicted as it, (…, classes).
        images: images of the class, (…, classes).
        predicted: images that are predicted as the class, (…, classes).
    """

    right: "np.ndarray"
    images: "np.ndarray"
    predicted: "np.ndarray"


def class_counts(confusion: Sequence[Sequence[int]]) -> ClassCounts:
    """The counts of each class.

    Args:
        confusion: confusion[true][predicted], counts.
    """
    table = np.asarray(confusion)
    return ClassCounts(table.diagonal(), table.sum(1), table.sum(0))


def mean_recall(counts: ClassCounts) -> "np.ndarray":
    """The mean recall over the classes that have images, fractions of 1: (…)."""
    return _mean_share(counts.right, counts.images)


def mean_f1(counts: ClassCounts) -> "np.ndarray":
    """The mean F1 score, 2 · right / (images + predictions), over the classes that have images or predictions: (…)."""
    return _mean_share(2 * counts.right, counts.images + counts.predicted)


def balanced_accuracy(confusion: Sequence[Sequence[int]]) -> float:
    """`mean_recall` of one confusion matrix, a fraction of 1.

    Args:
        confusion: confusion[true][predicted], counts, with an image or more.
    """
    return float(mean_recall(class_counts(confusion)))


def macro_f1(confusion: Sequence[Sequence[int]]) -> float:
    """`mean_f1` of one confusion matrix, a fraction of 1.

    Args:
        confusion: as for `balanced_accuracy`.
    """
    return float(mean_f1(class_counts(confusion)))


def _mean_share(parts: "np.ndarray", totals: "np.ndarray") -> "np.ndarray":
    """The mean of parts / totals over the classes whose total is not 0: (…, classes) → (…)."""
    shares = np.divide(parts, totals, out=np.zeros(np.broadcast_shapes(parts.shape, totals.shape)), where=totals > 0)
    mean: np.ndarray = shares.sum(-1) / (totals > 0).sum(-1)
    return mean


class CalibrationBins(NamedTuple):
    """Predictions grouped by confidence into CALIBRATION_BINS bins of equal width; empty bins are left out.

    Attributes:
        counts: predictions in the bin, (bins,).
        confidence: their mean confidence, (bins,).
        accuracy: the share of them that is correct, (bins,).
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def calibration_bins(confidence: np.ndarray, correct: np.ndarray) -> CalibrationBins:
    """Groups predictions by confidence; a bin holds its upper bound, not its lower one.

    Args:
        confidence: (n,) finite: the probability of the predicted class, in [0, 1].
        correct: (n,) bool: whether the prediction is correct.
    """
    confidence = confidence.astype(np.float64)
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS) - 1, 0, CALIBRATION_BINS - 1).astype(np.int64)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    filled = counts > 0
    sums = (np.bincount(bins, weights=values, minlength=CALIBRATION_BINS)[filled] for values in (confidence, correct))
    return CalibrationBins(counts[filled], *(total / counts[filled] for total in sums))


def _calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Σ over bins of (share of images) · |accuracy − mean confidence|; Guo et al. 2017, arXiv 1706.04599, eq. 3."""
    if not np.isfinite(confidence).all():
        return float("nan")
    bins = calibration_bins(confidence, correct)
    return float((bins.counts * np.abs(bins.accuracy - bins.confidence)).sum() / len(confidence))


def _as_array(values: "np.ndarray | Tensor", dtype: type[np.generic]) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values.astype(dtype)
    values = values.detach().cpu()
    return (values.double() if values.is_floating_point() else values).numpy().astype(dtype)  # NumPy has no bfloat16


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    # All or none: a suffix on the doubled names alone could itself collide with a class called "cat (3)".
    return names if len(set(names)) == len(names) else tuple(f"{name} ({label})" for label, name in enumerate(names))


def disagreement(predicted: Sequence[np.ndarray]) -> np.ndarray:
    """How far networks disagree on each image: the chance that two of them, drawn with return, name two classes.

    Args:
        predicted: (n,) the classes that each network predicts.

    Returns:
        (n,) from 0 to below 1.
    """
    votes = np.stack([*predicted])
    shares = np.stack([(votes == c).mean(axis=0) for c in range(int(votes.max()) + 1)])
    spread: np.ndarray = 1 - (shares**2).sum(axis=0)
    return spread


def _check(logits: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> None:
    if not len(labels):
        raise DataError("there are no images to score", hint="leave out the scores of an empty split")
    if logits.shape != (len(labels), len(names)):
        raise DataError(
            "logits do not belong to these labels and class names",
            expected=f"shape {(len(labels), len(names))}, images by classes",
            received=logits.shape,
            hint="score the split that the network predicted, with the classes it was trained on",
        )
    if labels.min() < 0 or labels.max() >= len(names):
        wrong = int(labels.max()) if labels.max() >= len(names) else int(labels.min())
        raise DataError(
            "labels name a class that does not exist",
            expected=f"0 to {len(names) - 1}",
            received=wrong,
            hint="give one class name per class",
        )
