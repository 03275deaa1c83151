"""Judges claims by a comparison.

A claim is supported or refuted only if the evidence is sufficient; otherwise it is undecided, and the verdict says why.
One whose runs assume what its source does not state is never refuted, only not seen under the assumed recipe.
A claim that compares rows is judged at least as strictly as the comparison's own table: its intervals are simultaneous
over at least the table's family. A claim about one row is judged by itself.
"""

import dataclasses
import math
from itertools import pairwise

from convarium.analysis.claims.kinds import (
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
    all_of,
    labels_of,
    make_verdict,
    margin_in,
    marked,
)
from convarium.analysis.claims.overfitting import judge_overfitting
from convarium.analysis.claims.reproduction import judge_classes, judge_number
from convarium.analysis.claims.speed import is_about_speed
from convarium.analysis.comparison import (
    METRICS,
    Comparison,
    Contrast,
    Metric,
    Row,
    contrast,
    fails_more_often,
    formatting,
    metric_of,
)
from convarium.analysis.statistics import LEAST_SEEDS, LOSS_MARGIN, settles_half
from convarium.errors import ConvariumError
from convarium.runs.store import StoredRun

ONE_CLASS = 0.99
"""Share of the images from which on a network counts as assigning them all to one class."""


def judge(claim: Claim, comparison: Comparison) -> Verdict:
    """Judges a claim by a comparison. A claim of speed is judged by pairs taken in turns instead, see `judge_speed`.

    Raises:
        SpecError: the comparison does not have the label or metric.
        ConvariumError: the claim cannot be judged as it is written: an accuracy above 1, an order of one label, or an
            equivalence without a margin.
    """
    return marked(_judge(_on_split(claim, comparison), comparison))


def _judge(claim: Claim, comparison: Comparison) -> Verdict:
    if is_about_speed(claim):
        text = f"undecided: {formatting.listed(labels_of(claim))} have not been timed in turns yet"
        return Verdict(claim, "undecided", text, None, 0)
    match claim:
        case Reproduces():
            return judge_number(claim, comparison)
        case ReproducesClasses():
            return judge_classes(claim, comparison)
        case Better():
            return _better(claim, comparison)
        case Equivalent():
            return _equivalent(claim, comparison)
        case Ordered():
            return _ordered(claim, comparison)
        case Overtakes():
            return _overtakes(claim, comparison)
        case Overfits():
            return judge_overfitting(claim, comparison)
        case Fails():
            return _fails(claim, comparison)
        case Collapses():
            return _collapses(claim, comparison)


def _on_split(claim: Claim, comparison: Comparison) -> Claim:
    """The claim about the validation images, if it is about test images where none are held out."""
    name = getattr(claim, "metric", "")
    other = name.replace("test_", "validation_")
    if (
        comparison.split == "test"
        or other not in METRICS
        or not isinstance(claim, (Reproduces, Better, Equivalent, Ordered))
    ):
        return claim
    return dataclasses.replace(claim, metric=other)


def _better(claim: Better, comparison: Comparison) -> Verdict:
    metric, rows = metric_of(claim.metric), [comparison.row(claim.label), comparison.row(claim.than)]
    outcome, text = _judge_better(comparison, metric, rows[0], rows[1], claim.by, comparison.family)
    if claim.by:
        text += f"; more than {formatting.margin(metric, claim.by)} is claimed"
    return make_verdict(claim, rows, outcome, text, metric=metric)


def _equivalent(claim: Equivalent, comparison: Comparison) -> Verdict:
    metric, rows = metric_of(claim.metric), [comparison.row(claim.label), comparison.row(claim.to)]
    margin = claim.margin if claim.margin is not None else margin_in(comparison, metric)
    margin = LOSS_MARGIN if margin is None and metric.kind == "loss" else margin
    if margin is None:
        raise ConvariumError(
            f"equivalence in {metric.name} has no margin of its own", hint="give the claim one: Equivalent(…, margin=…)"
        )
    result = contrast(rows[0], rows[1], metric, family=comparison.family, margin=margin)
    interval, edge = result.interval, math.log1p(margin) if metric.kind == "loss" else margin
    outcome: Judgement = "undecided"
    if _are_too_few(result, metric, *rows):
        pass
    elif result.decision == "equivalent":  # it is not where one of them fails more often
        outcome = "supported"
    elif interval is not None and (interval.low > edge or interval.high < -edge):
        outcome = "refuted"
    text = result.sentence
    if outcome != "supported":
        text += f"; the margin is {formatting.margin(metric, margin)}"
    if outcome == "undecided" and interval is not None:
        crossed = any(interval.low <= end <= interval.high for end in (-edge, edge))
        text += ", and the interval includes it" if crossed else ""
    return make_verdict(claim, rows, outcome, text, metric=metric)


def _ordered(claim: Ordered, comparison: Comparison) -> Verdict:
    metric, rows = metric_of(claim.metric), [comparison.row(name) for name in claim.labels]
    if len(rows) < 2:
        raise ConvariumError("an order needs at least two labels", received=list(claim.labels))
    family = max(comparison.family, len(rows) - 1)
    pairs = [_judge_better(comparison, metric, one, other, 0.0, family) for one, other in pairwise(rows)]
    outcome = all_of({outcome for outcome, _ in pairs})
    return make_verdict(claim, rows, outcome, "; ".join(text for _, text in pairs), metric=metric)


