"""The differences of the table as a picture of intervals: a forest plot, one line a row."""

from dataclasses import dataclass

from convarium.analysis.comparison import Comparison

WIDTH = 130.0
"""Of the picture, in its own units."""


@dataclass(frozen=True)
class Mark:
    """Where one row's difference stands, in units of the picture; `low` and `high` are None without an interval."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Forest:
    """All rows' marks on one scale, the line of no difference, and the margin around it where there is one."""

    marks: tuple[Mark | None, ...]
    zero: float
    margin: tuple[float, float] | None


def forest(comparison: Comparison) -> Forest | None:
    """The marks; None where there is no difference to draw."""
    found = [row.difference for row in comparison.rows]
    ends = [end for d in found if d is not None for end in (d.mean, d.low, d.high) if end is not None]
    if not ends:
        return None
    margin = comparison.margin
    ends += [0.0] if margin is None else [-margin, margin]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return round(4 + (WIDTH - 8) * (value - low) / span, 2)

    marks = tuple(
        None
        if d is None
        else Mark(at(d.mean), None if d.low is None else at(d.low), None if d.high is None else at(d.high))
        for d in found
    )
    return Forest(marks, at(0), None if margin is None else (at(-margin), at(margin)))
