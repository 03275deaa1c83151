"""How many seeds a question needs, and what a number of seeds can resolve."""

import math
from dataclasses import dataclass

from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from convarium.analysis.statistics.means import LEVEL, Difference

POWER = 0.8
MOST_SEEDS = 10_000
"""Where the count of seeds needed stops: beyond it no study is worth planning."""


@dataclass(frozen=True)
class SeedsNeeded:
    """Seeds (each, where not paired) for a difference to be found with the wanted power.

    Attributes:
        expected: if the deviation is as estimated.
        low, high: if it is at the ends of its own 80 % interval (chi-square); `MOST_SEEDS` stands for more.
    """

    low: int
    expected: int
    high: int


def seeds_needed(found: Difference, resolve: float, *, power: float = POWER) -> SeedsNeeded | None:
    """Seeds with which a true difference of `resolve` would be told from 0, as a range.

    `resolve` is to be a difference that matters, such as the margin. The difference that happened to be measured is no
    guide: planning by it restates its p-value. None where no deviation could be estimated.
    """
    if not found.deviation or found.degrees is None:
        return None
    low, high = (found.deviation * math.sqrt(found.degrees / stats.chi2.ppf(q, found.degrees)) for q in (0.9, 0.1))
    alpha = (1 - found.level) / found.family
    counts = [_seeds(resolve / s, found.paired, alpha, power) for s in (low, found.deviation, high)]
    return SeedsNeeded(*counts)


def smallest_difference(
    n: int, deviation: float = 1.0, *, paired: bool = False, family: int = 1, level: float = LEVEL, power: float = POWER
) -> float | None:
    """The least true difference that n seeds (each) resolve; in units of the deviation where that is left at 1.

    Args:
        n: seeds of each group, or pairs.
        deviation: over seeds within a group; of the differences where paired.
        paired: as in `difference`.
        family: as in `difference`.
        level: as in `difference`.
        power: chance of finding a difference of that size.

    Returns:
        None for fewer than two seeds, which resolve nothing.
    """
    if n < 2:
        return None
    alpha = (1 - level) / family
    low, high = 0.0, 1.0
    while _power(high, n, paired, alpha) < power:
        low, high = high, 2 * high
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _power(middle, n, paired, alpha) < power else (low, middle)
    return high * deviation


def _power(effect: float, n: int, paired: bool, alpha: float) -> float:
    """Chance that a two-sided t-test with n seeds finds a difference of `effect` deviations."""
    power = float((TTestPower() if paired else TTestIndPower()).power(effect, n, alpha))
    if not math.isnan(power):
        return power
    degrees, shift = (n - 1, effect * math.sqrt(n)) if paired else (2 * n - 2, effect * math.sqrt(n / 2))
    threshold = stats.t.ppf(1 - alpha / 2, degrees)
    return float(stats.chi2.cdf(degrees * (shift / threshold) ** 2, degrees))  # so far out, only the deviation varies


def _seeds(effect: float, paired: bool, alpha: float, power: float) -> int:
    """The least n of that power: upwards from what a known deviation would need, which is always a little less."""
    z = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)
    n = max(2, math.floor(min((1 if paired else 2) * (z / effect) ** 2, MOST_SEEDS)))
    while n < MOST_SEEDS and _power(effect, n, paired, alpha) < power:
        n += 1
    return n
