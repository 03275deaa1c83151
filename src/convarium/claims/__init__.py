"""Claims and their verdicts, over comparisons."""

from convarium.claims.judging import Judgement, Verdict, judge
from convarium.claims.kinds import Better, Claim, Equivalent, Fails, Ordered, Reproduces, describe

__all__ = [
    "Better",
    "Claim",
    "Equivalent",
    "Fails",
    "Judgement",
    "Ordered",
    "Reproduces",
    "Verdict",
    "describe",
    "judge",
]
