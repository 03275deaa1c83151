"""The kinds of claims, their verdicts, and both as text.

A claim is a sentence that a comparison can support, refute or leave undecided. It is fixed before the runs are made. It
names its rows as the comparison does, and its source so that a reader can find it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from convarium.analysis.comparison import Comparison, Metric, Row, formatting, metric_of
from convarium.analysis.statistics import Estimate, margin_of

Judgement = Literal["supported", "refuted", "undecided"]


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
            for accuracies, and no margin for other metrics.
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
    """Runs of `label` give the published test accuracy of every class, each published from a single run.

    Attributes:
        values: accuracies by class, with the data set's names of the classes; fractions of 1.
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
    """`label` and `to` differ by less than the margin, in the metric's measure (None: the data set's margin)."""

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
    """More than half of all runs of `label` end by assigning (almost) every image to one class.

    Attributes:
        wandering: whether that class also changes from epoch to epoch; the runs must have watched the test split.
    """

    label: str
    _: KW_ONLY
    wandering: bool = False
    source: str


Claim = Reproduces | ReproducesClasses | Better | Equivalent | Ordered | Fails | Collapses


@dataclass(frozen=True)
class Verdict:
    """A comparison's judgement on a claim.

    Attributes:
        sentence: the verdict in words; begins with the outcome.
        measured: the claim's metric for the claim's first row; None if it has no mean.
        n: the number of runs that the verdict rests on, in the row that has the fewest.
    """

    claim: Claim
    outcome: Judgement
    sentence: str
    measured: Estimate | None
    n: int


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


def margin_in(comparison: Comparison, metric: Metric) -> float | None:
    """Returns the data set's margin for accuracies, None for other metrics."""
    if metric.kind != "accuracy":
        return None
    return min(margin_of(run.recipe.dataset) for row in comparison.rows for run in row.runs)


def labels_of(claim: Claim) -> tuple[str, ...]:
    """Returns the labels of the rows that a claim is about."""
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
    """Writes a claim as a sentence, with its source."""
    if isinstance(claim, Fails):
        return f"{claim.label} fails to train ({claim.source})"
    if isinstance(claim, Collapses):
        wandering = ", which changes from epoch to epoch" if claim.wandering else ""
        return f"{claim.label} assigns every image to one class{wandering} ({claim.source})"
    if isinstance(claim, ReproducesClasses):
        return f"{claim.label}: test accuracy of each of {len(claim.values)} classes ({claim.source})"
    metric = metric_of(claim.metric)
    match claim:
        case Reproduces() if metric.kind == "size":
            text = f"{claim.label}: {formatting.exact(metric, claim.value)}"
        case Reproduces():
            text = f"{claim.label}: {metric.title} {formatting.exact(metric, claim.value)}"
        case Better():
            by = f" by more than {formatting.quantity(metric, claim.by)}" if claim.by else ""
            text = f"{claim.label} is {metric.better} than {claim.than}{by} in {metric.title}"
        case Equivalent():
            text = f"{claim.label} is on a par with {claim.to} in {metric.title}"
        case Ordered():
            text = f"{metric.title}, from best to worst: {', '.join(claim.labels)}"
    return f"{text} ({claim.source})"


def published(claim: Claim) -> str:
    """Writes what the source states, for a cell of a table."""
    match claim:
        case Reproduces():
            return formatting.exact(metric_of(claim.metric), claim.value)
        case ReproducesClasses():
            least, most = min(claim.values.values()), max(claim.values.values())
            return f"{100 * least:.6g} to {100 * most:.6g} %"
        case Better():
            metric = metric_of(claim.metric)
            return metric.better + (f" by over {formatting.quantity(metric, claim.by)}" if claim.by else "")
        case Equivalent():
            return "on a par"
        case Ordered():
            return "this order"
        case Fails():
            return "fails"
        case Collapses():
            return "one class, changing" if claim.wandering else "one class"


def measured(verdict: Verdict | None) -> str:
    """Writes the measured value with its 95 % interval, for a cell of a table; a dash if there is none."""
    if verdict is None or verdict.measured is None or isinstance(verdict.claim, (Fails, Collapses, ReproducesClasses)):
        return "–"
    metric, mean = metric_of(verdict.claim.metric), verdict.measured
    if mean.low is None or mean.high is None:
        return formatting.level(metric, mean.mean)
    middle, low, high = formatting.interval(metric, mean.mean, mean.low, mean.high)
    return f"{middle} ({low} to {high}){' %' if metric.kind == 'accuracy' else ' ' + metric.unit}"
