"""Means over seeds, and prediction intervals of further runs.

scipy is imported by the functions that use it: a list of claims is printed without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convarium.analysis.statistics.scales import Scale, from_scale, steepness, to_scale
from convarium.errors import ConvariumError
from convarium.intervals import LEVEL, Interval, finite

_NO_SPREAD = 1e-9
"""A spread below this fraction of the values is rounding, not noise."""
WIDEST = 6
"""Losses that scatter by a larger factor, which is e to the standard deviation of their logarithms, have no interval of
their mean: it would rest on losses far larger than any that was seen."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        low, high: the interval of the mean at 95 %; None for one value, values without spread, a loss of 0,
            or losses that scatter too widely (`WIDEST`).
        deviation: the standard deviation over seeds (n − 1 in the denominator); None for one value.
        n: the number of values.
    """

    mean: float
    low: float | None
    high: float | None
    deviation: float | None
    n: int


def estimate(values: ArrayLike, *, level: float = LEVEL, scale: Scale = "plain", images: int | None = None) -> Estimate:
    """Computes mean, standard deviation and interval of values, one for each seed.

    The interval is of the arithmetic mean that endless seeds would give, holds the mean of the values, and stays within
    what is possible. Shares have Student's, with the standard error of the mean brought to the logit (delta method).
    Values on the logarithm have that of the mean of a lognormal law, y + s² / 2 ± t · √(s² / n + s⁴ / (n − 1)) with the
    mean y and the standard deviation s of the logarithms. It holds, where Student's does not, for values that scatter
    so widely that a few of them seldom include the large ones that move the mean. This is Olsson's with the variance of
    s² / 2 doubled, since three or four values mostly show too small an s (`python benchmarks/method.py means`).

    Args:
        values: (n,).
        level: the coverage of the interval.
        scale: how the values lie; the metric decides it, never the values.
        images: for the logit, the number of images that the shares were counted on.

    Raises:
        ConvariumError: there are no values, one is not finite, or one of the logit is not a share.

    Source: U. Olsson, "Confidence intervals for the mean of a log-normal distribution", Journal of Statistics Education
    13(1), 2005.
    """
    x = finite("values", values)
    mean, n = float(x.mean()), len(x)
    placed, center = to_scale(x, scale, images), to_scale(x.mean(keepdims=True), scale, images)
    if n == 1:
        return Estimate(mean, None, None, None, 1)
    if not varies(x):
        return Estimate(float(x[0]), None, None, 0.0, n)
    deviation = float(x.std(ddof=1))
    if center is None or (scale == "log" and (placed is None or placed.std(ddof=1) > math.log(WIDEST))):
        return Estimate(mean, None, None, deviation, n)
    t = _t(level, n - 1)
    if scale == "log" and placed is not None:
        variance = float(placed.var(ddof=1))
        middle = float(placed.mean()) + variance / 2
        half = t * math.sqrt(variance / n + variance**2 / (n - 1))
    else:
        middle, half = float(center[0]), t * deviation / math.sqrt(n) * steepness(mean, scale, images)
    ends = _around(middle, half, mean, scale, images)
    return Estimate(mean, ends.low, ends.high, deviation, n)


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
    if len(x) < 2 or not varies(x) or placed is None:
        return None
    half = _t(level, len(x) - 1) * float(placed.std(ddof=1)) * math.sqrt(1 / len(x) + 1 / runs)
    return _around(float(placed.mean()), half, float(x.mean()), scale, images)


def _t(level: float, degrees: int) -> float:
    """How many standard errors an interval reaches to either side."""
    from scipy.special import stdtrit  # scipy.stats has it, and takes half a second to import

    return float(stdtrit(degrees, (1 + level) / 2))


def _around(center: float, half: float, mean: float, scale: Scale, images: int | None) -> Interval:
    """The values from center − half to center + half of a scale, and the mean that stands beside them."""
    low, high = (from_scale(end, scale, images) for end in (center - half, center + half))
    return Interval(min(low, mean), max(high, mean))


def varies(x: NDArray[np.float64], scale: float | None = None) -> bool:
    """Whether the spread of values is more than rounding, as a share of `scale`, or of the largest of them."""
    return float(np.ptp(x)) > _NO_SPREAD * (float(np.abs(x).max()) if scale is None else scale)
