"""Claims held against a comparison.

A claim is supported or refuted only where the evidence says so; all else is undecided, and the verdict says why. No
claim that compares rows is judged more leniently than the comparison's own table: its intervals hold at once over at
least the table's family. A claim about one row stands by itself.
"""

from itertools import pairwise

from scipy import stats

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
from convarium.analysis.claims.reproducing import reproduces, reproduces_classes
from convarium.analysis.claims.verdict import Judgement, Verdict, margin_in, verdict_of
from convarium.analysis.comparison import Comparison, Contrast, Metric, Row, contrast, formatting, metric_of
from convarium.analysis.statistics import LEVEL
from convarium.errors import ConvariumError
from convarium.runs.store import StoredRun

ONE_CLASS = 0.99
"""Share of the images from which on a network is said to take them all for one class."""


def judge(claim: Claim, comparison: Comparison) -> Verdict:
    """Holds a claim against a comparison.

    Raises:
        SpecError: a label or metric that the comparison does not have.
        ConvariumError: a claim that cannot be judged as it is written: an accuracy above 1, an order of one label, or
            an equivalence without a margin.
    """
    match claim:
        case Reproduces():
            return reproduces(claim, comparison)
        case ReproducesClasses():
            return reproduces_classes(claim, comparison)
        case Better():
            return _better(claim, comparison)
        case Equivalent():
            return _equivalent(claim, comparison)
        case Ordered():
            return _ordered(claim, comparison)
        case Fails():
            return _fails(claim, comparison)
        case Collapses():
            return _collapses(claim, comparison)


def _better(claim: Better, comparison: Comparison) -> Verdict:
    metric, rows = metric_of(claim.metric), [comparison.row(claim.label), comparison.row(claim.than)]
    outcome, text = _stands(comparison, metric, rows[0], rows[1], claim.by, comparison.family)
    if claim.by:
        text += f"; more than {formatting.quantity(metric, claim.by)} is claimed"
    return verdict_of(claim, metric, rows, outcome, text)


def _equivalent(claim: Equivalent, comparison: Comparison) -> Verdict:
    metric, rows = metric_of(claim.metric), [comparison.row(claim.label), comparison.row(claim.to)]
    margin = claim.margin if claim.margin is not None else margin_in(comparison, metric)
    if margin is None:
        raise ConvariumError(
            f"equivalence in {metric.name} has no margin of its own", hint="give the claim one: Equivalent(…, margin=…)"
        )
    found = contrast(rows[0], rows[1], metric, family=comparison.family, margin=margin)
    outcome: Judgement = "undecided"
    if found.equivalence is not None and found.equivalence.equivalent:
        outcome = "supported"
    elif (interval := found.interval) is not None and (interval.low > margin or interval.high < -margin):
        outcome = "refuted"
    text = found.sentence
    if outcome != "supported":
        text += f"; the margin is {formatting.quantity(metric, margin)}"
    if outcome == "undecided" and (interval := found.interval) is not None:
        crossed = any(interval.low <= edge <= interval.high for edge in (-margin, margin))
        text += ", and the interval lies across it" if crossed else ""
    return verdict_of(claim, metric, rows, outcome, text)


def _ordered(claim: Ordered, comparison: Comparison) -> Verdict:
    metric, rows = metric_of(claim.metric), [comparison.row(name) for name in claim.labels]
    if len(rows) < 2:
        raise ConvariumError("an order needs at least two labels", received=list(claim.labels))
    family = max(comparison.family, len(rows) - 1)
    found = [_stands(comparison, metric, one, other, 0.0, family) for one, other in pairwise(rows)]
    outcomes = {outcome for outcome, _ in found}
    whole: Judgement = "refuted" if "refuted" in outcomes else "undecided" if "undecided" in outcomes else "supported"
    return verdict_of(claim, metric, rows, whole, "; ".join(text for _, text in found))


