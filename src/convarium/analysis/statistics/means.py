"""Means over seeds, their differences and equivalences, and where further runs would lie."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from convarium.errors import ConvariumError

LEVEL = 0.95
_NO_SPREAD = 1e-9
"""Relative to the values: a spread below it is rounding, not noise."""


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, both included."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        low, high: t-interval of the mean at 95 %; None for one value, or values without spread.
        deviation: standard deviation over seeds (n − 1 in the denominator); None for one value.
        n: number of values.
    """

    mean: float
    low: float | None
    high: float | None
    deviation: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """The mean of `first` minus the mean of `second`.

    Attributes:
        low, high: simultaneous interval; None where a group has one value, or nothing varies.
        n_first, n_second: values in each group; equal where paired.
        paired: seed by seed, or else Welch's interval.
        level: coverage of all the family's intervals together.
        family: number of intervals that hold at once (Bonferroni).
        deviation: paired: of the differences; else root mean square of the two groups' deviations.
        degrees: degrees of freedom of `deviation`.
    """

    mean: float
    low: float | None
    high: float | None
    n_first: int
    n_second: int
    paired: bool
    level: float
    family: int
    deviation: float | None = None
    degrees: float | None = None


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests of |difference| < margin.

    Attributes:
        low, high: what must lie within ±margin, at 90 % for one comparison tested at 5 %; None where nothing varies.
        p_value: the larger of the two, before the correction for the family; None where nothing varies.
        equivalent: p_value ≤ (1 − level) / family.
    """

    margin: float
    low: float | None
    high: float | None
    p_value: float | None
    equivalent: bool


def estimate(values: ArrayLike, *, level: float = LEVEL) -> Estimate:
    """Mean, standard deviation and t-interval of one value a seed.

    Raises:
        ConvariumError: no values, or one that is not finite.
    """
    x = finite("values", values)
    if len(x) == 1:
        return Estimate(float(x[0]), None, None, None, 1)
    if not _varies(x):
        return Estimate(float(x[0]), None, None, 0.0, len(x))
    low, high = DescrStatsW(x).tconfint_mean(alpha=1 - level)
    return Estimate(float(x.mean()), float(low), float(high), float(x.std(ddof=1)), len(x))


def difference(
    first: ArrayLike, second: ArrayLike, *, paired: bool, family: int = 1, level: float = LEVEL
) -> Difference:
    """The difference of two means with its interval: of the pairs' differences, or Welch's.

    Args:
        first: one value a seed.
        second: likewise; where paired, in the same order of seeds.
        paired: the groups share their seeds and what the seeds decide.
        family: number of differences whose intervals shall hold at once.
        level: coverage of them all together.

    Raises:
        ConvariumError: an empty group, a value that is not finite, pairs of unequal number, or a family below 1.
    """
    x, y = _groups(first, second, paired, family)
    mean = float((x - y).mean()) if paired else float(x.mean() - y.mean())
    unresolved = Difference(mean, None, None, len(x), len(y), paired, level, family)
    if min(len(x), len(y)) < 2:
        return unresolved
    compared = _compared(x, y, paired)
    if compared is None:
        return Difference(mean, None, None, len(x), len(y), paired, level, family, 0.0, None)
    alpha = (1 - level) / family
    if isinstance(compared, DescrStatsW):
        low, high = compared.tconfint_mean(alpha=alpha)
        deviation, degrees = float((x - y).std(ddof=1)), float(len(x) - 1)
    else:
        low, high = compared.tconfint_diff(alpha=alpha, usevar="unequal")
        a, b = x.var(ddof=1), y.var(ddof=1)
        deviation = math.sqrt((a + b) / 2)
        degrees = float((a + b) ** 2 / (a**2 / (len(x) - 1) + b**2 / (len(y) - 1)))  # Satterthwaite
    return Difference(mean, float(low), float(high), len(x), len(y), paired, level, family, deviation, degrees)


def equivalence(
    first: ArrayLike, second: ArrayLike, margin: float, *, paired: bool, family: int = 1, level: float = LEVEL
) -> Equivalence:
    """Whether the two means differ by less than `margin`, by two one-sided t-tests.

    Raises:
        ConvariumError: as `difference`, or a margin that is not above 0.
    """
    x, y = _groups(first, second, paired, family)
    if not margin > 0:
        raise ConvariumError("margin is out of range", expected="a number above 0", received=margin)
    compared = _compared(x, y, paired) if min(len(x), len(y)) > 1 else None
    if compared is None:
        return Equivalence(margin, None, None, None, False)
    alpha = (1 - level) / family
    if isinstance(compared, DescrStatsW):
        p = float(compared.ttost_mean(-margin, margin)[0])
        low, high = compared.tconfint_mean(alpha=2 * alpha)
    else:
        p = float(compared.ttost_ind(-margin, margin, usevar="unequal")[0])
        low, high = compared.tconfint_diff(alpha=2 * alpha, usevar="unequal")
    return Equivalence(margin, float(low), float(high), p, p <= alpha)


def prediction_interval(values: ArrayLike, *, runs: int = 1, level: float = LEVEL) -> Interval | None:
    """Where the mean of `runs` further runs of the same kind would lie; None for one value, or without spread.

    mean ± t · deviation · √(1 / n + 1 / runs), for values that are normal or nearly so.

    Raises:
        ConvariumError: no values, one that is not finite, or `runs` below 1.
    """
    x = finite("values", values)
    if runs < 1:
        raise ConvariumError("runs is out of range", expected="at least 1", received=runs)
    if len(x) < 2 or not _varies(x):
        return None
    half = stats.t.ppf((1 + level) / 2, len(x) - 1) * x.std(ddof=1) * math.sqrt(1 / len(x) + 1 / runs)
    return Interval(float(x.mean() - half), float(x.mean() + half))


def rank_test(first: ArrayLike, second: ArrayLike) -> float:
    """Two-sided p-value of the Mann–Whitney test, for values of which only the order can be trusted.

    Infinity is a legal value: "never within this budget" ranks behind every number. Ties are allowed; small groups are
    enumerated, larger ones use the normal law with its correction for ties.

    Raises:
        ConvariumError: an empty group or a NaN.
    """
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if not len(x) or not len(y) or np.isnan(x).any() or np.isnan(y).any():
        raise ConvariumError("first and second cannot be ranked", expected="values without NaN in both")
    ranks = stats.rankdata(np.concatenate([x, y]))
    if np.ptp(ranks) == 0:
        return 1.0
    a, b = ranks[: len(x)], ranks[len(x) :]
    enumerable = math.comb(len(ranks), len(a)) <= 20_000
    if enumerable:
        return float(stats.permutation_test((a, b), _mean_apart, vectorized=True, n_resamples=20_000).pvalue)
    return float(stats.mannwhitneyu(a, b, method="asymptotic").pvalue)


def _mean_apart(x: NDArray[np.float64], y: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Of ranks: orders groups as Mann–Whitney's U does."""
    return np.asarray(x.mean(axis) - y.mean(axis))


