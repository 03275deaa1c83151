"""Claims: sentences that a comparison supports, refutes or leaves undecided.

`judge` gives the `Verdict` on a claim; `describe`, `published` and `measured` write claims and verdicts as text.
"""

from convarium.analysis.claims.judging import judge, leading_classes
from convarium.analysis.claims.kinds import (
    Better,
    Claim,
    Collapses,
    Equivalent,
    Fails,
    Judgement,
    Ordered,
    Reproduces,
    ReproducesClasses,
    Verdict,
    describe,
    labels_of,
    measured,
    published,
)

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
    "leading_classes",
    "measured",
    "published",
]
