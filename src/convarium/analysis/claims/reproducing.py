"""Published numbers held against what runs of the same recipe give."""

import math
from statistics import fmean

from convarium.analysis.claims.kinds import Reproduces, ReproducesClasses
from convarium.analysis.claims.verdict import Judgement, Verdict, margin_in, verdict_of
from convarium.analysis.comparison import Comparison, Metric, Row, class_accuracy, formatting, mean_of, metric_of, tell
from convarium.analysis.statistics import LEVEL, Estimate, prediction_interval
from convarium.errors import ConvariumError, SpecError

FEWEST_RUNS = 5
"""A published number is judged by at least so many runs."""


def reproduces(claim: Reproduces, comparison: Comparison) -> Verdict:
    metric, row = metric_of(claim.metric), comparison.row(claim.label)
    if metric.kind == "accuracy" and not 0 <= claim.value <= 1:
        raise ConvariumError(
            f"the value claimed for {claim.label!r} is no accuracy",
            expected="a fraction of 1",
            received=claim.value,
            hint=f"write {claim.value / 100:g} for {claim.value:g} %",
        )
    values = list(row.values(metric).values())
    measured = mean_of(values)
    published = f"the published {formatting.exact(metric, claim.value)} ({claim.source})"
    outcome: Judgement = "undecided"
    if metric.kind == "time":
        text = f"{published} was timed elsewhere, and times hold within one environment only"
    elif measured is None:
        text = f"{row.label} has no mean of {metric.title} to hold against {published}"
    elif metric.kind == "size":
        outcome = "supported" if measured.mean == claim.value else "refuted"
        text = f"{row.label} has {formatting.level(metric, measured.mean)}, against {published}"
    elif measured.n < FEWEST_RUNS:
        text = (
            f"{row.label} gave {formatting.mean(metric, measured)} in {metric.title}; {published} is judged by "
            f"{FEWEST_RUNS} trained runs or more"
        )
    else:
        margin = claim.margin if claim.margin is not None else margin_in(comparison, metric)
        outcome, text = _one_more_draw(claim, metric, row, values, measured, margin, published)
    return verdict_of(claim, metric, [row], outcome, tell((row,), metric, text))


def _one_more_draw(
    claim: Reproduces,
    metric: Metric,
    row: Row,
    values: list[float],
    measured: Estimate,
    margin: float | None,
    published: str,
) -> tuple[Judgement, str]:
    predicted = prediction_interval(values, runs=claim.runs)
    if predicted is None:
        text = f"{row.label} gave {formatting.mean(metric, measured)}; without any spread {published} cannot be judged"
        return "undecided", text
    middle, low, high = formatting.interval(metric, measured.mean, predicted.low, predicted.high)
    off = abs(measured.mean - claim.value)
    inside, near = claim.value in predicted, margin is None or off <= margin
    more = "one more run" if claim.runs == 1 else f"the mean of {claim.runs} more runs"
    unit = "%" if metric.kind == "accuracy" else metric.unit
    text = (
        f"{row.label} gave {middle} {unit} in {metric.title}, {more} would lie between {low} and {high} "
        f"(95 % prediction interval, {formatting.count(measured.n, 'seed')}), and {published} lies "
        f"{'inside' if inside else 'outside'}, {formatting.quantity(metric, off)} from the mean"
    )
    if margin is not None:
        text += f" ({'within' if near else 'beyond'} the margin of {formatting.quantity(metric, margin)})"
    if inside and metric.kind == "loss" and predicted.low <= 0:
        return "undecided", f"{text}; but the runs scatter so widely that every smaller one would lie inside too"
    if inside and near:
        return "supported", text
    return ("undecided" if inside or (near and margin is not None) else "refuted"), text


def reproduces_classes(claim: ReproducesClasses, comparison: Comparison) -> Verdict:
    """All classes at once: each prediction interval at 1 − 0.05 / classes, each margin √classes times the data set's.

    The margin is wider since a class has so many times fewer images, and scatters so much more.
    """
    row, k = comparison.row(claim.label), len(claim.values)
    metrics = {name: class_accuracy(name) for name in claim.values}
    found = {name: list(row.values(metric).values()) for name, metric in metrics.items()}
    fewest = min(map(len, found.values()))
    whole = metric_of("test_accuracy")
    published = f"the published accuracies of {k} classes ({claim.source})"
    if row.trained and not fewest:
        missing = next(name for name, values in found.items() if not values)
        raise SpecError(f"no run of {row.label} has a class {missing!r}", hint="name the classes as the data set does")
    if fewest < FEWEST_RUNS:
        text = f"{published} are judged by {FEWEST_RUNS} trained runs or more of {row.label}, not {fewest}"
        return verdict_of(claim, whole, [row], "undecided", tell((row,), whole, text))
    margin = (margin_in(comparison, whole) or 0.0) * math.sqrt(k)
    off = {name: fmean(values) - claim.values[name] for name, values in found.items()}
    near = {name for name in found if abs(off[name]) <= margin}
    ranges = {name: prediction_interval(values, level=1 - (1 - LEVEL) / k) for name, values in found.items()}
    known = {name: interval for name, interval in ranges.items() if interval is not None}
    inside = {name for name, interval in known.items() if claim.values[name] in interval}
    outcome: Judgement = "undecided"
    if known.keys() - inside - near:
        outcome = "refuted"
    elif len(inside & near) == k:
        outcome = "supported"
    worst = max(off, key=lambda name: abs(off[name]))
    text = (
        f"of {published}, {len(inside)} lie where one more run of {row.label} would (95 % prediction intervals of all "
        f"{k} together, {formatting.count(fewest, 'seed')}) and {len(near)} within the margin of "
        f"{formatting.quantity(whole, margin)} a class; farthest off is {worst}, published "
        f"{formatting.exact(whole, claim.values[worst])}, measured "
        f"{formatting.level(whole, claim.values[worst] + off[worst])}"
    )
    return verdict_of(claim, whole, [row], outcome, tell((row,), whole, text))
