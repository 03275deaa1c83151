"""The differences to the baseline as they are drawn in the table: intervals, the line of no difference, the margin."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from convarium.analysis.comparison import Comparison, Row, formatting, metric_of
from convarium.analysis.statistics import Difference

PLOT_WIDTH = 160.0
"""Width of a `DifferencePlot`, in its own units."""

_EDGE = 7.0
"""Space at either side of the plot, so that no dot is cut off."""

_LEAST_BAND = 12.0
"""Least width of the margin's band."""

_CHARACTER = 12.0
"""Width of a tick's character where the plot is smallest, 88 px of 160 units."""


@dataclass(frozen=True)
class IntervalMark:
    """One row's difference to the baseline, in units of the plot.

    `low` and `high` are None without an interval, and `may_be_any` says that this is so because the seeds cannot tell.
    """

    mean: float
    low: float | None
    high: float | None
    may_be_any: bool


@dataclass(frozen=True)
class Tick:
    """A labeled position of the scale; `position` is in per cent of the plot's width."""

    position: float
    text: str


@dataclass(frozen=True)
class DifferencePlot:
    """All rows' differences on one scale, as a forest plot.

    Attributes:
        marks: one for each row, in the order given; None for a row without a difference.
        zero: where the line of no difference stands.
        margin: the bounds of the band of differences that are too small to matter; None without a margin.
        ticks: the scale, from left to right.
        is_compressed: whether the scale is linear only near 0 and logarithmic beyond, so that the margin can be seen
            beside differences that are many times as large.
    """

    marks: tuple[IntervalMark | None, ...]
    zero: float
    margin: tuple[float, float] | None
    ticks: tuple[Tick, ...]
    is_compressed: bool


def difference_plot(comparison: Comparison, rows: tuple[Row, ...]) -> DifferencePlot | None:
    """The differences to the baseline as positions from 0 to PLOT_WIDTH; ratios on a logarithmic scale.

    Args:
        comparison: what is compared, and its margin.
        rows: its rows, in the order of the table.

    Returns:
        None if there is no difference to draw.
    """
    kind = metric_of(comparison.metric).kind
    drawn = [_ends(row.difference) for row in rows]
    ends = [end for each in drawn for end in each if end is not None]
    if not ends:
        return None
    margin = comparison.margin
    margin = math.log1p(margin) if margin is not None and kind == "loss" else margin
    ends += [0.0] if margin is None else [-margin, margin]
    low, high = min(ends), max(ends)
    compressed = margin is not None and 2 * margin * (PLOT_WIDTH - 2 * _EDGE) < _LEAST_BAND * (high - low)

    def scaled(value: float) -> float:
        return math.asinh(value / margin) if compressed and margin else value

    span = (scaled(high) - scaled(low)) or 1.0

    def position(value: float) -> float:
        return round(_EDGE + (PLOT_WIDTH - 2 * _EDGE) * (scaled(value) - scaled(low)) / span, 2)

    def position_or_none(value: float | None) -> float | None:
        return None if value is None else position(value)

    marks = tuple(
        None
        if mean is None or row.difference is None
        else IntervalMark(
            position(mean),
            position_or_none(least),
            position_or_none(most),
            may_be_any=formatting.tells_nothing(row.difference),
        )
        for row, (mean, least, most) in zip(rows, drawn, strict=True)
    )
    numbers = _ratios() if kind == "loss" else _round_numbers(low, high, 100 if kind == "accuracy" else 1, compressed)
    return DifferencePlot(
        marks,
        position(0),
        None if margin is None else (position(-margin), position(margin)),
        _ticks([(value, text) for value, text in numbers if low <= value <= high], position),
        compressed,
    )


def _ends(difference: Difference | None) -> tuple[float | None, float | None, float | None]:
    """Mean, low and high as they are drawn: of a ratio their logarithms."""
    if difference is None:
        return None, None, None
    told = not formatting.tells_nothing(difference)
    ends = (difference.mean, difference.low if told else None, difference.high if told else None)
    if not difference.is_ratio:
        return ends
    mean, low, high = (None if end is None else math.log(end) if end else -math.inf for end in ends)
    return mean, low, high


def _ticks(numbers: Iterable[tuple[float, str]], position: Callable[[float], float]) -> tuple[Tick, ...]:
    """The first of these numbers, and those after it whose labels stand apart from the others."""
    shown: dict[float, str] = {}
    for value, text in numbers:
        at = position(value)
        if all(abs(at - x) >= _CHARACTER * (1 + len(text + other)) / 2 for x, other in shown.items()):
            shown[at] = text
    return tuple(Tick(round(100 * at / PLOT_WIDTH, 2), text) for at, text in sorted(shown.items()))


def _ratios() -> Iterator[tuple[float, str]]:
    """No difference, and round factors either way, as logarithms."""
    yield 0.0, "1"
    for factor, less in ((1000, "0.001"), (100, "0.01"), (10, "0.1"), (5, "0.2"), (2, "0.5"), (1.25, "0.8")):
        yield math.log(factor), f"{factor:,}"
        yield -math.log(factor), less


def _round_numbers(low: float, high: float, factor: int, compressed: bool) -> Iterator[tuple[float, str]]:
    """0, and round numbers of the scale, the largest first."""
    yield 0.0, "0"
    largest = max(abs(low), abs(high)) * factor
    top = math.floor(math.log10(largest) + 1e-9) if largest else 0
    for decade in range(top, top - 4, -1) if compressed else (top,):
        for step in (k * 10.0**decade for k in (5, 2, 1, 0.5)):
            for value in (-step, step):
                yield value / factor, formatting.minus(f"{value:,.10g}")
