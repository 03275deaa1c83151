"""Intervals, differences, equivalence, and how many seeds a question needs: pure functions of arrays of numbers.

Every result is a frozen dataclass. Where the numbers cannot bear an answer (one value, or values without any spread),
the field that would hold it is None; nothing warns, and nothing is claimed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as exact_mcnemar
from statsmodels.stats.power import TTestIndPower, TTestPower
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from convarium.errors import ConvariumError

LEVEL = 0.95
POWER = 0.8
MARGINS: Mapping[str, float] = {"mnist": 0.003, "fashion_mnist": 0.01, "cifar10": 0.005}
"""Differences of accuracy too small to matter, as fractions of 1, by data set; fixed before any study was run."""
OTHER_MARGIN = 0.01
MOST_SEEDS = 10_000
"""Where the count of seeds needed stops: beyond it no study is worth planning."""
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
        low, high: the interval that must lie within ±margin: at 90 % for one comparison tested at 5 %; None where nothing
            varies.
        p_value: the larger of the two, before the correction for the family; None where nothing varies.
        equivalent: p_value ≤ (1 − level) / family.
    """

    margin: float
    low: float | None
    high: float | None
    p_value: float | None
    equivalent: bool


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


def estimate(values: ArrayLike, *, level: float = LEVEL) -> Estimate:
    """Mean, standard deviation and t-interval of one value a seed.

    Raises:
        ConvariumError: no values, or one that is not finite.
    """
    x = _finite("values", values)
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
    x = _finite("values", values)
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
        return float(stats.mannwhitneyu(a, b, method=stats.PermutationMethod(n_resamples=20_000)).pvalue)
    return float(stats.mannwhitneyu(a, b, method="asymptotic").pvalue)


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
    x = _finite("values", values)
    kinds, counts = np.unique(x, return_counts=True)
    if len(kinds) < 2:
        return None
    drawn = np.random.default_rng(seed).multinomial(len(x), counts / len(x), size=draws)
    low, high = np.quantile(drawn @ kinds / len(x), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


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


def at_chance(accuracy: float, n: int, largest_share: float) -> bool:
    """Whether an accuracy is at most what naming the largest class gives, plus three standard errors.

    Args:
        accuracy: fraction of 1.
        n: images it was measured on.
        largest_share: of the largest class among them, fraction of 1.
    """
    return accuracy <= largest_share + 3 * math.sqrt(largest_share * (1 - largest_share) / n)


def _finite(name: str, values: ArrayLike) -> NDArray[np.float64]:
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
    x, y = _finite("first", first), _finite("second", second)
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


def _power(effect: float, n: int, paired: bool, alpha: float) -> float:
    """Chance that a two-sided t-test with n seeds finds a difference of `effect` deviations."""
    power = float((TTestPower() if paired else TTestIndPower()).power(effect, n, alpha))
    if not math.isnan(power):
        return power
    degrees, shift = (n - 1, effect * math.sqrt(n)) if paired else (2 * n - 2, effect * math.sqrt(n / 2))
    threshold = stats.t.ppf(1 - alpha / 2, degrees)
    return float(stats.chi2.cdf(degrees * (shift / threshold) ** 2, degrees))  # so far out, only the deviation varies


def _seeds(effect: float, paired: bool, alpha: float, power: float) -> int:
    """The least n of that power, by doubling and bisection: power rises with n."""
    high = 2
    while _power(effect, high, paired, alpha) < power:
        if high >= MOST_SEEDS:
            return MOST_SEEDS
        high *= 2
    low = high // 2 if high > 2 else 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _power(effect, middle, paired, alpha) < power else (low, middle)
    return min(high, MOST_SEEDS)