def finite(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """The values as an array (n,), n ≥ 1.

    Raises:
        ConvariumError: no values, or one that is not finite; calls them `name`.
    """
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or not len(x):
        raise ConvariumError(f"{name} is not a list of numbers", expected="at least one number", received=x.shape)
    if not np.isfinite(x).all():
        raise ConvariumError(
            f"{name} holds a number that is not finite",
            received=x[~np.isfinite(x)].tolist(),
            hint="leave out the runs that diverged and count them as failed",
        )
    return x


def _groups(
    first: ArrayLike, second: ArrayLike, paired: bool, family: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = finite("first", first), finite("second", second)
    if paired and len(x) != len(y):
        raise ConvariumError(
            "first and second are no pairs",
            expected="as many values in both",
            received=(len(x), len(y)),
            hint="keep the seeds that both have, or use paired=False",
        )
    if family < 1:
        raise ConvariumError("family is out of range", expected="at least 1", received=family)
    return x, y


def _compared(x: NDArray[np.float64], y: NDArray[np.float64], paired: bool) -> DescrStatsW | CompareMeans | None:
    """What statsmodels tests and gives intervals by; None where nothing varies."""
    scale = float(max(np.abs(x).max(), np.abs(y).max()))
    if paired:
        return DescrStatsW(x - y) if _varies(x - y, scale) else None
    return CompareMeans(DescrStatsW(x), DescrStatsW(y)) if _varies(x) or _varies(y) else None


def _varies(x: NDArray[np.float64], scale: float | None = None) -> bool:
    return float(np.ptp(x)) > _NO_SPREAD * (float(np.abs(x).max()) if scale is None else scale)
