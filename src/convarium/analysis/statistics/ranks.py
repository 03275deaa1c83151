"""The rank test, for values of which only the order is meaningful, and how many seeds it needs to show anything."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convarium.errors import ConvariumError


def smallest_p(n: int, m: int) -> float:
    """The smallest p-value that `rank_test` can give for groups of n and m: that of two groups that do not overlap."""
    return min(1.0, 2 / math.comb(n + m, n))


def seeds_to_reach(level: float) -> int:
    """Returns the least number of seeds each with which `rank_test` can show a difference.

    Args:
        level: the p-value that must be reached, such as 0.05 divided by the number of comparisons.

    Raises:
        ConvariumError: the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ConvariumError("level is out of range", expected="a number between 0 and 1", received=level)
    n = 1
    while smallest_p(n, n) > level:
        n += 1
    return n


def rank_test(first: ArrayLike, second: ArrayLike) -> float:
    """Returns the two-sided p-value of the Mann–Whitney test, for values of which only the order is meaningful.

    Infinity is a legal value: "never within this budget" ranks behind every number. Ties are allowed. Small groups are
    enumerated; larger ones use the normal approximation with its correction for ties.

    Raises:
        ConvariumError: a group is empty or has a NaN.
    """
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if not len(x) or not len(y) or np.isnan(x).any() or np.isnan(y).any():
        raise ConvariumError("first and second cannot be ranked", expected="values without NaN in both")
    from scipy import stats

    ranks = stats.rankdata(np.concatenate([x, y]))
    if np.ptp(ranks) == 0:
        return 1.0
    a, b = ranks[: len(x)], ranks[len(x) :]
    enumerable = math.comb(len(ranks), len(a)) <= 20_000
    if enumerable:
        return float(stats.permutation_test((a, b), _mean_apart, vectorized=True, n_resamples=20_000).pvalue)
    return float(stats.mannwhitneyu(a, b, method="asymptotic").pvalue)


def _mean_apart(x: NDArray[np.float64], y: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The difference of mean ranks, which orders groups as Mann–Whitney's U does."""
    return np.asarray(x.mean(axis) - y.mean(axis))
