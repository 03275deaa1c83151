"""Published numbers held against what runs of the same recipe give."""

from convarium.claims.kinds import Reproduces
from convarium.claims.verdict import Judgement, Verdict, margin_in, verdict_of
from convarium.comparison import Comparison, Metric, Row, mean_of, metric_of, tell, words
from convarium.errors import ConvariumError
from convarium.statistics import Estimate, prediction_interval

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
    published = f"the published {words.exact(metric, claim.value)} ({claim.source})"
    outcome: Judgement = "undecided"
    if metric.kind == "time":
        text = f"{published} was timed elsewhere, and times hold within one environment only"
    elif measured is None:
        text = f"{row.label} has no mean of {metric.title} to hold against {published}"
    elif metric.kind == "size":
        outcome = "supported" if measured.mean == claim.value else "refuted"
        text = f"{row.label} has {words.level(metric, measured.mean)}, against {published}"
    elif measured.n < FEWEST_RUNS:
        text = (
            f"{row.label} gave {words.mean(metric, measured)} in {metric.title}; {published} is judged by "
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
        text = f"{row.label} gave {words.mean(metric, measured)}; without any spread {published} cannot be judged"
        return "undecided", text
    middle, low, high = words.interval(metric, measured.mean, predicted.low, predicted.high)
    off = abs(measured.mean - claim.value)
    inside, near = claim.value in predicted, margin is None or off <= margin
    more = "one more run" if claim.runs == 1 else f"the mean of {claim.runs} more runs"
    unit = "%" if metric.kind == "accuracy" else metric.unit
    text = (
        f"{row.label} gave {middle} {unit} in {metric.title}, {more} would lie between {low} and {high} "
        f"(95 % prediction interval, {words.count(measured.n, 'seed')}), and {published} lies "
        f"{'inside' if inside else 'outside'}, {words.quantity(metric, off)} from the mean"
    )
    if margin is not None:
        text += f" ({'within' if near else 'beyond'} the margin of {words.quantity(metric, margin)})"
    if inside and near:
        return "supported", text
    return ("undecided" if inside or (near and margin is not None) else "refuted"), text
