"""Claims: sentences that a comparison supports, refutes or leaves undecided.

`judge` gives the `Verdict` on a claim, `judge_size` that on the size of networks, which needs no run; `describe`,
`published` and `measured` write claims and verdicts as text.
"""

from convarium.analysis.claims.judging import judge, leading_classes
from convarium.analysis.claims.kinds import (
    ASSUMED,
    NOT_SEEN,
    OUTCOMES,
    Better,
    Claim,
    Collapses,
    Equivalent,
    Fails,
    Judgement,
    Ordered,
    Overfits,
    Overtakes,
    Reproduces,
    ReproducesClasses,
    Verdict,
    labels_of,
)
from convarium.analysis.claims.reproduction import FEWEST_RUNS
from convarium.analysis.claims.sizes import is_about_size, judge_size
from convarium.analysis.claims.speed import FEWEST_PAIRS, is_about_speed, judge_speed
from convarium.analysis.claims.texts import assumptions, describe, measured, published, sentence, source_tag

__all__ = [
    "ASSUMED",
    "FEWEST_PAIRS",
    "FEWEST_RUNS",
    "NOT_SEEN",
    "OUTCOMES",
    "Better",
    "Claim",
    "Collapses",
    "Equivalent",
    "Fails",
    "Judgement",
    "Ordered",
    "Overfits",
    "Overtakes",
    "Reproduces",
    "ReproducesClasses",
    "Verdict",
    "assumptions",
    "describe",
    "is_about_size",
    "is_about_speed",
    "judge",
    "judge_size",
    "judge_speed",
    "labels_of",
    "leading_classes",
    "measured",
    "published",
    "sentence",
    "source_tag",
]
