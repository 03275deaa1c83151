"""Ratios of rates that were measured in turns, pair by pair."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from convarium.errors import ConvariumError


@dataclass(frozen=True)
class PairedRatio:
    """The first rate divided by the second, for pairs of turns on one machine.

    Attributes:
        median, lowest, highest: over the pairs.
        ratios: one for each pair.
    """

    median: float
    lowest: float
    highest: float
    ratios: tuple[float, ...]


def paired_ratio(first: Sequence[float], second: Sequence[float]) -> PairedRatio:
    """Divides the rates of two contestants that took turns, pair by pair.

    Args:
        first: one rate for each pair, such as images per second.
        second: the rates of the other contestant, in the same order of pairs.

    Raises:
        ConvariumError: there are no pairs, the lengths differ, or a rate is not above 0.
    """
    if not first or len(first) != len(second) or not all(rate > 0 for rate in [*first, *second]):
        raise ConvariumError(
            "first and second are not the rates of pairs",
            expected="as many rates above 0 in both, at least one",
            received=(list(first), list(second)),
        )
    ratios = tuple(a / b for a, b in zip(first, second, strict=True))
    return PairedRatio(statistics.median(ratios), min(ratios), max(ratios), ratios)