def _fails(claim: Fails, comparison: Comparison) -> Verdict:
    row = comparison.row(claim.label)
    failed, n = row.diverged + row.at_chance, row.n + row.diverged + row.at_chance
    runs = formatting.count(n, "run")
    text = f"{failed} of {runs} of {row.label} failed ({row.diverged} diverged, {row.at_chance} at chance)"
    return _more_than_half(claim, row, failed, n, text)


def _collapses(claim: Collapses, comparison: Comparison) -> Verdict:
    row = comparison.row(claim.label)
    scored = [run for run in row.runs if run.outcome.test is not None]
    ends = [one_class(run) for run in scored]
    paths = [leading_classes(run) for run in scored]
    changed = [end is not None and len(set(path)) > 1 for end, path in zip(ends, paths, strict=True)]
    said = formatting.count(len(scored), "run")
    named = [end for end in ends if end is not None]
    text = f"{len(named)} of {said} of {row.label} took at least {ONE_CLASS * 100:g} % of the images for one class"
    text += f" ({', '.join(named)})" if named else ""
    if not claim.wandering:
        return _more_than_half(claim, row, len(named), len(scored), text)
    text += f", and in {sum(changed)} that class changed over the epochs"
    if any(changed):
        first = changed.index(True)
        text += f" (seed {scored[first].recipe.seed}: {' '.join(paths[first])})"
    return _more_than_half(claim, row, sum(changed), len(scored), text)


def one_class(run: StoredRun) -> str | None:
    """The class that a run ends up taking (almost) every test image for; None where there is none."""
    scores = run.outcome.test
    if scores is None:
        return None
    columns = [sum(column) for column in zip(*scores.confusion, strict=True)]
    most = max(range(len(columns)), key=columns.__getitem__)
    return list(scores.per_class)[most] if columns[most] >= ONE_CLASS * scores.n else None


def leading_classes(run: StoredRun) -> tuple[str, ...]:
    """The class that most test images were taken for, epoch by epoch; empty where the run did not watch them."""
    scores, predicted = run.outcome.test, run.predicted()
    if scores is None or predicted is None:
        return ()
    names = list(scores.per_class)
    return tuple(names[max(range(len(row)), key=row.__getitem__)] for row in predicted)


def _more_than_half(claim: Claim, row: Row, count: int, n: int, text: str) -> Verdict:
    outcome: Judgement = "undecided"
    if n and stats.binomtest(count, n, 0.5, alternative="greater").pvalue <= 1 - LEVEL:
        outcome = "supported"
    elif n and stats.binomtest(count, n, 0.5, alternative="less").pvalue <= 1 - LEVEL:
        outcome = "refuted"
    if outcome == "undecided":
        text += ", which does not settle what more than half of all runs would do"
    return Verdict(claim, outcome, f"{outcome}: {text}", row.measured, n)


def _stands(
    comparison: Comparison, metric: Metric, first: Row, second: Row, by: float, family: int
) -> tuple[Judgement, str]:
    """Whether `first` is better than `second` by more than `by`, and the sentence that says what was found.

    Who fails more often does not win by the runs that were left over.
    """
    found = contrast(first, second, metric, family=family, margin=margin_in(comparison, metric))
    outcome = _direction(found, metric, by)
    winner, loser = (first, second) if outcome == "supported" else (second, first)
    if outcome != "undecided" and winner.failed * len(loser.runs) > loser.failed * len(winner.runs):
        return "undecided", f"{found.sentence}; but {winner.label} failed more often"
    return outcome, found.sentence


def _direction(found: Contrast, metric: Metric, by: float) -> Judgement:
    if found.interval is None:  # decided by rank or by fact, or not at all
        known: dict[str, Judgement] = {"better": "supported", "worse": "refuted"}
        return known.get(found.decision, "undecided") if not by else "undecided"
    low, high = found.interval.low, found.interval.high
    if not metric.higher_is_better:
        low, high = -high, -low
    return "supported" if low > by else "refuted" if high < by else "undecided"
