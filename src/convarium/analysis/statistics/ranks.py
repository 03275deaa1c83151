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

    Infinity is a legal value: "never within this budget" ranks behind every number. Ties share their mean rank. The
    p-value is exact, ties included, for up to some fifty values each: twice the share of all divisions of the values
    into such groups that put as small a rank sum into one of them, or as large a one. Larger groups use the normal
    approximation with its correction for ties.

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
    if len(x) * len(y) > _MOST_PAIRS:
        return float(stats.mannwhitneyu(ranks[: len(x)], ranks[len(x) :], method="asymptotic").pvalue)
    smaller = ranks[: len(x)] if len(x) <= len(y) else ranks[len(x) :]  # either tells the same, this one sooner
    shares = _rank_sums((2 * ranks).astype(int), len(smaller))
    found = int(2 * smaller.sum())
    return float(min(1.0, 2 * min(shares[: found + 1].sum(), shares[found:].sum())))


_MOST_PAIRS = 50 * 50
"""Groups with more pairs of values than this are not counted exactly."""


def _rank_sums(ranks: NDArray[np.int_], n: int) -> NDArray[np.float64]:
    """How the sum of n ranks that are drawn without replacement is distributed.

    The subsets are counted by size and sum, a rank at a time (dynamic programming), as shares of all.

    Args:
        ranks: whole numbers above 0, such as twice the mean ranks of ties, (m,), m ≥ n.
        n: how many are drawn.

    Returns:
        The probability of each sum from 0 on.
    """
    largest = int(np.sort(ranks)[-n:].sum())
    counts = np.zeros((n + 1, largest + 1))
    counts[0, 0] = 1
    for rank in ranks:
        counts[1:, rank:] += counts[:-1, : largest + 1 - rank].copy()
    return np.asarray(counts[n] / math.comb(len(ranks), n))
