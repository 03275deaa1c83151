"""Judges whether a network overfits: whether its training accuracy ends above its validation accuracy."""

from convarium.analysis.claims.kinds import Judgement, Overfits, Verdict, make_verdict
from convarium.analysis.comparison import Comparison, formatting, metric_of, qualify
from convarium.analysis.statistics import LEAST_SEEDS


def judge_overfitting(claim: Overfits, comparison: Comparison) -> Verdict:
    """Judges by the interval of the mean gap over the runs: above `by` it overfits, below `by` it does not."""
    metric, row = metric_of("generalization_gap"), comparison.row(claim.label)
    gap = row.estimate(metric)
    outcome: Judgement = "undecided"
    if gap is None:
        text = f"{row.label} has no run that scored other images than those for training after its last epoch"
    elif gap.n < LEAST_SEEDS or gap.low is None or gap.high is None:
        text = f"{row.label} has a {metric.title} of {formatting.quantity(metric, gap.mean)}"
        text += f", and {formatting.count(gap.n, 'run')} of it decide nothing"
    else:
        outcome = "supported" if gap.low > claim.by else "refuted" if gap.high < claim.by else "undecided"
        middle, low, high = formatting.amounts(metric, [gap.mean, gap.low, gap.high], (gap.high - gap.low) / 2)
        text = (
            f"{row.label} has a {metric.title} of {middle} points (95 % interval {low} to {high}, "
            f"{formatting.count(gap.n, 'seed')})"
        )
    return make_verdict(claim, [row], outcome, qualify((row,), metric, text), metric=metric)
