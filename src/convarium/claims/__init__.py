"""Claims and their verdicts, over comparisons."""

from convarium.claims.cells import measured, published
from convarium.claims.judging import Judgement, Verdict, judge
from convarium.claims.kinds import Better, Claim, Collapses, Equivalent, Fails, Ordered, Reproduces, describe, labels_of

__all__ = [
    "Better",
    "Claim",
    "Collapses",
    "Equivalent",
    "Fails",
    "Judgement",
    "Ordered",
    "Reproduces",
    "Verdict",
    "describe",
    "judge",
    "labels_of",
    "measured",
    "published",
]
