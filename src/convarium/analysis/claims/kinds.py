"""The kinds of claims, and their verdicts.

A claim is a sentence that a comparison can support, refute or leave undecided. It is fixed before the runs are made. It
names its rows as the comparison does, and its source so that a reader can find it. Where the runs have something that
the source does not state, the claim says so in `assumed`: its verdict is then marked, and never refutes the source.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from convarium.analysis.comparison import Comparison, Metric, Row
from convarium.analysis.statistics import Estimate, margin_of

Judgement = Literal["supported", "refuted", "undecided", "not seen under the assumed recipe"]
NOT_SEEN: Judgement = "not seen under the assumed recipe"
"""The outcome in place of "refuted" where the runs assume what the source does not state."""
OUTCOMES: tuple[Judgement, ...] = ("supported", "refuted", NOT_SEEN, "undecided")
"""Every outcome, in the order in which they are counted."""
ASSUMED = "[recipe assumed]"
"""The mark of a claim that is judged by runs which assume what its source does not state."""


@dataclass(frozen=True)
class Reproduces:
    """Runs of `label` give the published value.

    Like is compared with like: metric="last_epoch_test_accuracy" for a source that reports its last epoch,
    "best_validation_epoch_test_accuracy" for one that reports the epoch with the best validation accuracy, and
    "best_epoch_test_accuracy" for one that reports the epoch with the best test accuracy.

    Attributes:
        label: a row of the comparison.
        value: the published value in the metric's measure: accuracies are fractions of 1.
        metric: the metric of the value.
        source: who published it, and where.
        runs: the number of runs that the published value is a mean of.
        margin: the largest distance that still counts as the same, in the metric's measure; None: the data set's margin
            for accuracies, and a fifth of the published value for other metrics.
        printed: the values that the source prints, where `value` is their mean.
        assumed: what the runs have that the source does not state; None if it states their recipe.
    """

    label: str
    value: float
    _: KW_ONLY
    metric: str = "test_accuracy"
    source: str
    runs: int = 1
    margin: float | None = None
    printed: Sequence[float] = ()
    assumed: str | None = None


@dataclass(frozen=True)
class ReproducesClasses:
    """Runs of `label` give the published accuracy of every class.

    Attributes:
        values: accuracies by class, with the data set's names of the classes; fractions of 1.
        split: the images that they were measured on; "train" is the training split as the final weights classify it.
        runs: the number of runs that each published accuracy is a mean of.
        assumed: as in `Reproduces`.
    """

    label: str
    values: Mapping[str, float]
    _: KW_ONLY
    split: Literal["train", "test"] = "test"
    source: str
    runs: int = 1
    assumed: str | None = None


@dataclass(frozen=True)
class Better:
    """`label` is better than `than`, by more than `by` (0.01 is one point of accuracy, and of losses one per cent)."""

    label: str
    _: KW_ONLY
    than: str
    metric: str = "test_accuracy"
    source: str
    by: float = 0.0
    assumed: str | None = None


@dataclass(frozen=True)
class Equivalent:
    """`label` and `to` differ by less than the margin, in the metric's measure (None: the data set's margin).

    The margin of losses is a share: 0.2 for 20 %, which None stands for.
    """

    label: str
    _: KW_ONLY
    to: str
    metric: str = "test_accuracy"
    source: str
    margin: float | None = None
    assumed: str | None = None


@dataclass(frozen=True)
class Ordered:
    """Each label is better than the next; the best one comes first."""

    labels: Sequence[str]
    _: KW_ONLY
    metric: str = "test_accuracy"
    source: str
    assumed: str | None = None


@dataclass(frozen=True)
class Overtakes:
    """`label` starts worse than `than` and ends better.

    Attributes:
        start: the metric in which it starts worse, such as "mean_until(train_loss=100)".
        end: the metric in which it ends better.
    """

    label: str
    _: KW_ONLY
    than: str
    start: str
    end: str
    source: str
    assumed: str | None = None


@dataclass(frozen=True)
class Overfits:
    """The training accuracy of `label` after the last epoch is above its validation accuracy, by more than `by`."""

    label: str
    _: KW_ONLY
    source: str
    by: float = 0.0
    assumed: str | None = None


@dataclass(frozen=True)
class Fails:
    """More than half of all runs of `label` diverge or end at chance."""

    label: str
    _: KW_ONLY
    source: str
    assumed: str | None = None


@dataclass(frozen=True)
class Collapses:
    """More than half of all runs of `label` end by assigning (almost) every image to one class.

    Attributes:
        wandering: whether that class also changes from epoch to epoch; the runs must have watched the test split.
    """

    label: str
    _: KW_ONLY
    wandering: bool = False
    source: str
    assumed: str | None = None


Claim = Reproduces | ReproducesClasses | Better | Equivalent | Ordered | Overtakes | Overfits | Fails | Collapses


@dataclass(frozen=True)
class Verdict:
    """A comparison's judgement on a claim.

    Attributes:
        sentence: the verdict in words; begins with the outcome.
        measured: the claim's metric for the claim's first row; None if it has no mean.
        n: the number of runs that the verdict rests on, in the row that has the fewest; None for a verdict that no
            number of runs would change, such as one on the size of a network.
    """

    claim: Claim
    outcome: Judgement
    sentence: str
    measured: Estimate | None
    n: int | None


def make_verdict(claim: Claim, rows: Sequence[Row], outcome: Judgement, text: str, *, metric: Metric) -> Verdict:
    """Makes a verdict about the rows of a claim.

    Args:
        claim: the claim.
        rows: the rows that it is about; the first one is the one whose mean the verdict states.
        outcome: the judgement.
        text: the sentence without the outcome at its beginning.
        metric: the metric that the claim is about.
    """
    values = [row.values(metric) for row in rows]
    start, undecided, rest = text.removeprefix("undecided: ").partition(" is undecided")
    if ";" in start:  # it is not the first that is said
        rest = undecided + rest
    sentence = f"{outcome}: {start}{rest}"
    return Verdict(claim, outcome, sentence, rows[0].estimate(metric), min(map(len, values)))


def marked(verdict: Verdict) -> Verdict:
    """Marks the verdict on a claim whose runs assume what the source leaves open; it never refutes the source."""
    if verdict.claim.assumed is None:
        return verdict
    outcome = NOT_SEEN if verdict.outcome == "refuted" else verdict.outcome
    rest = verdict.sentence.removeprefix(f"{verdict.outcome}: ")
    return dataclasses.replace(verdict, outcome=outcome, sentence=f"{outcome}: {rest} {ASSUMED}")


def margin_in(comparison: Comparison, metric: Metric) -> float | None:
    """Returns the data set's margin for accuracies, None for other metrics."""
    if metric.kind != "accuracy":
        return None
    return min(margin_of(run.recipe.dataset) for row in comparison.rows for run in row.runs)


def labels_of(claim: Claim) -> tuple[str, ...]:
    """Returns the labels of the rows that a claim is about."""
    match claim:
        case Better() | Overtakes():
            return (claim.label, claim.than)
        case Equivalent():
            return (claim.label, claim.to)
        case Ordered():
            return tuple(claim.labels)
        case _:
            return (claim.label,)


def all_of(outcomes: Collection[Judgement]) -> Judgement:
    """The outcome of a claim that is true only if each of its parts is."""
    return "refuted" if "refuted" in outcomes else "undecided" if "undecided" in outcomes else "supported"
