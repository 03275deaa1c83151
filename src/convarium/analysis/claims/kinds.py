"""The kinds of claims: sentences that a comparison can support, refute or leave undecided.

A claim is fixed before the runs are made. It names its rows as the comparison does, and its source as a reader can
find it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

from convarium.analysis.comparison import formatting, metric_of


@dataclass(frozen=True)
class Reproduces:
    """Runs of `label` give the published value.

    Like is compared with like. A source that reports its last epoch is met by metric="last_epoch_test_accuracy", its
    epoch of best validation by "best_validation_epoch_test_accuracy", its best on test by "best_epoch_test_accuracy".

    Attributes:
        label: a row of the comparison.
        value: as the metric has it: accuracies as fractions of 1.
        metric: of the value.
        source: who published it, and where.
        runs: how many runs the published value is a mean of.
        margin: how far off is still the same, in the metric's own measure; None: the data set's margin for accuracies,
            and for other metrics whatever the spread of the runs allows.
    """

    label: str
    value: float
    _: KW_ONLY
    metric: str = "test_accuracy"
    source: str
    runs: int = 1
    margin: float | None = None


@dataclass(frozen=True)
class ReproducesClasses:
    """Runs of `label` give the published accuracies class by class, on test, each from a single run.

    Attributes:
        values: by class, as the data set names them; fractions of 1.
    """

    label: str
    values: Mapping[str, float]
    _: KW_ONLY
    source: str


@dataclass(frozen=True)
class Better:
    """`label` is better than `than`, by more than `by` (0.01 is one point of accuracy)."""

    label: str
    _: KW_ONLY
    than: str
    metric: str = "test_accuracy"
    source: str
    by: float = 0.0


@dataclass(frozen=True)
class Equivalent:
    """`label` and `to` differ by less than the margin, in the metric's own measure (None: the data set's)."""

    label: str
    _: KW_ONLY
    to: str
    metric: str = "test_accuracy"
    source: str
    margin: float | None = None


@dataclass(frozen=True)
class Ordered:
    """Each label is better than the next; the best one comes first."""

    labels: Sequence[str]
    _: KW_ONLY
    metric: str = "test_accuracy"
    source: str


@dataclass(frozen=True)
class Fails:
    """More than half of all runs of `label` diverge or end at chance."""

    label: str
    _: KW_ONLY
    source: str


@dataclass(frozen=True)
class Collapses:
    """More than half of all runs of `label` end with one class for (almost) every image.

    Attributes:
        wandering: and that class changes from epoch to epoch; the runs must have watched the test split.
    """

    label: str
    _: KW_ONLY
    wandering: bool = False
    source: str


Claim = Reproduces | ReproducesClasses | Better | Equivalent | Ordered | Fails | Collapses


def labels_of(claim: Claim) -> tuple[str, ...]:
    """The rows that a claim speaks of."""
    match claim:
        case Better():
            return (claim.label, claim.than)
        case Equivalent():
            return (claim.label, claim.to)
        case Ordered():
            return tuple(claim.labels)
        case _:
            return (claim.label,)


def describe(claim: Claim) -> str:
    """The claim as a sentence, with its source."""
    if isinstance(claim, Fails):
        return f"{claim.label} fails to train ({claim.source})"
    if isinstance(claim, Collapses):
        wandering = ", another one as the epochs go by" if claim.wandering else ""
        return f"{claim.label} takes every image for one class{wandering} ({claim.source})"
    if isinstance(claim, ReproducesClasses):
        return f"{claim.label}: test accuracy of each of {len(claim.values)} classes ({claim.source})"
    metric = metric_of(claim.metric)
    match claim:
        case Reproduces() if metric.kind == "size":
            told = f"{claim.label}: {formatting.exact(metric, claim.value)}"
        case Reproduces():
            told = f"{claim.label}: {metric.title} {formatting.exact(metric, claim.value)}"
        case Better():
            by = f" by more than {formatting.quantity(metric, claim.by)}" if claim.by else ""
            told = f"{claim.label} is {metric.better} than {claim.than}{by} in {metric.title}"
        case Equivalent():
            told = f"{claim.label} is on a par with {claim.to} in {metric.title}"
        case Ordered():
            told = f"{metric.title}, from the best on: {', '.join(claim.labels)}"
    return f"{told} ({claim.source})"
