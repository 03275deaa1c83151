"""Means over seeds, their differences, tests of equivalence, and prediction intervals of further runs.

scipy and statsmodels are imported by the functions that use them: a list of claims is printed without them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convarium.analysis.statistics.scales import Scale, from_scale, steepness, to_scale
from convarium.errors import ConvariumError
from convarium.intervals import LEVEL, Interval, finite

if TYPE_CHECKING:
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

_NO_SPREAD = 1e-9
"""A spread below this fraction of the values is rounding, not noise."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        low, high: the interval of the mean at 95 %; None for one value, values without spread, or a loss of 0.
        deviation: the standard deviation over seeds (n − 1 in the denominator); None for one value.
        n: the number of values.
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
        low, high: the simultaneous interval; None if a group has one value, or nothing varies.
        n_first, n_second: the number of values in each group; equal if paired.
        paired: whether the interval is of the differences by seed; otherwise it is Welch's.
        level: the coverage of all intervals of the family together.
        family: the number of simultaneous intervals (Bonferroni).
        deviation: paired: the standard deviation of the differences; else the root mean square of both groups'
            deviations.
        degrees: the degrees of freedom of `deviation`.
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
        low, high: the interval that must lie within ±margin, at 90 % for one comparison tested at 5 %; None if nothing
            varies.
        p_value: the larger of the two p-values, before the correction for the family; None if nothing varies.
        equivalent: whether p_value ≤ (1 − level) / family.
    """

    margin: float
    low: float | None
    high: float | None
    p_value: float | None
    equivalent: bool


def estimate(values: ArrayLike, *, level: float = LEVEL, scale: Scale = "plain", images: int | None = None) -> Estimate:
    """Computes mean, standard deviation and interval of values, one for each seed.

    The interval is of the arithmetic mean that endless seeds would give: Student's, with the standard error of the mean
    brought to the scale (delta method), so that it holds the mean and stays within what is possible.

    Args:
        values: (n,).
        level: the coverage of the interval.
        scale: how the values lie; the metric decides it, never the values.
        images: for the logit, the number of images that the shares were counted on.

    Raises:
        ConvariumError: there are no values, one is not finite, or one of the logit is not a share.
    """
    x = finite("values", values)
    mean = float(x.mean())
    placed, center = to_scale(x, scale, images), to_scale(x.mean(keepdims=True), scale, images)
    if len(x) == 1:
        return Estimate(mean, None, None, None, 1)
    if not _varies(x):
        return Estimate(float(x[0]), None, None, 0.0, len(x))
    deviation = float(x.std(ddof=1))
    if center is None or (scale == "log" and placed is None):
        return Estimate(mean, None, None, deviation, len(x))
    from scipy import stats

    half = float(stats.t.ppf((1 + level) / 2, len(x) - 1)) * deviation / math.sqrt(len(x))
    ends = _around(float(center[0]), half * steepness(mean, scale, images), mean, scale, images)
    return Estimate(mean, ends.low, ends.high, deviation, len(x))


def difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    paired: bool,
    family: int = 1,
    level: float = LEVEL,
    most: float | None = None,
) -> Difference:
    """Computes the difference of two means with its interval: that of the paired differences, or Welch's.

    Args:
        first: one value for each seed, (n,).
        second: likewise, (m,); if paired, in the same order of seeds.
        paired: whether the groups share their seeds and everything that the seeds decide.
        family: the number of differences whose intervals are to be simultaneous.
        level: the coverage of all these intervals together.
        most: the largest absolute difference that is possible, such as 1 between two shares; the interval ends there,
            which costs it no coverage. None: there is no such bound.

    Raises:
        ConvariumError: a group is empty, a value is not finite, paired groups differ in length, or `family` is below 1.
    """
    x, y = _groups(first, second, paired, family)
    mean = float((x - y).mean()) if paired else float(x.mean() - y.mean())
    unresolved = Difference(mean, None, None, len(x), len(y), paired, level, family)
    if min(len(x), len(y)) < 2:
        return unresolved
    tested = _statistics_of(x, y, paired)
    if tested is None:
        return Difference(mean, None, None, len(x), len(y), paired, level, family, 0.0, None)
    alpha = (1 - level) / family
    if paired:
        low, high = tested.tconfint_mean(alpha=alpha)
        deviation, degrees = float((x - y).std(ddof=1)), float(len(x) - 1)
    else:
        low, high = tested.tconfint_diff(alpha=alpha, usevar="unequal")
        a, b = x.var(ddof=1), y.var(ddof=1)
        deviation = math.sqrt((a + b) / 2)
        degrees = float((a + b) ** 2 / (a**2 / (len(x) - 1) + b**2 / (len(y) - 1)))  # Satterthwaite
    if most is not None:
        low, high = max(low, -most), min(high, most)
    return Difference(mean, float(low), float(high), len(x), len(y), paired, level, family, deviation, degrees)


def equivalence(
    first: ArrayLike, second: ArrayLike, margin: float, *, paired: bool, family: int = 1, level: float = LEVEL
) -> Equivalence:
    """Tests whether two means differ by less than `margin`, by two one-sided t-tests.

    Args:
        first, second: as in `difference`.
        margin: the difference that is too small to matter, above 0.
        paired, family, level: as in `difference`.

    Raises:
        ConvariumError: as in `difference`, or the margin is not above 0.
    """
    x, y = _groups(first, second, paired, family)
    if not margin > 0:
        raise ConvariumError("margin is out of range", expected="a number above 0", received=margin)
    tested = _statistics_of(x, y, paired) if min(len(x), len(y)) > 1 else None
    if tested is None:
        return Equivalence(margin, None, None, None, False)
    alpha = (1 - level) / family
    if paired:
        p = float(tested.ttost_mean(-margin, margin)[0])
        low, high = tested.tconfint_mean(alpha=2 * alpha)
    else:
        p = float(tested.ttost_ind(-margin, margin, usevar="unequal")[0])
        low, high = tested.tconfint_diff(alpha=2 * alpha, usevar="unequal")
    return Equivalence(margin, float(low), float(high), p, p <= alpha)


def prediction_interval(
    values: ArrayLike, *, runs: int = 1, level: float = LEVEL, scale: Scale = "plain", images: int | None = None
) -> Interval | None:
    """Returns the interval in which the mean of `runs` further runs would lie.

    mean ± t · deviation · √(1 / n + 1 / runs) of the values on their scale, on which they are taken to be approximately
    normal. Where one run lies so far from the others that this leaves out the arithmetic mean, it is extended to it.

    Args:
        values: (n,).
        runs: the number of further runs.
        level: the coverage of the interval.
        scale, images: as in `estimate`.

    Returns:
        The interval; None for one value, values without spread, or one that has no place on the scale: a loss of 0.

    Raises:
        ConvariumError: as in `estimate`, or `runs` is below 1.
    """
    x = finite("values", values)
    if runs < 1:
        raise ConvariumError("runs is out of range", expected="at least 1", received=runs)
    placed = to_scale(x, scale, images)
    if len(x) < 2 or not _varies(x) or placed is None:
        return None
    from scipy import stats

    half = stats.t.ppf((1 + level) / 2, len(x) - 1) * placed.std(ddof=1) * math.sqrt(1 / len(x) + 1 / runs)
    return _around(float(placed.mean()), float(half), float(x.mean()), scale, images)


def _around(center: float, half: float, mean: float, scale: Scale, images: int | None) -> Interval:
    """The values from center − half to center + half of a scale, and the mean that stands beside them."""
    low, high = (from_scale(end, scale, images) for end in (center - half, center + half))
    return Interval(min(low, mean), max(high, mean))


def _groups(
    first: ArrayLike, second: ArrayLike, paired: bool, family: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = finite("first", first), finite("second", second)
    if paired and len(x) != len(y):
        raise ConvariumError(
            "first and second cannot be paired",
            expected="as many values in both",
            received=(len(x), len(y)),
            hint="use only the seeds that both have, or paired=False",
        )
    if family < 1:
        raise ConvariumError("family is out of range", expected="at least 1", received=family)
    return x, y


def _statistics_of(x: NDArray[np.float64], y: NDArray[np.float64], paired: bool) -> DescrStatsW | CompareMeans | None:
    """Returns the object by which statsmodels tests and computes intervals; None if nothing varies."""
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    scale = float(max(np.abs(x).max(), np.abs(y).max()))
    if paired:
        return DescrStatsW(x - y) if _varies(x - y, scale) else None
    return CompareMeans(DescrStatsW(x), DescrStatsW(y)) if _varies(x) or _varies(y) else None


def _varies(x: NDArray[np.float64], scale: float | None = None) -> bool:
    return float(np.ptp(x)) > _NO_SPREAD * (float(np.abs(x).max()) if scale is None else scale)
