"""Statistics over test images: McNemar's test, and intervals beside it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from convarium.errors import ConvariumError
from convarium.intervals import LEVEL, Interval, finite
from convarium.metrics import ClassCounts


@dataclass(frozen=True)
class McNemar:
    """Exact McNemar test of two trained models on the same images.

    Attributes:
        only_first, only_second: the number of images that only this model classifies correctly.
        n: the number of images.
        p_value: two-sided.
    """

    only_first: int
    only_second: int
    n: int
    p_value: float


def mcnemar(first: ArrayLike, second: ArrayLike, labels: ArrayLike) -> McNemar:
    """Compares one trained model with another by McNemar's exact test, which says nothing about other seeds.

    Args:
        first: the classes that the first model predicts, (n,).
        second: the classes that the second model predicts, (n,).
        labels: the true classes, (n,).

    Raises:
        ConvariumError: the arrays differ in length.
    """
    a, b, truth = np.asarray(first), np.asarray(second), np.asarray(labels)
    if not a.shape == b.shape == truth.shape:
        raise ConvariumError(
            "first, second and labels must belong to the same images",
            expected="equal shapes (n,)",
            received=(a.shape, b.shape, truth.shape),
        )
    one, other = a == truth, b == truth
    table = [[int((one & other).sum()), int((one & ~other).sum())], [int((~one & other).sum()), 0]]
    from statsmodels.stats.contingency_tables import mcnemar as exact_mcnemar

    p = float(exact_mcnemar(table, exact=True).pvalue)
    return McNemar(table[0][1], table[1][0], len(truth), p)


def paired_interval(first: ArrayLike, second: ArrayLike, labels: ArrayLike, *, level: float = LEVEL) -> Interval:
    """How far the first model's accuracy minus the second's, on these images, holds for other images of their kind.

    The interval of Agresti and Min (2005, Statistics in Medicine 24, 729-740) for matched proportions: Wald's, after
    half an image is added to each cell of the 2×2 table. Unlike a bootstrap it has a width where the two models are
    right on the same images.

    Args:
        first, second, labels: as for `mcnemar`.
        level: the coverage of the interval.

    Raises:
        ConvariumError: the arrays differ in length.
    """
    found = mcnemar(first, second, labels)
    n, only_first, only_second = found.n + 2, found.only_first + 0.5, found.only_second + 0.5
    center = (only_first - only_second) / n
    error = math.sqrt(only_first + only_second - (only_first - only_second) ** 2 / n) / n
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    return Interval(center - reach, center + reach)


def image_interval(values: ArrayLike, *, level: float = LEVEL, draws: int = 10_000, seed: int = 0) -> Interval | None:
    """Estimates by the percentile bootstrap how far a mean over these test images holds for other images of their kind.

    Images are drawn with replacement. Equal values are drawn by their count, which has the same distribution and takes
    no memory.

    Args:
        values: one number for each image, (n,): right or wrong, the share of seeds that are right, or a difference of
            these between two networks.
        level: the coverage of the interval.
        draws: the number of bootstrap samples.
        seed: the seed of the draws.

    Returns:
        The interval; None for fewer than two images or values that are all equal, where a bootstrap has no width.

    Raises:
        ConvariumError: there are no values, or one is not finite.
    """
    x = finite("values", values)
    distinct, counts = np.unique(x, return_counts=True)
    if len(distinct) < 2:
        return None
    drawn = np.random.default_rng(seed).multinomial(len(x), counts / len(x), size=draws)
    low, high = np.quantile(drawn @ distinct / len(x), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def confusion_interval(
    labels: np.ndarray,
    predicted: np.ndarray,
    measure: Callable[[ClassCounts], np.ndarray],
    *,
    classes: int,
    level: float = LEVEL,
    draws: int = 2000,
    seed: int = 0,
) -> Interval | None:
    """Estimates by the percentile bootstrap how far a measure of confusion matrices holds for other images.

    Images are drawn with replacement, the same ones for all runs; the measure is averaged over the runs. Images that
    all runs took for the same classes are drawn by their count.

    Args:
        labels: the true classes, (n,).
        predicted: the classes that each run predicts, (runs, n).
        measure: computes a number from the counts of each class in a confusion matrix, such as `mean_recall`, here for
            all runs at once: (runs,).
        classes: their number.
        level: the coverage of the interval.
        draws: the number of bootstrap samples.
        seed: the seed of the draws.

    Returns:
        The interval; None where all samples give the same number.
    """
    kinds, counts = np.unique(np.vstack([labels, predicted]), axis=1, return_counts=True)
    generator, share = np.random.default_rng(seed), counts / len(labels)
    true, named = kinds[0], kinds[1:]

    def count(classes_of: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.bincount(classes_of, weights=weights, minlength=classes)

    values = np.empty(draws)
    for draw in range(draws):
        drawn = generator.multinomial(len(labels), share)
        right = np.stack([count(true, drawn * (each == true)) for each in named])
        predictions = np.stack([count(each, drawn) for each in named])
        values[draw] = measure(ClassCounts(right, count(true, drawn), predictions)).mean()
    if np.ptp(values) == 0:
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
