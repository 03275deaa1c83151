"""Every row of a comparison against the row that leads.

Pairs of the leader with the baseline are the table's own. The others were chosen after the means were seen, so their
intervals are simultaneous (Bonferroni) over every pair of rows without the baseline that could have been chosen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from convarium.analysis.comparison.rows import Decision, Row
from convarium.analysis.comparison.verdicts import contrast
from convarium.analysis.statistics import Difference


@dataclass(frozen=True)
class Standing:
    """A row beside another one.

    Attributes:
        row: the row.
        decision: about it, against the other one.
        gap: the row minus the other one, of losses divided by it; None where only their order or their sizes are
            compared.
        amount: by how much they differ, in the metric's own measure, of losses the ratio; None where only their order
            is known.
    """

    row: Row
    decision: Decision
    gap: Difference | None
    amount: float | None

    @property
    def width(self) -> float | None:
        """Half the width of the difference's interval; None without one."""
        return None if self.gap is None else self.gap.width

    @property
    def is_apart(self) -> bool:
        """Whether the interval of the difference leaves out that there is none."""
        return self.gap is not None and self.gap.side != 0


def standings_of(
    rows: Sequence[Row], leader: Row, others: Sequence[Row], *, baseline: str | None, margin: float | None
) -> list[Standing]:
    """Every other row against the leader.

    Args:
        rows: all rows of the comparison, which the family of the intervals counts.
        leader: the row that leads.
        others: the rows that are told of, best first.
        baseline: the label of the row that the table compares the others with.
        margin: the difference that is too small to matter; None: equivalence is not tested.
    """
    family = max((len(rows) - 1) * (len(rows) - 2) // 2, 1)
    opposite: dict[Decision, Decision] = {
        "better": "worse",
        "worse": "better",
        "fails more often": "fails less often",
        "fails less often": "fails more often",
    }
    found = []
    for row in others:
        if leader.label == baseline:
            decision, gap = row.decision, row.difference
        elif row.label == baseline:
            decision = opposite.get(leader.decision, leader.decision)
            gap = leader.difference and _turned(leader.difference)
        else:
            pair = contrast(row, leader, leader.metric, family=family, margin=margin)
            decision, gap = pair.decision, pair.difference
        found.append(Standing(row, decision, gap, _amount(row, leader, gap)))
    return found


def beside_baseline(row: Row) -> Standing:
    """A row beside the baseline, as the table has it."""
    return Standing(row, row.decision, row.difference, _size(row.difference))


def _turned(gap: Difference) -> Difference:
    """The second minus the first, or divided by it."""

    def turn(end: float) -> float:
        return -end if not gap.is_ratio else 1 / end if end else math.inf

    low, high = (None if end is None else turn(end) for end in (gap.high, gap.low))
    return replace(gap, mean=turn(gap.mean), low=low, high=high, n_first=gap.n_second, n_second=gap.n_first)


def _size(gap: Difference | None) -> float | None:
    return None if gap is None else gap.mean if gap.is_ratio else abs(gap.mean)


def _amount(row: Row, leader: Row, gap: Difference | None) -> float | None:
    if gap is not None:
        return _size(gap)
    if row.metric.kind != "size" or row.measured is None or leader.measured is None:
        return None
    return abs(row.measured.mean - leader.measured.mean)
