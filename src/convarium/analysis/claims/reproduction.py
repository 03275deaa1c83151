"""Judges published numbers by runs of the same recipe."""

import math
from statistics import fmean

from convarium.analysis.claims.kinds import (
    Judgement,
    Reproduces,
    ReproducesClasses,
    Verdict,
    make_verdict,
    margin_in,
)
from convarium.analysis.claims.texts import published_value
from convarium.analysis.comparison import (
    Comparison,
    Metric,
    Row,
    class_accuracy,
    formatting,
    metric_of,
    qualify,
)
from convarium.analysis.statistics import LEVEL, Estimate
from convarium.errors import ConvariumError, SpecError

FEWEST_RUNS = 5
"""The number of trained runs from which on a published number is judged."""
RELATIVE_MARGIN = 0.2
"""The margin of a loss, and of any other number that is no accuracy, as a share of the published value."""


def judge_number(claim: Reproduces, comparison: Comparison) -> Verdict:
    """Judges a published number: it must lie inside the prediction interval of one more draw, and within the margin.

    Raises:
        ConvariumError: an accuracy is not a fraction of 1.
    """
    metric, row = metric_of(claim.metric), comparison.row(claim.label)
    if metric.kind == "accuracy" and not 0 <= claim.value <= 1:
        raise ConvariumError(
            f"the value claimed for {claim.label!r} is not an accuracy",
            expected="a fraction of 1",
            received=claim.value,
            hint=f"write {claim.value / 100:g} for {claim.value:g} %",
        )
    measured = row.estimate(metric)
    published = f"the published {published_value(claim)} ({claim.source})"
    outcome: Judgement = "undecided"
    if metric.kind == "time":
        text = f"{published} was timed elsewhere, and times are comparable within one environment only"
    elif measured is None:
        text = f"{row.label} has no mean of {metric.title} to compare with {published}"
    elif metric.kind == "size":
        outcome = "supported" if measured.mean == claim.value else "refuted"
        text = f"{row.label} has {formatting.level(metric, measured.mean)}, against {published}"
    elif measured.n < FEWEST_RUNS:
        text = (
            f"{row.label} gave {formatting.mean(metric, measured)} in {metric.title}; judging {published} takes "
            f"{FEWEST_RUNS} trained runs or more"
        )
    else:
        margin = claim.margin if claim.margin is not None else margin_in(comparison, metric)
        margin = RELATIVE_MARGIN * abs(claim.value) if margin is None else margin
        outcome, text = _one_more_draw(claim, metric, row, measured, margin, published)
    return make_verdict(claim, [row], outcome, qualify((row,), metric, text), metric=metric)


def _one_more_draw(
    claim: Reproduces,
    metric: Metric,
    row: Row,
    measured: Estimate,
    margin: float,
    published: str,
) -> tuple[Judgement, str]:
    predicted = row.predicted(metric, runs=claim.runs)
    if predicted is None:
        text = f"{row.label} gave {formatting.mean(metric, measured)}; without any spread {published} cannot be judged"
        return "undecided", text
    middle, low, high = formatting.interval(metric, measured.mean, predicted.low, predicted.high)
    off = abs(measured.mean - claim.value)
    inside, near = claim.value in predicted, off <= margin
    unit = "%" if metric.kind == "accuracy" else metric.unit
    side, reach = "above" if claim.value > measured.mean else "below", "within" if near else "beyond"
    gave = f"{row.label} gave {middle} {unit} in {metric.title}"
    seeds = formatting.count(measured.n, "seed")
    text = (
        f"{gave}, {_more_runs(claim.runs)} would lie between {low} and {high} (95 % prediction interval, {seeds}), and "
        f"{published} lies {'inside' if inside else 'outside'}, {formatting.distance(metric, off, margin=margin)} "
        f"{side} the mean ({reach} the margin of {formatting.quantity(metric, margin)})"
    )
    return ("supported" if inside and near else "undecided" if inside or near else "refuted"), text


def _more_runs(runs: int) -> str:
    return "one more run" if runs == 1 else f"the mean of {runs} more runs"


def judge_classes(claim: ReproducesClasses, comparison: Comparison) -> Verdict:
    """Judges all classes at once: prediction intervals at 1 − 0.05 / classes, margins √classes times the data set's.

    The margin is wider because a class has fewer images than the whole split and its accuracy varies more.

    Raises:
        SpecError: no run has a class of that name.
    """
    row, k = comparison.row(claim.label), len(claim.values)
    metrics = {name: class_accuracy(name, claim.split) for name in claim.values}
    values = {name: list(row.values(metric).values()) for name, metric in metrics.items()}
    fewest = min(map(len, values.values()))
    accuracy = metric_of("final_train_accuracy" if claim.split == "train" else "test_accuracy")
    kind = "training " if claim.split == "train" else ""
    published = f"the published {kind}accuracies of {k} classes ({claim.source})"
    if row.trained and not fewest:
        missing = next(name for name, each in values.items() if not each)
        raise SpecError(f"no run of {row.label} has a class {missing!r}", hint="name the classes as the data set does")
    if fewest < FEWEST_RUNS:
        text = f"judging {published} takes {FEWEST_RUNS} trained runs or more of {row.label}, not {fewest}"
        return make_verdict(claim, [row], "undecided", qualify((row,), accuracy, text), metric=accuracy)
    margin = (margin_in(comparison, accuracy) or 0.0) * math.sqrt(k)
    off = {name: fmean(each) - claim.values[name] for name, each in values.items()}
    near = {name for name in values if abs(off[name]) <= margin}
    ranges = {
        name: row.predicted(metric, runs=claim.runs, level=1 - (1 - LEVEL) / k) for name, metric in metrics.items()
    }
    known = {name: interval for name, interval in ranges.items() if interval is not None}
    inside = {name for name, interval in known.items() if claim.values[name] in interval}
    outcome: Judgement = "undecided"
    outside = known.keys() - inside - near
    if outside:
        outcome = "refuted"
    elif len(inside & near) == k:
        outcome = "supported"
    worst = max(outside or off, key=lambda name: abs(off[name]))
    named = "farthest off is" if not outside else "outside both is"
    if len(outside) > 1:
        named = f"outside both are {len(outside)}, farthest off"
    text = (
        f"of {published}, {len(inside)} lie where {_more_runs(claim.runs)} of {row.label} would (95 % prediction "
        f"intervals of all {k} together, {formatting.count(fewest, 'seed')}) and {len(near)} within the margin of "
        f"{formatting.quantity(accuracy, margin)} a class; {named} {worst}, published "
        f"{formatting.exact(accuracy, claim.values[worst])}, measured "
        f"{formatting.level(accuracy, claim.values[worst] + off[worst])}"
    )
    return make_verdict(claim, [row], outcome, qualify((row,), accuracy, text), metric=accuracy)
