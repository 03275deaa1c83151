"""What the trained runs predicted, image by image: agreement, calibration, and who is right where."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from convarium.analysis.comparison import Comparison
from convarium.metrics import calibration_bins


@dataclass(frozen=True, eq=False)
class Predictions:
    """Of all trained runs of a comparison, on the same n test images.

    Attributes:
        labels: true classes, (n,).
        class_names: one a class.
        predicted: by row, (runs, n) classes.
        confidence: by row, (runs, n): the probability of the predicted class.
    """

    labels: np.ndarray
    class_names: tuple[str, ...]
    predicted: dict[str, np.ndarray]
    confidence: dict[str, np.ndarray]

    def right(self, label: str) -> np.ndarray:
        """The share of a row's runs that are right, image by image, (n,)."""
        return np.asarray((self.predicted[label] == self.labels).mean(0))


@dataclass(frozen=True)
class Contested:
    """One row against the baseline on the same images, shares of 1: one run of each, averaged over all such pairs.

    Attributes:
        images: indices of the test images that most divide them, in favour of `label` and in favour of the baseline.
    """

    label: str
    both: float
    only_this: float
    only_baseline: float
    neither: float
    images: tuple[tuple[int, ...], tuple[int, ...]]


def read_predictions(comparison: Comparison) -> Predictions | None:
    """The stored predictions of all trained runs; None where there are none, or not of the same images."""
    labels: np.ndarray | None = None
    predicted: dict[str, list[np.ndarray]] = {}
    confidence: dict[str, list[np.ndarray]] = {}
    names: tuple[str, ...] = ()
    for row in comparison.rows:
        for run in row.trained:
            found = run.predictions()
            if found is None or run.outcome.test is None:
                continue
            logits, truth = found
            names = names or tuple(run.outcome.test.per_class)
            labels = truth if labels is None else labels
            if not np.array_equal(truth, labels):
                return None
            predicted.setdefault(row.label, []).append(logits.argmax(1).astype(np.int16))
            confidence.setdefault(row.label, []).append(_confidence(logits))
    if labels is None:
        return None
    stacked = ({label: np.stack(runs) for label, runs in of.items()} for of in (predicted, confidence))
    return Predictions(labels, names, *stacked)


def agreement(predictions: Predictions) -> pd.DataFrame:
    """How often two runs predict the same class, right or wrong.

    Returns:
        Columns first, second, agreement (mean over all pairs of runs, fraction of 1), pairs. Between a network and
        itself the pairs are those of different seeds; where there is one seed, the row is missing.
    """
    labels = list(predictions.predicted)
    every = np.concatenate([predictions.predicted[label] for label in labels])
    of = np.repeat(np.arange(len(labels)), [len(predictions.predicted[label]) for label in labels])
    same = np.stack([(every == run).mean(1) for run in every])
    np.fill_diagonal(same, np.nan)
    rows = []
    for i, first in enumerate(labels):
        for j, second in enumerate(labels):
            block = same[np.ix_(of == i, of == j)]
            pairs = int(np.isfinite(block).sum())
            if pairs:
                rows.append({"first": first, "second": second, "agreement": float(np.nanmean(block)), "pairs": pairs})
    return pd.DataFrame(rows, columns=["first", "second", "agreement", "pairs"])


def calibration(predictions: Predictions) -> pd.DataFrame:
    """Confidence against accuracy in equal-width bins, over all runs of a row together.

    Returns:
        Columns label, confidence (mean of the bin), accuracy, share (of all predictions); empty bins are missing.
    """
    parts = []
    for label, predicted in predictions.predicted.items():
        sure = predictions.confidence[label].ravel().astype(float)
        right = (predicted == predictions.labels).ravel().astype(float)
        known = np.isfinite(sure)
        sure, right = sure[known], right[known]
        bins = calibration_bins(sure, right)
        parts.append(pd.DataFrame({"label": label, "confidence": bins.confidence, "accuracy": bins.accuracy,
                                   "share": bins.counts / max(len(sure), 1)}))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def calibration_errors(comparison: Comparison) -> list[tuple[str, float]]:
    """(label, mean expected calibration error of its trained runs), fractions of 1; rows without are left out."""
    errors = {
        row.label: [run.outcome.test.calibration_error for run in row.trained if run.outcome.test is not None]
        for row in comparison.rows
    }
    return [(label, float(np.mean(values))) for label, values in errors.items() if values]


def contested(predictions: Predictions, baseline: str, *, images: int = 12) -> tuple[Contested, ...]:
    """Every other row against the baseline, with up to `images` test images for either side."""
    if baseline not in predictions.predicted:
        return ()
    other = predictions.right(baseline)
    found = []
    for label in predictions.predicted:
        if label == baseline:
            continue
        this = predictions.right(label)
        lead = this - other
        order = np.argsort(-lead, kind="stable")
        ahead = [int(i) for i in order[:images] if lead[i] > 0]
        behind = [int(i) for i in order[::-1][:images] if lead[i] < 0]
        both, first, second = (float(s.mean()) for s in (this * other, this * (1 - other), (1 - this) * other))
        found.append(Contested(label, both, first, second, 1 - both - first - second, (tuple(ahead), tuple(behind))))
    return tuple(found)


def votes(predictions: Predictions, label: str, image: int) -> list[tuple[str, int]]:
    """What the runs of a row take an image for: (class, runs), the most frequent first."""
    classes, counts = np.unique(predictions.predicted[label][:, image], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [(predictions.class_names[classes[i]], int(counts[i])) for i in order]


def class_points(comparison: Comparison) -> pd.DataFrame:
    """Test accuracy class by class: columns label, class, mean, low, high (over the trained runs), images."""
    trained = comparison.frame("classes")
    columns = ["label", "class", "mean", "low", "high", "images"]
    if trained.empty:
        return pd.DataFrame(columns=columns)
    trained = trained[(trained["status"] == "trained") & trained["accuracy"].notna()]
    grouped = trained.groupby(["label", "class"], sort=False)
    found = grouped.agg(
        mean=("accuracy", "mean"), low=("accuracy", "min"), high=("accuracy", "max"), images=("images", "first")
    )
    return found.reset_index()[columns]


def confusion_points(comparison: Comparison) -> pd.DataFrame:
    """What was taken for what, summed over the trained runs of a row.

    Returns:
        Columns label, true, predicted, count, share (of the images of the true class); pairs that never occurred are
        missing.
    """
    rows = []
    for row in comparison.rows:
        tests = [run.outcome.test for run in row.trained if run.outcome.test is not None]
        if not tests:
            continue
        names, counts = list(tests[0].per_class), np.sum([test.confusion for test in tests], axis=0)
        totals = counts.sum(1)
        for i, j in np.argwhere(counts):
            rows.append({"label": row.label, "true": names[i], "predicted": names[j], "count": int(counts[i, j]),
                         "share": counts[i, j] / totals[i]})  # fmt: skip
    return pd.DataFrame(rows, columns=["label", "true", "predicted", "count", "share"])


def _confidence(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(1 / shifted.sum(1), dtype=np.float32)
