"""Claims and their verdicts, over comparisons."""

from convarium.analysis.claims.cells import measured, published
from convarium.analysis.claims.judging import judge
from convarium.analysis.claims.kinds import (
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
from convarium.analysis.claims.verdict import Judgement, Verdict

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
