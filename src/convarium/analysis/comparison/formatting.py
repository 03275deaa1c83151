"""Numbers and lists as text: accuracies in per cent, true minus signs, no more digits than the interval justifies."""

import math
from collections.abc import Collection, Sequence

from convarium.analysis.comparison.metrics import Metric
from convarium.analysis.statistics import MOST_SEEDS, Difference, Estimate, SeedsNeeded

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def amounts(metric: Metric, values: Sequence[float], width: float | None = None) -> list[str]:
    """Formats several values of one metric with the same number of decimals.

    A value other than 0 is never shown as 0: where it would be, all values get more decimals.

    Args:
        metric: whose values these are; accuracies are multiplied by 100.
        values: in the metric's own measure.
        width: the last decimal shown is the first digit of this number, such as half the width of an interval; None:
            about two digits of the largest value.
    """
    if metric.kind != "accuracy":
        return _decimals(values, width, least=0)
    return _decimals([100 * value for value in values], 100 * width if width else None, least=1)


def differences(metric: Metric, gap: Difference, values: Sequence[float], *, margin: float | None = None) -> list[str]:
    """Formats values of a difference, or of a ratio, with the decimals that the width of its interval justifies, and a
    margin, where they are held against one. No other ratio is written as 1. Ratios that lie far apart have two digits
    each.
    """
    if not gap.is_ratio:
        widths = [width for width in (gap.width, margin and margin / 10) if width is not None]
        return amounts(metric, values, min(widths, default=None))
    told = [value for value in values if 1 / _BEYOND <= value < _BEYOND]
    if _are_far_apart(told):
        shown = iter([_two_digits(value, apart=1) for value in told])
    else:
        shown = iter(_decimals(told, min(gap.mean / 10, gap.width or math.inf), least=1, apart=(0, 1)))
    beyond = (f"over {_BEYOND:,}", f"under {1 / _BEYOND:g}")
    return [next(shown) if value in told else beyond[value < 1] for value in values]


def sizes(metric: Metric, gap: Difference, values: Sequence[float]) -> list[str]:
    """Formats a difference and the ends of its interval without sign, the nearer end first; ratios as they are."""
    middle, low, high = values
    if gap.is_ratio:
        return differences(metric, gap, values)
    return differences(metric, gap, [abs(middle), *sorted((abs(low), abs(high)))])


def cannot_tell(n: int) -> str:
    """Stands in place of an interval that holds all that is possible: "3 seeds cannot tell"."""
    return f"{count(n, 'seed')} cannot tell"


def tells_nothing(gap: Difference) -> bool:
    """Whether the interval of a difference holds all that is possible, or is of one seed."""
    if gap.low is None or gap.high is None:
        return gap.deviation != 0  # without any spread there is no interval either
    return gap.is_ratio and gap.low < 1 / _BEYOND and gap.high > _BEYOND


def fills_range(metric: Metric, low: float, high: float) -> bool:
    """Whether the interval of a mean leaves out less than a twentieth of all possible values."""
    return metric.scale == "logit" and high - low > _FILLED


def margin(metric: Metric, size: float) -> str:
    """Formats a difference that matters, with its unit: "0.3 points", of losses "20 %"."""
    return f"{three_digits(100 * size)} %" if metric.kind == "loss" else quantity(metric, size)


_BEYOND = 10_000
"""A ratio above this, or below its inverse, is not told in digits."""

_FAR = 100
"""The ends of an interval of which one is over this many times the other share no decimals: those that the lower end
needs would be far more than the upper one justifies."""

_FILLED = 0.95
"""An interval of a share of images that is wider than this is not told in digits."""


def _decimals(scaled: Sequence[float], width: float | None, *, least: int, apart: Sequence[float] = (0,)) -> list[str]:
    """Writes numbers with the decimals that a width justifies, and with more where one would be rounded to one of
    `apart`.
    """
    largest = max(map(abs, scaled), default=0.0)
    shown = width or largest / 100 or 1.0
    decimals = min(max(least, -math.floor(math.log10(shown))), 12)
    for number in apart:
        nearest = min((abs(x - number) for x in scaled if abs(x - number) > 1e-9 * largest), default=0.0)
        while nearest and decimals < 12 and round(nearest, decimals) == 0:
            decimals += 1
    return [minus(f"{x:,.{decimals}f}") for x in scaled]


