"""What a number of test images can carry: one model against one, other images, chance, and differences that matter."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from statsmodels.stats.contingency_tables import mcnemar as exact_mcnemar

from convarium.analysis.statistics.means import LEVEL, Interval, finite
from convarium.errors import ConvariumError

MARGINS: Mapping[str, float] = {"mnist": 0.003, "fashion_mnist": 0.01, "cifar10": 0.005}
"""Differences of accuracy too small to matter, as fractions of 1, by data set; fixed before any study was run."""
OTHER_MARGIN = 0.01


@dataclass(frozen=True)
class McNemar:
    """Two trained models on the same images: how many only one of them gets right, and the exact p-value."""

    only_first: int
    only_second: int
    n: int
    p_value: float


def margin_of(dataset: str) -> float:
    """The difference of accuracy that is too small to matter on a data set, as a fraction of 1."""
    return MARGINS.get(dataset, OTHER_MARGIN)


def mcnemar(first: ArrayLike, second: ArrayLike, labels: ArrayLike) -> McNemar:
    """Exact McNemar test of one trained model against one: it says nothing about other seeds.

    Args:
        first: predicted classes, (n,).
        second: those of the other model.
        labels: true classes, (n,).

    Raises:
        ConvariumError: arrays of unequal length.
    """
    a, b, truth = np.asarray(first), np.asarray(second), np.asarray(labels)
    if not a.shape == b.shape == truth.shape:
        raise ConvariumError(
            "first, second and labels must be of the same images",
            expected="equal shapes (n,)",
            received=(a.shape, b.shape, truth.shape),
        )
    right, other = a == truth, b == truth
    table = [[int((right & other).sum()), int((right & ~other).sum())], [int((~right & other).sum()), 0]]
    p = float(exact_mcnemar(table, exact=True).pvalue)
    return McNemar(table[0][1], table[1][0], len(truth), p)


def image_interval(values: ArrayLike, *, level: float = LEVEL, draws: int = 10_000, seed: int = 0) -> Interval | None:
    """How far a mean over these test images carries to other images of the same kind: percentile bootstrap.

    Images are drawn with replacement. Equal values are drawn by count, which is the same law and costs no memory.

    Args:
        values: one number an image, (n,): right or wrong, the share of seeds that are right, or a difference of those
            between two networks.
        level: coverage.
        draws: bootstrap samples.
        seed: of the draws.

    Returns:
        None for fewer than two images, or values that are all equal: such a bootstrap has no width.

    Raises:
        ConvariumError: no values, or one that is not finite.
    """
    x = finite("values", values)
    kinds, counts = np.unique(x, return_counts=True)
    if len(kinds) < 2:
        return None
    drawn = np.random.default_rng(seed).multinomial(len(x), counts / len(x), size=draws)
    low, high = np.quantile(drawn @ kinds / len(x), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def at_chance(accuracy: float, n: int, largest_share: float) -> bool:
    """Whether an accuracy is at most what naming the largest class gives, plus three standard errors.

    Args:
        accuracy: fraction of 1.
        n: images it was measured on.
        largest_share: of the largest class among them, fraction of 1.
    """
    return accuracy <= largest_share + 3 * math.sqrt(largest_share * (1 - largest_share) / n)