def _overtakes(claim: Overtakes, comparison: Comparison) -> Verdict:
    """Both halves are asked at once: each is judged over a family of at least two."""
    rows = [comparison.row(claim.label), comparison.row(claim.than)]
    start, end = metric_of(claim.start), metric_of(claim.end)
    family = max(comparison.family, 2)
    first, at_first = _judge_better(comparison, start, rows[1], rows[0], 0.0, family)
    last, at_last = _judge_better(comparison, end, rows[0], rows[1], 0.0, family)
    text = f"in {start.title} {at_first}; in {end.title} {at_last}"
    return make_verdict(claim, rows, all_of({first, last}), text, metric=end)


def _fails(claim: Fails, comparison: Comparison) -> Verdict:
    row = comparison.row(claim.label)
    failed, n = row.diverged + row.at_chance, row.n + row.diverged + row.at_chance
    runs = formatting.count(n, "run")
    text = f"{failed} of {runs} of {row.label} failed ({row.diverged} diverged, {row.at_chance} at chance)"
    return _more_than_half(claim, row, failed, n, text)


def _collapses(claim: Collapses, comparison: Comparison) -> Verdict:
    row = comparison.row(claim.label)
    scored = [run for run in row.runs if run.result is not None]
    ends = [one_class(run) for run in scored]
    paths = [leading_classes(run) for run in scored]
    changed = [end is not None and len(set(path)) > 1 for end, path in zip(ends, paths, strict=True)]
    collapsed = [end for end in ends if end is not None]
    text = (
        f"{len(collapsed)} of {formatting.count(len(scored), 'run')} of {row.label} assigned at least "
        f"{ONE_CLASS * 100:g} % of the images to one class"
    )
    text += f" ({', '.join(collapsed)})" if collapsed else ""
    if not claim.wandering:
        return _more_than_half(claim, row, len(collapsed), len(scored), text)
    text += f", and in {sum(changed)} that class changed over the epochs"
    if any(changed):
        first = changed.index(True)
        text += f" (seed {scored[first].recipe.seed}: {' '.join(paths[first])})"
    return _more_than_half(claim, row, sum(changed), len(scored), text)


def one_class(run: StoredRun) -> str | None:
    """Returns the class to which a run's final weights assign (almost) every image of its result; None if none."""
    scores = run.result
    if scores is None:
        return None
    columns = [sum(column) for column in zip(*scores.confusion, strict=True)]
    most = max(range(len(columns)), key=columns.__getitem__)
    return list(scores.per_class)[most] if columns[most] >= ONE_CLASS * scores.n else None


def leading_classes(run: StoredRun) -> tuple[str, ...]:
    """Returns the most frequently predicted class of the test split by epoch; empty if the run did not watch it."""
    scores, predicted = run.outcome.test, run.predicted()
    if scores is None or predicted is None:
        return ()
    names = list(scores.per_class)
    return tuple(names[max(range(len(row)), key=row.__getitem__)] for row in predicted)


def _more_than_half(claim: Claim, row: Row, count: int, n: int, text: str) -> Verdict:
    outcomes: dict[bool | None, Judgement] = {True: "supported", False: "refuted", None: "undecided"}
    outcome = outcomes[settles_half(count, n)]
    if outcome == "undecided":
        text += ", which does not settle what more than half of all runs would do"
    return Verdict(claim, outcome, f"{outcome}: {text}", row.measured, n)


def _judge_better(
    comparison: Comparison, metric: Metric, first: Row, second: Row, by: float, family: int
) -> tuple[Judgement, str]:
    """Judges whether `first` is better than `second` by more than `by`; returns the outcome and its sentence.

    A network that fails more often than its rival cannot be declared better on its surviving runs.
    """
    result = contrast(first, second, metric, family=family, margin=margin_in(comparison, metric))
    outcome = _direction(result, metric, by)
    winner, loser = (first, second) if outcome == "supported" else (second, first)
    if outcome != "undecided" and fails_more_often(winner, loser):
        reason = "" if "fails more often" in result.sentence else f"; {winner.label} fails more often"
        return "undecided", result.sentence + reason
    return ("undecided" if _are_too_few(result, metric, first, second) else outcome), result.sentence


def _are_too_few(result: Contrast, metric: Metric, *rows: Row) -> bool:
    """Whether a row has fewer values of a metric, or two have fewer pairs, than decide anything. A size needs one."""
    gap = result.difference
    if gap is not None and min(gap.n_first, gap.n_second) < LEAST_SEEDS:
        return True
    return metric.kind != "size" and any(len(row.values(metric)) < LEAST_SEEDS for row in rows)


def _direction(result: Contrast, metric: Metric, by: float) -> Judgement:
    if result.interval is None:  # decided by rank or by size, or not at all
        known: dict[str, Judgement] = {"better": "supported", "worse": "refuted"}
        return known.get(result.decision, "undecided") if not by else "undecided"
    low, high = result.interval.low, result.interval.high
    if not metric.higher_is_better:
        low, high = -high, -low
    by = math.log1p(by) if metric.kind == "loss" else by  # the interval is that of the ratio's logarithm
    return "supported" if low > by else "refuted" if high < by else "undecided"
