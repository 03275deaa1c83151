"""Differences of means over seeds with their intervals, and tests of equivalence.

scipy and statsmodels are imported by the functions that use them: a list of claims is printed without them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convarium.analysis.statistics.caution import caution
from convarium.analysis.statistics.means import varies
from convarium.errors import ConvariumError
from convarium.intervals import LEVEL, finite

if TYPE_CHECKING:
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW


@dataclass(frozen=True)
class Difference:
    """The mean of `first` minus the mean of `second`, or their ratio.

    Attributes:
        mean: the difference; of a ratio the geometric mean of `first` divided by that of `second`.
        low, high: the simultaneous interval; None if a group has one value, nothing varies, or the interval holds no
            difference and reaches beyond what is possible.
        n_first, n_second: the number of values in each group; equal if paired.
        paired: whether the interval is of the differences by seed; otherwise it is Welch's.
        level: the coverage of all intervals of the family together.
        family: the number of simultaneous intervals (Bonferroni).
        deviation: paired: the standard deviation of the differences; else the root mean square of both groups'
            deviations; of a ratio those of the logarithms.
        degrees: the degrees of freedom of `deviation`.
        is_ratio: whether `mean`, `low` and `high` are ratios.
        is_unlike: whether one group scatters so much more widely than the other that the interval was made wider.
        caution: by how much the usual error of the interval was divided, so that it is wider: where spreads are unlike,
            and for few seeds in a large family; see `convarium.analysis.statistics.caution`.
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
    is_ratio: bool = False
    is_unlike: bool = False
    caution: int = 1

    @property
    def side(self) -> int:
        """1 if the interval lies above no difference, −1 if below; 0 if it holds it, or if there is none."""
        if self.low is None or self.high is None:
            return 0
        same = 1.0 if self.is_ratio else 0.0
        return int(self.low > same) - int(self.high < same)

    @property
    def width(self) -> float | None:
        """Half the width of the interval; None without one."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests of |difference| < margin; of a ratio, that it lies between 1 / (1 + margin) and 1 + margin.

    Attributes:
        low, high: the interval that must lie within ±margin, at 90 % for one comparison tested at 5 %; None if nothing
            varies.
        p_value: the larger of the two p-values, before the correction for the family; None if nothing varies.
        equivalent: whether p_value ≤ (1 − level) / family / caution.
        is_unlike, caution: as in `Difference`, by the rule for tests of equivalence, which takes spreads to be unlike
            sooner in a family of several.
    """

    margin: float
    low: float | None
    high: float | None
    p_value: float | None
    equivalent: bool
    is_unlike: bool = False
    caution: int = 1


def difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    paired: bool,
    family: int = 1,
    level: float = LEVEL,
    ratio: bool = False,
    possible: float | None = None,
) -> Difference:
    """Computes the difference of two means with its interval: that of the paired differences, or Welch's.

    Args:
        first: one value for each seed, (n,).
        second: likewise, (m,); if paired, in the same order of seeds.
        paired: whether the groups share their seeds and everything that the seeds decide.
        family: the number of differences whose intervals are to be simultaneous.
        level: the coverage of all these intervals together.
        ratio: whether positive values are divided rather than subtracted: the same, of their logarithms.
        possible: the largest absolute difference that is possible, such as 1 between two shares: an interval that holds
            0 and reaches beyond says nothing, and is left out. None: there is no such bound.

    Raises:
        ConvariumError: a group is empty, a value is not finite or, of a ratio, not above 0, paired groups differ in
            length, or `family` is below 1.
    """
    x, y = _groups(first, second, paired=paired, family=family, ratio=ratio)
    mean = float((x - y).mean()) if paired else float(x.mean() - y.mean())
    shown = math.exp(mean) if ratio else mean
    if min(len(x), len(y)) < 2:
        return Difference(shown, None, None, len(x), len(y), paired, level, family, is_ratio=ratio)
    tested = _statistics_of(x, y, paired)
    if tested is None:
        return Difference(shown, None, None, len(x), len(y), paired, level, family, 0.0, is_ratio=ratio)
    unlike, divisor = _caution(x, y, paired=paired, family=family)
    alpha = (1 - level) / family / divisor
    if paired:
        low, high = tested.tconfint_mean(alpha=alpha)
        deviation, degrees = float((x - y).std(ddof=1)), float(len(x) - 1)
    else:
        low, high = tested.tconfint_diff(alpha=alpha, usevar="unequal")
        a, b = x.var(ddof=1), y.var(ddof=1)
        deviation = math.sqrt((a + b) / 2)
        degrees = float((a + b) ** 2 / (a**2 / (len(x) - 1) + b**2 / (len(y) - 1)))  # Satterthwaite
    too_wide = possible is not None and low <= 0 <= high and max(-low, high) > possible
    return Difference(
        shown,
        None if too_wide else _end(low, ratio),
        None if too_wide else _end(high, ratio),
        len(x),
        len(y),
        paired,
        level,
        family,
        deviation,
        degrees,
        is_ratio=ratio,
        is_unlike=unlike,
        caution=divisor,
    )


