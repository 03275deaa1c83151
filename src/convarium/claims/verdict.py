"""What the evidence says about a claim."""

from dataclasses import dataclass
from typing import Literal

from convarium.claims.kinds import Claim
from convarium.statistics import Estimate

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
