"""From logits to scores: pure functions that choose no split and read nothing."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convarium.errors import DataError
from convarium.records import Scores

CALIBRATION_BINS = 15


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every module is as it was, also one frozen inside a training network."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def scores(logits: Tensor, labels: Tensor, class_names: Iterable[str]) -> Scores:
    """Scores one model on one split.

    A row with a NaN predicts the class of its first NaN, as `argmax` has it, and makes the loss and the calibration
    error NaN: a broken network is scored, not hidden.

    Args:
        logits: (n, classes), of any floating type; the scores are computed in float64.
        labels: (n,) integers in [0, classes).
        class_names: one a class. Where two are equal, every name gets its label as a suffix: "cat (3)".

    Raises:
        DataError: nothing to score, or shapes, labels and names that do not belong together.
    """
    names = _distinct(tuple(class_names))
    labels = labels.detach().to("cpu", torch.int64)
    logits = logits.detach().to("cpu", torch.float64)
    _check(logits, labels, names)

    predicted = logits.argmax(dim=1)
    pairs = len(names) * labels.numpy() + predicted.numpy()
    counts = np.bincount(pairs, minlength=len(names) ** 2).reshape(len(names), -1)
    recalls = [int(row[i]) / int(row.sum()) if row.any() else None for i, row in enumerate(counts)]
    confidence = logits.softmax(dim=1).amax(dim=1)
    return Scores(
        accuracy=int(counts.trace()) / len(labels),
        loss=F.cross_entropy(logits, labels).item(),
        per_class=dict(zip(names, recalls, strict=True)),
        confusion=tuple(tuple(map(int, row)) for row in counts),
        calibration_error=_calibration_error(confidence.numpy(), (predicted == labels).numpy()),
        n=len(labels),
    )


def _calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Σ over bins of (share of images) · |accuracy − mean confidence|; Guo et al. 2017, arXiv 1706.04599, eq. 3."""
    if not np.isfinite(confidence).all():
        return float("nan")
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS) - 1, 0, CALIBRATION_BINS - 1).astype(np.int64)
    return float(np.abs(np.bincount(bins, weights=correct - confidence)).sum() / len(confidence))


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    # All or none: a suffix on the doubled names alone could itself collide with a class called "cat (3)".
    return names if len(set(names)) == len(names) else tuple(f"{name} ({label})" for label, name in enumerate(names))


def _check(logits: Tensor, labels: Tensor, names: tuple[str, ...]) -> None:
    if not len(labels):
        raise DataError("there are no images to score", hint="leave out the scores of an empty split")
    if logits.shape != (len(labels), len(names)):
        raise DataError(
            "logits do not belong to these labels and class names",
            expected=f"shape {(len(labels), len(names))}, images by classes",
            received=tuple(logits.shape),
            hint="score the split that the network predicted, with the classes it was trained on",
        )
    if labels.min() < 0 or labels.max() >= len(names):
        wrong = int(labels.max()) if labels.max() >= len(names) else int(labels.min())
        raise DataError(
            "labels name a class that does not exist",
            expected=f"0 to {len(names) - 1}",
            received=wrong,
            hint="give one class name a class",
        )
