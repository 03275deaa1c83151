"""Claims and verdicts as text: a sentence, the cells of a table, and what their runs assume."""

import math
from collections.abc import Iterable

from convarium.analysis.claims.kinds import (
    ASSUMED,
    Better,
    Claim,
    Collapses,
    Equivalent,
    Fails,
    Ordered,
    Overfits,
    Overtakes,
    Reproduces,
    ReproducesClasses,
    Verdict,
)
from convarium.analysis.comparison import Metric, formatting, metric_of


def source_tag(claim: Claim) -> str:
    """Returns the tag of a claim's source, with which its citation begins: "mnist-report", "he2016"."""
    return claim.source.partition(",")[0]


def assumptions(claims: Iterable[Claim]) -> tuple[str, ...]:
    """Says once for each source what the runs of its claims assume, each text behind the mark that the claims carry."""
    return tuple(
        dict.fromkeys(
            f"{ASSUMED} {source_tag(claim)}: {claim.assumed}" for claim in claims if claim.assumed is not None
        )
    )


def describe(claim: Claim) -> str:
    """Writes a claim as a sentence, with its source, and with a mark if its runs assume what the source leaves open."""
    return f"{sentence(claim)} ({claim.source})"


def sentence(claim: Claim) -> str:
    """Writes a claim as `describe` does, without its source."""
    return _statement(claim) + (f" {ASSUMED}" if claim.assumed is not None else "")


def _statement(claim: Claim) -> str:
    match claim:
        case Fails():
            return f"{claim.label} fails to train"
        case Collapses():
            wandering = ", which changes from epoch to epoch" if claim.wandering else ""
            return f"{claim.label} assigns every image to one class{wandering}"
        case ReproducesClasses():
            split = "training" if claim.split == "train" else "test"
            runs = f", the mean of {claim.runs} runs" if claim.runs > 1 else ""
            return f"{claim.label}: {split} accuracy of each of {len(claim.values)} classes{runs}"
        case Overfits():
            by = f" by more than {100 * claim.by:.3g} points" if claim.by else ""
            return f"{claim.label} overfits: its training accuracy ends above its validation accuracy{by}"
        case Overtakes():
            start, end = metric_of(claim.start), metric_of(claim.end)
            return (
                f"{claim.label} starts {start.worse} than {claim.than} in {start.title} and ends {end.better} in "
                f"{end.title}"
            )
    metric = metric_of(claim.metric)
    match claim:
        case Reproduces() if metric.kind == "size":
            return f"{claim.label}: {_value(claim, metric)}"
        case Reproduces():
            return f"{claim.label}: {metric.title} {_value(claim, metric)}"
        case Better():
            by = f" by more than {formatting.margin(metric, claim.by)}" if claim.by else ""
            return f"{claim.label} is {metric.better} than {claim.than}{by} in {metric.title}"
        case Equivalent():
            return f"{claim.label} is on a par with {claim.to} in {metric.title}"
        case Ordered():
            return f"{metric.title}, from best to worst: {', '.join(claim.labels)}"


def published_value(claim: Reproduces) -> str:
    """Writes a published value, and behind a mean the printed values that it is a mean of."""
    return _value(claim, metric_of(claim.metric))


def _value(claim: Reproduces, metric: Metric) -> str:
    value = formatting.exact(metric, claim.value)
    if not claim.printed:
        return value
    printed = [formatting.exact(metric, each).removesuffix(f" {'%' if metric.kind == 'accuracy' else metric.unit}")
               for each in claim.printed]  # fmt: skip
    return f"{value}, the mean of {formatting.listed(printed)}"


def published(claim: Claim) -> str:
    """Writes what the source states, for a cell of a table."""
    match claim:
        case Reproduces():
            return published_value(claim)
        case ReproducesClasses():
            least, most = min(claim.values.values()), max(claim.values.values())
            return f"{100 * least:.6g} to {100 * most:.6g} %"
        case Better():
            metric = metric_of(claim.metric)
            return metric.better + (f" by over {formatting.margin(metric, claim.by)}" if claim.by else "")
        case Equivalent():
            return "on a par"
        case Ordered():
            return "this order"
        case Overtakes():
            return "worse, then better"
        case Overfits():
            return "overfits"
        case Fails():
            return "fails"
        case Collapses():
            return "one class, changing" if claim.wandering else "one class"


def measured(verdict: Verdict | None) -> str:
    """Writes the measured value with its 95 % interval, for a cell of a table; a dash if there is none."""
    if verdict is None or verdict.measured is None or isinstance(verdict.claim, (Fails, Collapses, ReproducesClasses)):
        return "–"
    mean = verdict.measured
    if isinstance(verdict.claim, Overfits):
        metric = metric_of("generalization_gap")
    else:
        metric = metric_of(verdict.claim.end if isinstance(verdict.claim, Overtakes) else verdict.claim.metric)
    if metric.kind == "time":  # the ratio of the speeds
        middle, *ends = ratio_text(mean.mean, *([] if mean.low is None or mean.high is None else [mean.low, mean.high]))
        return f"{middle} times" + (f" ({ends[0]} to {ends[1]})" if ends else "")
    if mean.low is None or mean.high is None:
        return formatting.level(metric, mean.mean)
    if formatting.fills_range(metric, mean.low, mean.high):
        return f"{formatting.level(metric, mean.mean)} ({formatting.cannot_tell(mean.n)})"
    middle, low, high = formatting.interval(metric, mean.mean, mean.low, mean.high)
    is_difference = not metric.higher_is_better  # of accuracies: a gap, a drop
    unit = "%" if metric.kind == "accuracy" and not is_difference else metric.unit
    return f"{middle} ({low} to {high}) {unit}"


def ratio_text(*values: float) -> list[str]:
    """Writes a ratio and its interval with as many decimals as its width justifies, and no end other than 1 as 1."""
    half = (max(values) - min(values)) / 2
    decimals = min(max(1, -math.floor(math.log10(half))) if half else 2, 4)
    while decimals < 4 and any(value != 1 and round(value, decimals) == 1 for value in values):
        decimals += 1
    return [f"{value:,.{decimals}f}" for value in values]
