"""Claims and their verdicts, over comparisons."""

from convarium.claims.cells import measured, published
from convarium.claims.judging import judge
from convarium.claims.kinds import (
    Better,
    Claim,
    Collapses,
    Equivalent,
    Fails,
    Ordered,
    Reproduces,
    ReproducesClasses,
    describe,
    labels_of,
)
from convarium.claims.verdict import Judgement, Verdict

__all__ = [
    "Better",
    "Claim",
    "Collapses",
    "Equivalent",
    "Fails",
    "Judgement",
    "Ordered",
    "Reproduces",
    "ReproducesClasses",
    "Verdict",
    "describe",
    "judge",
    "labels_of",
    "measured",
    "published",
]