def equivalence(
    first: ArrayLike,
    second: ArrayLike,
    margin: float,
    *,
    paired: bool,
    family: int = 1,
    level: float = LEVEL,
    ratio: bool = False,
) -> Equivalence:
    """Tests whether two means differ by less than `margin`, by two one-sided t-tests.

    Args:
        first, second: as in `difference`.
        margin: the difference that is too small to matter, above 0; of a ratio as a share, 0.2 for 20 %.
        paired, family, level, ratio: as in `difference`.

    Raises:
        ConvariumError: as in `difference`, or the margin is not above 0.
    """
    x, y = _groups(first, second, paired=paired, family=family, ratio=ratio)
    if not margin > 0:
        raise ConvariumError("margin is out of range", expected="a number above 0", received=margin)
    tested = _statistics_of(x, y, paired) if min(len(x), len(y)) > 1 else None
    if tested is None:
        return Equivalence(margin, None, None, None, False)
    unlike, divisor = _caution(x, y, paired=paired, family=family, equivalence=True)
    alpha = (1 - level) / family / divisor
    edge = math.log1p(margin) if ratio else margin
    if paired:
        p = float(tested.ttost_mean(-edge, edge)[0])
        low, high = tested.tconfint_mean(alpha=2 * alpha)
    else:
        p = float(tested.ttost_ind(-edge, edge, usevar="unequal")[0])
        low, high = tested.tconfint_diff(alpha=2 * alpha, usevar="unequal")
    return Equivalence(margin, _end(low, ratio), _end(high, ratio), p, p <= alpha, unlike, divisor)


def _end(value: float, ratio: bool) -> float:
    """The end of an interval; a ratio stays a positive number, however widely a few values scatter."""
    return float(np.exp(np.clip(value, -700.0, 700.0))) if ratio else float(value)


def _caution(
    x: NDArray[np.float64], y: NDArray[np.float64], *, paired: bool, family: int, equivalence: bool = False
) -> tuple[bool, int]:
    """Whether the interval is wider because the spreads are unlike, and by how much its error is divided."""
    rule = caution(min(len(x), len(y)), family, paired=paired, equivalence=equivalence)
    unlike = rule.unlike > rule.alike and bool(rule.are_unlike(x, y))
    return unlike, rule.unlike if unlike else rule.alike


def _groups(
    first: ArrayLike, second: ArrayLike, *, paired: bool, family: int, ratio: bool
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
    if not ratio:
        return x, y
    if not (x > 0).all() or not (y > 0).all():
        raise ConvariumError(
            "first and second have no ratio",
            expected="numbers above 0",
            received=float(min(x.min(), y.min())),
            hint="compare their order with rank_test",
        )
    return np.log(x), np.log(y)


def _statistics_of(x: NDArray[np.float64], y: NDArray[np.float64], paired: bool) -> DescrStatsW | CompareMeans | None:
    """Returns the object by which statsmodels tests and computes intervals; None if nothing varies."""
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    scale = float(max(np.abs(x).max(), np.abs(y).max()))
    if paired:
        return DescrStatsW(x - y) if varies(x - y, scale) else None
    return CompareMeans(DescrStatsW(x), DescrStatsW(y)) if varies(x) or varies(y) else None
