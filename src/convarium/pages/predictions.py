"""What the trained runs predicted, image by image: accuracy by class, confusion, calibration and agreement."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from convarium.analysis.comparison import Comparison
from convarium.metrics import calibration_bins


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predictions of all trained runs of a comparison on the same n images of its split.

    Attributes:
        labels: (n,), the true classes.
        class_names: one name for each class.
        predicted: by label of the row, (runs, n), the predicted classes.
        confidence: by label of the row, (runs, n), the probability of the predicted class.
        true_confidence: by label of the row, (runs, n), the probability of the true class.
        seeds: by label of the row, the seed of each run.
    """

    labels: np.ndarray
    class_names: tuple[str, ...]
    predicted: dict[str, np.ndarray]
    confidence: dict[str, np.ndarray]
    true_confidence: dict[str, np.ndarray]
    seeds: dict[str, tuple[int, ...]]

    def share_correct(self, label: str) -> np.ndarray:
        """(n,): for each image the share of the row's runs that predict its true class."""
        return np.asarray((self.predicted[label] == self.labels).mean(0))


def read_predictions(comparison: Comparison) -> Predictions | None:
    """The stored predictions of all trained runs; None if there are none, or if they are not of the same images."""
    labels: np.ndarray | None = None
    predicted: dict[str, list[np.ndarray]] = {}
    confidence: dict[str, list[np.ndarray]] = {}
    true_confidence: dict[str, list[np.ndarray]] = {}
    seeds: dict[str, tuple[int, ...]] = {}
    names: tuple[str, ...] = ()
    for row in comparison.rows:
        for run in row.trained:
            stored = run.predictions()
            if stored is None or run.result is None:
                continue
            logits, truth = stored
            names = names or tuple(run.result.per_class)
            labels = truth if labels is None else labels
            if not np.array_equal(truth, labels):
                return None
            predicted.setdefault(row.label, []).append(logits.argmax(1).astype(np.int16))
            confidence.setdefault(row.label, []).append(_probability(logits, logits.argmax(1)))
            true_confidence.setdefault(row.label, []).append(_probability(logits, truth))
            seeds[row.label] = (*seeds.get(row.label, ()), run.recipe.seed)
    if labels is None:
        return None
    return Predictions(
        labels,
        names,
        predicted={label: np.stack(runs) for label, runs in predicted.items()},
        confidence={label: np.stack(runs) for label, runs in confidence.items()},
        true_confidence={label: np.stack(runs) for label, runs in true_confidence.items()},
        seeds=seeds,
    )


def agreement(predictions: Predictions) -> pd.DataFrame:
    """How often two runs predict the same class, correct or not.

    Returns:
        Columns first, second, agreement (mean over all pairs of runs, fraction of 1), pairs. For a network and itself
        the pairs are those of different seeds; a network with one seed has no such row.
    """
    labels = list(predictions.predicted)
    runs = np.concatenate([predictions.predicted[label] for label in labels])
    row_of_run = np.repeat(np.arange(len(labels)), [len(predictions.predicted[label]) for label in labels])
    same = np.stack([(runs == run).mean(1) for run in runs])
    np.fill_diagonal(same, np.nan)
    rows = []
    for i, first in enumerate(labels):
        for j, second in enumerate(labels):
            block = same[np.ix_(row_of_run == i, row_of_run == j)]
            pairs = int(np.isfinite(block).sum())
            if pairs:
                rows.append({"first": first, "second": second, "agreement": float(np.nanmean(block)), "pairs": pairs})
    return pd.DataFrame(rows, columns=["first", "second", "agreement", "pairs"])


def calibration(predictions: Predictions) -> pd.DataFrame:
    """Confidence against accuracy in bins of equal width, over all runs of a row together.

    Returns:
        Columns label, confidence (mean of the bin), accuracy, share (of all predictions), count; empty bins
        have no row.
    """
    parts = []
    for label, predicted in predictions.predicted.items():
        sure = predictions.confidence[label].ravel().astype(float)
        right = (predicted == predictions.labels).ravel().astype(float)
        known = np.isfinite(sure)
        sure, right = sure[known], right[known]
        bins = calibration_bins(sure, right)
        parts.append(pd.DataFrame({"label": label, "confidence": bins.confidence, "accuracy": bins.accuracy,
                                   "share": bins.counts / max(len(sure), 1), "count": bins.counts}))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def calibration_errors(comparison: Comparison) -> list[tuple[str, float]]:
    """(label, mean expected calibration error of its trained runs) of each row with scores, fractions of 1."""
    errors = {
        row.label: [scores.calibration_error for run in row.trained if (scores := comparison.scores(run))]
        for row in comparison.rows
    }
    return [(label, float(np.mean(values))) for label, values in errors.items() if values]


def class_points(comparison: Comparison) -> pd.DataFrame:
    """Accuracy of the split class by class: columns label, class, mean, low, high (over the trained runs), images."""
    trained = comparison.frame("classes")
    columns = ["label", "class", "mean", "low", "high", "images"]
    if trained.empty:
        return pd.DataFrame(columns=columns)
    trained = trained[(trained["status"] == "trained") & trained["accuracy"].notna()]
    grouped = trained.groupby(["label", "class"], sort=False)
    points = grouped.agg(
        mean=("accuracy", "mean"), low=("accuracy", "min"), high=("accuracy", "max"), images=("images", "first")
    )
    return points.reset_index()[columns]


def confusion_points(comparison: Comparison) -> pd.DataFrame:
    """The confusion matrix of each row, summed over its trained runs.

    Returns:
        Columns label, true, predicted, count, share (of the images of the true class); pairs that never occurred have
        no row.
    """
    rows = []
    for row in comparison.rows:
        scored = [scores for run in row.trained if (scores := comparison.scores(run))]
        if not scored:
            continue
        names, counts = list(scored[0].per_class), np.sum([scores.confusion for scores in scored], axis=0)
        totals = counts.sum(1)
        for i, j in np.argwhere(counts):
            rows.append({"label": row.label, "true": names[i], "predicted": names[j], "count": int(counts[i, j]),
                         "share": counts[i, j] / totals[i]})  # fmt: skip
    return pd.DataFrame(rows, columns=["label", "true", "predicted", "count", "share"])


def _probability(logits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The probability of one class of each image: (n, classes), (n,) → (n,)."""
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    chosen = shifted[np.arange(len(shifted)), classes]
    return np.asarray(chosen / shifted.sum(1), dtype=np.float32)
