"""Numbers as sentences and tables write them: accuracies in per cent, true minus signs, digits that mean something."""

import math
from collections.abc import Collection, Sequence

from convarium.analysis.comparison.metrics import Metric
from convarium.analysis.statistics import MOST_SEEDS, Difference, Estimate, SeedsNeeded


def amounts(metric: Metric, values: Sequence[float], width: float | None = None) -> list[str]:
    """Several values of one metric with the same number of decimals, the first digit of `width` the last one shown.

    A value that is not 0 never reads as 0: where it would, all of them get more decimals.
    """
    factor = 100 if metric.kind == "accuracy" else 1
    scaled = [factor * value for value in values]
    least = 1 if metric.kind == "accuracy" else 0
    largest = max(map(abs, scaled), default=0.0)
    shown = factor * width if width else largest / 100 or 1.0
    decimals = min(max(least, -math.floor(math.log10(shown))), 12)
    smallest = min((abs(x) for x in scaled if abs(x) > 1e-9 * largest), default=0.0)
    while smallest and decimals < 12 and round(smallest, decimals) == 0:
        decimals += 1
    return [minus(f"{x:,.{decimals}f}") for x in scaled]


def minus(number: str) -> str:
    """A written number with a true minus sign, and no sign before zero."""
    unsigned = number.lstrip("-")
    return unsigned if unsigned == number or not unsigned.strip("0.,") else "−" + unsigned


def quantity(metric: Metric, value: float) -> str:
    """A difference with its unit: "0.25 points", "1 point"."""
    written = minus(f"{(100 if metric.kind == 'accuracy' else 1) * value:.3g}")
    singular = written == "1" and metric.kind in ("accuracy", "loss", "reach")
    return f"{written} {metric.unit.removesuffix('s') if singular else metric.unit}"


def exact(metric: Metric, value: float) -> str:
    """A published value, not rounded: "91.06 %"."""
    return f"{100 * value:.6g} %" if metric.kind == "accuracy" else f"{value:,.10g} {metric.unit}"


def level(metric: Metric, value: float, width: float | None = None) -> str:
    """One value of a metric: "98.2 %", "0.043 nats", "61,706 parameters"."""
    (written,) = amounts(metric, [value], width)
    return f"{written} {'%' if metric.kind == 'accuracy' else metric.unit}"


def mean(metric: Metric, found: Estimate) -> str:
    """A mean with what is known about it: "98.2 % (95 % interval 98.0 to 98.4, 5 seeds)"."""
    if found.low is None or found.high is None:
        same = "1 seed" if found.n == 1 else f"the same in all {found.n} seeds"
        return f"{level(metric, found.mean)} ({same})"
    middle, low, high = interval(metric, found.mean, found.low, found.high)
    unit = "%" if metric.kind == "accuracy" else metric.unit
    return f"{middle} {unit} (95 % interval {low} to {high}, {found.n} seeds)"


def interval(metric: Metric, mean: float, low: float, high: float) -> list[str]:
    """A mean and its interval with as many decimals as its width bears, two digits of the mean at the least.

    A loss stays above 0, an accuracy between 0 and 100 %.
    """
    least = 0.0 if metric.kind in ("accuracy", "loss") else low
    most = 1.0 if metric.kind == "accuracy" else high
    return amounts(metric, [mean, max(low, least), min(high, most)], min((high - low) / 2, abs(mean) / 10 or high))


def reached(values: Collection[float]) -> str:
    """How many runs got to a level; those that never did are at infinity: "reached by 3 of 5 runs"."""
    return f"reached by {sum(map(math.isfinite, values))} of {count(len(values), 'run')}"


def seeds(found: Difference) -> str:
    """How many seeds a difference rests on: "5 seeds each", "4 seeds, paired", "5 and 3 seeds"."""
    if found.paired:
        return f"{count(found.n_first, 'seed')}, paired"
    if found.n_first == found.n_second:
        return f"{count(found.n_first, 'seed')} each"
    return f"{found.n_first} and {found.n_second} seeds"


def more_seeds(needed: SeedsNeeded, paired: bool) -> str:
    """The range of seeds that a question needs: "12 to 25 seeds each"."""
    each = "seeds" if paired else "seeds each"
    if needed.low >= MOST_SEEDS:
        return f"more than {MOST_SEEDS:,} {each}"
    high = f"more than {MOST_SEEDS:,}" if needed.high >= MOST_SEEDS else f"{needed.high:,}"
    return f"{needed.low:,} {each}" if needed.low == needed.high else f"{needed.low:,} to {high} {each}"


def count(n: int, noun: str) -> str:
    """A number with its noun: "1 seed", "5 seeds"."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def listed(items: Sequence[object]) -> str:
    """A list as a sentence has it: "a", "a and b", "a, b and c"."""
    words = [str(item) for item in items]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
