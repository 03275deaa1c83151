"""Rows of which only the order is judged: epochs up to a level, losses of 0, and sizes."""

import math
from collections.abc import Collection, Mapping

from convarium.analysis.comparison import formatting
from convarium.analysis.comparison.failures import fails_more_often
from convarium.analysis.comparison.formatting import in_words
from convarium.analysis.comparison.metrics import Metric
from convarium.analysis.comparison.rows import Decision, Row
from convarium.analysis.statistics import LEAST_SEEDS, LEVEL, rank_test, seeds_to_reach, smallest_p


def compare_orders(
    first: Row, second: Row, metric: Metric, *, a: Mapping[int, float], b: Mapping[int, float], family: int
) -> tuple[Decision, str]:
    """Compares two rows by the Mann–Whitney test, see `rank_test`: of their values only the order counts.

    Epochs and steps up to a level are multiples of an epoch, and of a run that never got there only the order is known;
    a loss of 0 has no logarithm.

    Args:
        first: the row that the sentence is about.
        second: the row that it is compared with.
        metric: the metric.
        a, b: its values by seed in the two rows, infinity where a level was never reached.
        family: the number of comparisons among which the 5 % are divided.
    """
    n, m, allowed = len(a), len(b), (1 - LEVEL) / family
    undecided = f"{first.label} against {second.label} is undecided"
    text = _counts(first, second, metric, a, b)
    budgets = {run.recipe.epochs for row in (first, second) for run in row.runs}
    if len(budgets) > 1 and math.inf in [*a.values(), *b.values()]:
        return "undecided", f"{undecided}: {text}, which had different budgets"
    if min(n, m) < LEAST_SEEDS:
        return "undecided", f"{undecided}, because fewer than {LEAST_SEEDS} seeds decide nothing: {text}"
    if smallest_p(n, m) > allowed:
        return "undecided", f"{undecided}: {_too_few(n, m, seeds_to_reach(allowed))}; {text}"
    p = rank_test(list(a.values()), list(b.values()))
    order = sum((x < y) - (x > y) for x in a.values() for y in b.values())
    above = f", above 5 % / {family}" if allowed < p <= 1 - LEVEL else ""
    text += f" (Mann–Whitney {'p < 0.001' if p < 0.001 else f'p = {p:.3f}'}{above})"
    if p > allowed or not order:
        return "undecided", f"{undecided}: {text}"
    is_better = (order > 0) != metric.higher_is_better
    winner, loser = (first, second) if is_better else (second, first)
    if fails_more_often(winner, loser):
        return "undecided", f"{undecided}, because {winner.label} fails more often: {text}"
    adjective = metric.better if is_better else metric.worse
    return ("better" if is_better else "worse"), f"{first.label} is {adjective} than {second.label}: {text}"


def compare_sizes(first: Row, second: Row, metric: Metric, one: float, other: float) -> tuple[Decision, str]:
    """Compares without statistics: every seed has the same size."""
    shown = f"{one:,.0f} {metric.unit} against {other:,.0f}"
    if one == other:
        return "equivalent", f"{first.label} and {second.label} are equal in {metric.unit}: {one:,.0f}"
    if (one > other) == metric.higher_is_better:
        return "better", f"{first.label} is {metric.better} than {second.label}: {shown}"
    return "worse", f"{first.label} is {metric.worse} than {second.label}: {shown}"


def _too_few(n: int, m: int, needed: int) -> str:
    """Says that a test of so few can never show anything: "three seeds can never show this; four would"."""
    seeds = in_words(n) if n == m else f"{in_words(n)} and {in_words(m)}"
    return f"{seeds} seeds can never show this; {in_words(needed)} would"


def _counts(first: Row, second: Row, metric: Metric, a: Mapping[int, float], b: Mapping[int, float]) -> str:
    """What the runs of both took, or how many of them reached the level."""
    if metric.kind != "reach":
        one, other = (formatting.level(metric, sum(each.values()) / len(each)) for each in (a, b))
        return f"{one} against {other} in {metric.title}, by order alone because a loss is 0"
    level = metric.title.removeprefix(f"{metric.unit} to ")
    if not all(map(math.isfinite, [*a.values(), *b.values()])):
        one, other = (formatting.reached(list(values.values())) for values in (a, b))
        return f"{level} was {one} of {first.label} and {other.removeprefix('reached ')} of {second.label}"
    if max(len(set(each.values())) for each in (a, b)) > 1:
        return (
            f"to {level}, {first.label} took {_mean(metric, a.values())} and {second.label} {_mean(metric, b.values())}"
        )
    one, other = (f"all {len(each)} runs of {row.label}" for row, each in ((first, a), (second, b)))
    return f"to {level}, {one} took {_mean(metric, a.values())}, and {other} {_mean(metric, b.values())}"


def _mean(metric: Metric, values: Collection[float]) -> str:
    """The mean, with the range where the values differ: "3 epochs", "2.4 epochs (2 to 3)"."""
    mean, low, high = sum(values) / len(values), min(values), max(values)
    shown = formatting.quantity(metric, mean) if mean < 1000 else f"{mean:,.0f} {metric.unit}"
    return shown if low == high else f"{shown} ({low:,.0f} to {high:,.0f})"
