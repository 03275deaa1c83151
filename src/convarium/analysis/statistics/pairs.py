"""Ratios of rates that were measured in turns, pair by pair."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convarium.errors import ConvariumError
from convarium.intervals import LEVEL, Interval


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

    def interval(self, *, level: float = LEVEL, family: int = 1) -> Interval | None:
        """Returns the exact interval of the median ratio, by the sign test: whatever law the ratios follow.

        Its ends are two of the ratios. A turn that other work disturbed moves no end by more than one place, and the
        interval of the logarithm, or of the inverse ratio, is the same one.

        Args:
            level: the coverage of all intervals of the family together.
            family: how many intervals are to hold together (Bonferroni).

        Returns:
            None where the pairs are too few for the level: 6 are the fewest for 0.95, and 10 do for a family of 25.
        """
        from scipy.stats import quantile_test

        wanted = 1 - (1 - level) / family
        found: Any = quantile_test(self.ratios, q=1.0, p=0.5).confidence_interval(wanted)
        low, high = float(found.low), float(found.high)
        return Interval(low, high) if math.isfinite(low) and math.isfinite(high) else None


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