def _are_far_apart(values: Sequence[float]) -> bool:
    """Whether numbers above 0 differ by over a factor of _FAR."""
    return bool(values) and min(values) > 0 and max(values) > _FAR * min(values)


def _two_digits(value: float, *, apart: float = 0) -> str:
    """Writes a number above 0 with two digits, and with more where it would be rounded to `apart`: "0.012", "60"."""
    decimals = 1 - math.floor(math.log10(value))
    while abs(value - apart) > 1e-9 and decimals < 12 and round(value, decimals) == apart:
        decimals += 1
    return f"{round(value, decimals):,.{max(decimals, 0)}f}"


def some_digits(value: float, digits: int) -> str:
    """Writes a number with so many digits at most."""
    return f"{float(f'{value:.{digits}g}'):,.12g}"


def three_digits(value: float) -> str:
    """Writes a number with three digits at most: "0.3", "12,300"."""
    return some_digits(value, 3)


def minus(number: str) -> str:
    """Replaces the hyphen of a formatted number by a true minus sign, and drops the sign of a zero."""
    unsigned = number.lstrip("-")
    return unsigned if unsigned == number or not unsigned.strip("0.,") else "−" + unsigned


def distance(metric: Metric, size: float, *, margin: float) -> str:
    """Formats how far a number lies from a mean of few runs: with two digits, or with more where it would be rounded to
    the margin: "3.3 points", "0.304 points".
    """
    digits = 2
    while digits < 12 and not math.isclose(size, margin) and math.isclose(float(f"{size:.{digits}g}"), margin):
        digits += 1
    return quantity(metric, size, digits=digits)


def quantity(metric: Metric, value: float, *, digits: int = 3) -> str:
    """Formats a difference with its unit: "0.25 points", "1 point"."""
    written = minus(some_digits((100 if metric.kind == "accuracy" else 1) * value, digits))
    singular = written == "1" and metric.kind in ("accuracy", "loss", "reach")
    return f"{written} {metric.unit.removesuffix('s') if singular else metric.unit}"


def exact(metric: Metric, value: float) -> str:
    """Formats a published value without rounding: "91.06 %"."""
    return f"{100 * value:.6g} %" if metric.kind == "accuracy" else f"{value:,.10g} {metric.unit}"


def level(metric: Metric, value: float, width: float | None = None) -> str:
    """Formats one value with its unit: "98.2 %", "0.043 nats", "61,706 parameters"."""
    (written,) = amounts(metric, [value], width)
    return f"{written} {'%' if metric.kind == 'accuracy' else metric.unit}"


def mean(metric: Metric, estimate: Estimate) -> str:
    """Formats a mean with its interval: "98.2 % (95 % interval 98.0 to 98.4, 5 seeds)"."""
    if estimate.low is None or estimate.high is None:
        return f"{level(metric, estimate.mean)} ({_without_interval(metric, estimate)})"
    if fills_range(metric, estimate.low, estimate.high):
        return f"{level(metric, estimate.mean)}, but {cannot_tell(estimate.n)}"
    middle, low, high = interval(metric, estimate.mean, estimate.low, estimate.high)
    unit = "%" if metric.kind == "accuracy" else metric.unit
    return f"{middle} {unit} (95 % interval {low} to {high}, {estimate.n} seeds)"


def interval(metric: Metric, mean: float, low: float, high: float) -> list[str]:
    """Formats a mean and its interval with the decimals that the width justifies, at least two digits of the mean; of a
    loss whose ends lie far apart, each with two digits: "0.56", "0.012", "60".
    """
    if metric.scale == "log" and _are_far_apart([low, high]):
        return [_two_digits(value) for value in (mean, low, high)]
    return amounts(metric, [mean, low, high], min((high - low) / 2, abs(mean) / 10 or high))


