"""Claims and what was found of them, short enough for the cells of a table."""

from convarium.analysis.claims.kinds import (
    Better,
    Claim,
    Collapses,
    Equivalent,
    Fails,
    Ordered,
    Reproduces,
    ReproducesClasses,
)
from convarium.analysis.claims.verdict import Verdict
from convarium.analysis.comparison import formatting, metric_of


def published(claim: Claim) -> str:
    """What the source states, in a cell of a table."""
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
    """The measured value with its 95 % interval, in a cell of a table; a dash where there is none."""
    if verdict is None or verdict.measured is None or isinstance(verdict.claim, (Fails, Collapses, ReproducesClasses)):
        return "–"
    claim = verdict.claim
    metric, found = metric_of(claim.metric), verdict.measured
    if found.low is None or found.high is None:
        return formatting.level(metric, found.mean)
    middle, low, high = formatting.interval(metric, found.mean, found.low, found.high)
    return f"{middle} ({low} to {high}){' %' if metric.kind == 'accuracy' else ' ' + metric.unit}"
