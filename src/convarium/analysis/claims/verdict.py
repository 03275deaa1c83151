"""What the evidence says about a claim."""

from dataclasses import dataclass
from typing import Literal

from convarium.analysis.claims.kinds import Claim
from convarium.analysis.comparison import Comparison, Metric, Row, mean_of
from convarium.analysis.statistics import Estimate, margin_of

Judgement = Literal["supported", "refuted", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """What the evidence says about a claim.

    Attributes:
        sentence: begins with the outcome.
        measured: the metric of the claim's own row, of an order's first one; None where it has no mean.
        n: runs that the verdict rests on, of the row that has the fewest.
    """

    claim: Claim
    outcome: Judgement
    sentence: str
    measured: Estimate | None
    n: int


def margin_in(comparison: Comparison, metric: Metric) -> float | None:
    """How far off is still the same: the data set's margin for accuracies, None for other metrics."""
    if metric.kind != "accuracy":
        return None
    return min(margin_of(run.recipe.dataset) for row in comparison.rows for run in row.runs)


def verdict_of(claim: Claim, metric: Metric, rows: list[Row], outcome: Judgement, text: str) -> Verdict:
    """The verdict with what was measured of the claim's own row, the first one."""
    values = [row.values(metric) for row in rows]
    sentence = f"{outcome}: {text.removeprefix('undecided: ')}"
    return Verdict(claim, outcome, sentence, mean_of(list(values[0].values())), min(map(len, values)))