def with_interval(metric: Metric, mean: float, low: float, high: float) -> str:
    """Formats a mean for a cell, and how far its interval reaches: "98.2 ± 0.1", or "99.93 −0.13 +0.05" where that is
    over a quarter farther on one side, as it is near 100 % and near a loss of 0.
    """
    width = min((high - low) / 2, abs(mean) / 10 or high)
    near, far = sorted((mean - low, high - mean))
    if metric.scale == "log" and near and _are_far_apart([low, high]):
        middle, below, above = (_two_digits(value) for value in (mean, mean - low, high - mean))
    else:
        middle, below, above = amounts(metric, [mean, mean - low, high - mean], width)
    return f"{middle} −{below} +{above}" if far > 1.25 * near else f"{middle} ± {max(below, above, key=_length)}"


def _length(written: str) -> float:
    return float(written.replace(",", ""))


def _without_interval(metric: Metric, estimate: Estimate) -> str:
    """Says why a mean has no interval: "1 seed", "the same in all 5 seeds"."""
    if estimate.n == 1:
        return "1 seed"
    if not estimate.deviation:
        return f"the same in all {estimate.n} seeds"
    return f"{estimate.n} seeds" + (
        ", no interval because a loss is 0 or far from the others" if metric.kind == "loss" else ""
    )


def reached(values: Collection[float]) -> str:
    """Says how many runs reached a level, where infinity stands for a run that never did: "reached by 3 of 5 runs"."""
    return f"reached by {sum(map(math.isfinite, values))} of {count(len(values), 'run')}"


def seeds(difference: Difference) -> str:
    """Says how many seeds a difference is computed from: "5 seeds each", "4 seeds, paired", "5 and 3 seeds"."""
    if difference.paired:
        return f"{count(difference.n_first, 'seed')}, paired"
    if difference.n_first == difference.n_second:
        return f"{count(difference.n_first, 'seed')} each"
    return f"{difference.n_first} and {difference.n_second} seeds"


def more_seeds(needed: SeedsNeeded, *, paired: bool) -> str:
    """Formats the range of seeds that a question needs: "12 to 25 seeds each"."""
    each = "seeds" if paired else "seeds each"
    if needed.low >= MOST_SEEDS:
        return f"more than {MOST_SEEDS:,} {each}"
    high = f"more than {MOST_SEEDS:,}" if needed.high >= MOST_SEEDS else f"{needed.high:,}"
    return f"{needed.low:,} {each}" if needed.low == needed.high else f"{needed.low:,} to {high} {each}"


def count(n: int, noun: str) -> str:
    """Formats a count with its noun: "1 seed", "5 seeds"."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def in_words(n: int) -> str:
    """A count as a sentence has it: "three", "twelve", "1,300"."""
    return NUMBERS[n] if n < len(NUMBERS) else f"{n:,}"


def listed(items: Sequence[object]) -> str:
    """Formats a list for a sentence: "a", "a and b", "a, b and c"."""
    texts = [str(item) for item in items]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def listed_briefly(items: Sequence[object], most: int = 4) -> str:
    """Formats a list for a title: more than `most` items as "a, b, c and 9 more"."""
    return listed(items if len(items) <= most else [*items[: most - 1], f"{len(items) - most + 1} more"])


def escape_markdown(text: str, *, keep_code: bool = False) -> str:
    """Returns text in one line in which Markdown finds no table, emphasis, link or tag.

    Args:
        text: any text; line breaks become spaces.
        keep_code: leave code spans between backticks as they are.
    """
    pieces = " ".join(text.split()).split("`") if keep_code else [" ".join(text.split())]
    for i in range(0, len(pieces), 2):
        for special in ("\\", "|", "*", "_", "`", "<", "[", "]"):
            pieces[i] = pieces[i].replace(special, "&lt;" if special == "<" else f"\\{special}")
    return "`".join(pieces)


def duration(seconds: float) -> str:
    """A time in seconds, in words: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours / 24:.1f} days"
    return f"{minutes} min" if not hours else f"{hours} h {rest} min"
