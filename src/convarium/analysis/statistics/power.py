"""How many seeds a difference needs, and which difference a number of seeds can resolve."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from convarium.analysis.statistics.caution import caution
from convarium.analysis.statistics.differences import Difference
from convarium.intervals import LEVEL

POWER = 0.8
LEAST_SEEDS = 3
"""Fewer runs of either network decide nothing, and neither do fewer trained ones; so no question needs fewer."""
MOST_SEEDS = 10_000
"""The largest number of seeds that is computed: a study that needs more is not worth planning."""


@dataclass(frozen=True)
class SeedsNeeded:
    """The number of seeds (each, if not paired) with which a difference is detected with the wanted power.

    Attributes:
        expected: the number if the deviation is as estimated.
        low, high: the numbers if it is at the ends of its own 80 % interval (chi-square); `MOST_SEEDS` stands for more.
    """

    low: int
    expected: int
    high: int


def seeds_needed(difference: Difference, resolve: float, *, power: float = POWER) -> SeedsNeeded | None:
    """Returns the range of seeds, three or more, with which a true difference of `resolve` would be told from 0.

    Args:
        difference: the measured difference, for its deviation, family and level.
        resolve: a difference that matters, such as the margin. The difference that happened to be measured is no
            guide: planning by it restates its p-value.
        power: the probability of detecting a difference of that size.

    Returns:
        The range; None if no deviation could be estimated.
    """
    deviation, degrees = difference.deviation, difference.degrees
    if not deviation or degrees is None:
        return None
    from scipy import stats

    low, high = (deviation * math.sqrt(degrees / stats.chi2.ppf(q, degrees)) for q in (0.9, 0.1))
    asked = _Question(difference.paired, difference.family, difference.level)
    counts = [_seeds(resolve / s, asked, power) for s in (low, deviation, high)]
    return SeedsNeeded(*counts)


def smallest_difference(
    n: int, deviation: float = 1.0, *, paired: bool = False, family: int = 1, level: float = LEVEL, power: float = POWER
) -> float | None:
    """Returns the smallest true difference that n seeds (each) resolve, by default in units of the deviation.

    Args:
        n: the number of seeds of each group, or of pairs.
        deviation: the standard deviation over seeds within a group; if paired, of the differences.
        paired, family, level: as in `difference`.
        power: the probability of detecting a difference of that size.

    Returns:
        The difference; None for fewer than two seeds, which resolve nothing.
    """
    if n < 2:
        return None
    asked = _Question(paired, family, level)
    low, high = 0.0, 1.0
    while _power(high, n, asked) < power:
        low, high = high, 2 * high
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _power(middle, n, asked) < power else (low, middle)
    return high * deviation


@dataclass(frozen=True)
class _Question:
    """What is asked of the seeds; the arguments of `difference`."""

    paired: bool
    family: int
    level: float

    @property
    def alpha(self) -> float:
        """The error of one comparison, before any caution."""
        return (1 - self.level) / self.family


def _power(effect: float, n: int, asked: _Question) -> float:
    """The probability that n seeds show a difference of `effect` deviations, by the two-sided t-test of `difference`.

    For few seeds it is simulated, with the caution that they call for; for two, which decide nothing, and for many it
    is that of the t-test.
    """
    if 2 < n <= _FEW:
        return float(np.searchsorted(_shown_from(n, asked), effect, side="right")) / _STUDIES
    from scipy import stats
    from statsmodels.stats.power import TTestIndPower, TTestPower

    power = float((TTestPower() if asked.paired else TTestIndPower()).power(effect, n, asked.alpha))
    if not math.isnan(power):
        return power
    degrees, shift = (n - 1, effect * math.sqrt(n)) if asked.paired else (2 * n - 2, effect * math.sqrt(n / 2))
    threshold = stats.t.ppf(1 - asked.alpha / 2, degrees)
    return float(
        stats.chi2.cdf(degrees * (shift / threshold) ** 2, degrees)
    )  # for so large an effect only the deviation varies


_FEW, _STUDIES = 10, 20_000
"""The power of so many seeds is simulated, by so many studies."""


@cache
def _shown_from(n: int, asked: _Question) -> NDArray[np.float64]:
    """For simulated studies of two normal groups of n, from which true difference on each would show it; ascending."""
    from scipy import stats

    x, y = np.random.default_rng(0).standard_normal((2, _STUDIES, n)) / (math.sqrt(2) if asked.paired else 1)
    noise, a, b = x.mean(1) - y.mean(1), x.var(1, ddof=1), y.var(1, ddof=1)
    error = (x - y).std(1, ddof=1) / math.sqrt(n) if asked.paired else np.sqrt((a + b) / n)
    degrees = n - 1 if asked.paired else (n - 1) * (a + b) ** 2 / (a**2 + b**2)
    rule = caution(n, asked.family, paired=asked.paired)
    divisor = np.where(rule.are_unlike(x, y), rule.unlike, rule.alike)
    threshold = stats.t.ppf(1 - asked.alpha / divisor / 2, degrees)
    return np.sort(threshold * error - noise)


def _seeds(effect: float, asked: _Question, power: float) -> int:
    """The least n with that power, searched upwards from the n of a known deviation, which is always a little less."""
    from scipy import stats

    z = stats.norm.ppf(1 - asked.alpha / 2) + stats.norm.ppf(power)
    n = max(LEAST_SEEDS, math.floor(min((1 if asked.paired else 2) * (z / effect) ** 2, MOST_SEEDS)))
    while n < MOST_SEEDS and _power(effect, n, asked) < power:
        n += 1
    return n
