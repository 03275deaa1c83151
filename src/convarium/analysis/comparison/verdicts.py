"""One row against another: the difference, the decision, and the sentence that states it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from convarium.analysis.comparison import formatting
from convarium.analysis.comparison.metrics import Metric
from convarium.analysis.comparison.rows import Decision, Row, share_weights
from convarium.analysis.comparison.run_facts import SELECTED_ON_VALIDATION, marks_of
from convarium.analysis.statistics import (
    LEVEL,
    Difference,
    Equivalence,
    Interval,
    difference,
    equivalence,
    mcnemar,
    rank_test,
    seeds_needed,
)


@dataclass(frozen=True)
class Contrast:
    """`first` against `second` in one metric.

    Attributes:
        decision: about `first`; "equivalent" may come with an interval that excludes 0.
        difference: first minus second; None where there is nothing to subtract.
        equivalence: against the margin; None without a margin or without an interval.
        sentence: the verdict, failures first.
    """

    first: str
    second: str
    decision: Decision
    difference: Difference | None
    equivalence: Equivalence | None
    sentence: str

    @property
    def interval(self) -> Interval | None:
        """The simultaneous 95 % interval of the difference."""
        if self.difference is None or self.difference.low is None or self.difference.high is None:
            return None
        return Interval(self.difference.low, self.difference.high)


def contrast(first: Row, second: Row, metric: Metric, *, family: int = 1, margin: float | None = None) -> Contrast:
    """Compares two rows: paired by seed where they share their initial weights, else by Welch's interval.

    Args:
        first: the row that the sentence is about.
        second: the row that it is compared with.
        metric: the metric in which they are compared.
        family: the number of comparisons whose intervals are simultaneous.
        margin: the difference of accuracy that is too small to matter; None: equivalence is not tested.
    """
    a, b = first.values(metric), second.values(metric)
    paired = share_weights(first, second)

    def conclude(
        decision: Decision, text: str, gap: Difference | None = None, same: Equivalence | None = None
    ) -> Contrast:
        unpaired = sorted(set(a) ^ set(b)) if gap is not None and paired else []
        if unpaired:
            text += f"; seeds that only one of them has are left out ({formatting.listed(unpaired)})"
        return Contrast(first.label, second.label, decision, gap, same, qualify((first, second), metric, text))

    if not a or not b:
        return conclude("undecided", _no_values(first, second, metric, a))
    if metric.kind == "size":
        decision, text = _compare_sizes(first, second, metric, next(iter(a.values())), next(iter(b.values())))
        return Contrast(first.label, second.label, decision, None, None, text)
    if metric.kind == "time" and (first.environment is None or first.environment != second.environment):
        text = f"not compared: {first.label} and {second.label} were timed in different environments"
        return conclude("undecided", text)
    if not all(map(math.isfinite, [*a.values(), *b.values()])):
        decision, text = _compare_ranks(first, second, metric, a, b, family)
        text = qualify((first, second), metric, text, failed_runs_count=True)
        return Contrast(first.label, second.label, decision, None, None, text)
    common = sorted(set(a) & set(b))
    if paired and not common:
        return conclude("undecided", f"undecided: {first.label} and {second.label} have no seed in common")
    x, y = ([a[s] for s in common], [b[s] for s in common]) if paired else (list(a.values()), list(b.values()))
    most = 1.0 if metric.kind == "accuracy" else None
    gap = difference(x, y, paired=paired, family=family, level=LEVEL, most=most)
    if gap.low is None or gap.high is None:
        return conclude("undecided", _no_interval(first, second, metric, gap, x, y), gap)
    same = equivalence(x, y, margin, paired=paired, family=family, level=LEVEL) if margin else None
    decision, text = _decide(first, second, metric, gap, gap.low, gap.high, same)
    return conclude(decision, text, gap, same)


def failures(row: Row) -> str | None:
    """Counts the failed runs: "2 of 5 runs of lenet failed (1 diverged, 1 at chance)"; None if no run failed."""
    if not row.failed:
        return None
    errors = row.failed - row.diverged - row.at_chance
    kinds = [(row.diverged, "diverged"), (row.at_chance, "at chance"), (errors, "stopped by an error")]
    listed = ", ".join(f"{n} {kind}" for n, kind in kinds if n)
    return f"{row.failed} of {formatting.count(len(row.runs), 'run')} of {row.label} failed ({listed})"


def qualify(rows: tuple[Row, ...], metric: Metric, text: str, *, failed_runs_count: bool = False) -> str:
    """Completes a verdict: the failures of its rows come before it, their marks after it.

    Args:
        rows: the rows that the sentence is about.
        metric: the metric that it is about.
        text: the sentence.
        failed_runs_count: whether the sentence counts failed runs too, instead of the trained ones alone.
    """
    failed = [failure for row in rows if (failure := failures(row))]
    if failed:
        trained = "of the trained ones, " if all(row.n for row in rows) and not failed_runs_count else ""
        text = "; ".join([*failed, trained + text])
    marks = dict.fromkeys(
        mark
        for row in rows
        for mark in marks_of(row.runs, metric)
        if metric.on_test or mark == SELECTED_ON_VALIDATION  # the others say nothing about a metric of another split
    )
    return f"{text} [{', '.join(marks)}]" if marks else text


def _no_values(first: Row, second: Row, metric: Metric, first_values: Mapping[int, float]) -> str:
    row = second if first_values else first
    if not row.n:
        return f"undecided: {row.label} has no trained run to compare"
    return f"undecided: no run of {row.label} recorded the {metric.title}"


def _decide(
    first: Row, second: Row, metric: Metric, gap: Difference, low: float, high: float, same: Equivalence | None
) -> tuple[Decision, str]:
    of_metric = f" of {metric.title}" if metric.kind in ("accuracy", "loss") and metric.name != "test_accuracy" else ""
    width, n = (high - low) / 2, formatting.seeds(gap)
    equivalent = same is not None and same.equivalent
    within = f"within {formatting.quantity(metric, same.margin)}" if same is not None else ""
    if low > 0 or high < 0:
        better = (low > 0) == metric.higher_is_better
        sizes = sorted(abs(end) for end in (low, high))
        middle, near, far = formatting.amounts(metric, [abs(gap.mean), *sizes], width)
        text = (
            f"{first.label} is {metric.better if better else metric.worse} than {second.label} by {middle} "
            f"{metric.unit}{of_metric} (95 % interval {near} to {far}, {n})"
        )
        if equivalent:
            return "equivalent", f"{text}, but equivalent {within}"
        return ("better" if better else "worse"), text
    if same is not None and equivalent:
        inner = formatting.amounts(metric, [same.low or 0.0, same.high or 0.0], min(width, same.margin / 10))
        return "equivalent", (
            f"{first.label} is equivalent to {second.label} {within}{of_metric} "
            f"(90 % interval {inner[0]} to {inner[1]}, {n})"
        )
    below, above = formatting.amounts(metric, [low, high], width)
    text = (
        f"undecided: the difference of {first.label} to {second.label} lies between {below} and {above} "
        f"{metric.unit}{of_metric} (95 % interval, {n})"
    )
    return "undecided", text + (_to_resolve(metric, gap, same.margin) if same is not None else "")


def _to_resolve(metric: Metric, gap: Difference, margin: float) -> str:
    """How many seeds would resolve the margin; if as many as there are would, half the margin, and so on."""
    n = min(gap.n_first, gap.n_second)
    resolve = margin
    needed = seeds_needed(gap, resolve)
    while needed is not None and needed.expected <= n:
        resolve /= 2
        needed = seeds_needed(gap, resolve)
    if needed is None:
        return ""
    seeds = formatting.more_seeds(needed, paired=gap.paired)
    return f"; {seeds} would resolve {formatting.quantity(metric, resolve)}"


def _no_interval(first: Row, second: Row, metric: Metric, gap: Difference, x: list[float], y: list[float]) -> str:
    one, other = (f"{row.label} ({formatting.level(metric, sum(v) / len(v))})" for row, v in ((first, x), (second, y)))
    n = formatting.seeds(gap)
    if min(gap.n_first, gap.n_second) < 2:
        text = f"undecided: one seed cannot decide ({one} against {other}, {n})"
        is_of_predictions = metric.name == f"{first.runs[0].result_split}_accuracy"
        return text + (_compare_models(first, second) if is_of_predictions else "")
    if not gap.mean:
        text = f"{first.label} and {second.label} have the same {metric.title} in every seed"
    elif gap.paired:
        size = formatting.quantity(metric, abs(gap.mean))
        text = f"{first.label} and {second.label} differ by the same {size} in every seed"
    else:
        text = f"all seeds of {one} have the same value, and so have all seeds of {other}"
    return f"undecided: {text} ({n}), so there is no spread to judge by"


def _compare_models(first: Row, second: Row) -> str:
    """McNemar's test, for one trained model against one."""
    if (first.n, second.n) != (1, 1):
        return ""
    one, other = first.trained[0].predictions(), second.trained[0].predictions()
    if one is None or other is None or len(one[1]) != len(other[1]) or (one[1] != other[1]).any():
        return ""
    test = mcnemar(one[0].argmax(1), other[0].argmax(1), one[1])
    p = "p < 0.001" if test.p_value < 0.001 else f"p = {test.p_value:.3f}"
    return (
        f"; of {test.n:,} {first.runs[0].result_split} images, {test.only_first:,} are right in the first of these "
        "two trained models only "
        f"and {test.only_second:,} in the second only (exact McNemar {p})"
    )


def _compare_ranks(
    first: Row, second: Row, metric: Metric, a: Mapping[int, float], b: Mapping[int, float], family: int
) -> tuple[Decision, str]:
    """Mann–Whitney's test by permutation: of runs that never reached a level only the order is known."""
    budgets = {run.recipe.epochs for row in (first, second) for run in row.runs}
    level = metric.title.removeprefix(f"{metric.unit} to ")
    one, other = (formatting.reached(list(values.values())) for values in (a, b))
    text = f"{level} was {one} of {first.label} and {other.removeprefix('reached ')} of {second.label}"
    if len(budgets) > 1:
        return "undecided", f"undecided: {text}, which had different budgets"
    p = rank_test(list(a.values()), list(b.values()))
    order = sum((x < y) - (x > y) for x in a.values() for y in b.values())
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    if p > (1 - LEVEL) / family or not order:
        return "undecided", f"undecided: {text} (Mann–Whitney {shown})"
    decision: Decision = "better" if order > 0 else "worse"
    adjective = metric.better if order > 0 else metric.worse
    return decision, f"{first.label} is {adjective} than {second.label}: {text} (Mann–Whitney {shown})"


def _compare_sizes(first: Row, second: Row, metric: Metric, one: float, other: float) -> tuple[Decision, str]:
    """Compares without statistics: every seed has the same size."""
    shown = f"{one:,.0f} {metric.unit} against {other:,.0f}"
    if one == other:
        return "equivalent", f"{first.label} and {second.label} are equal in {metric.unit}: {one:,.0f}"
    if (one > other) == metric.higher_is_better:
        return "better", f"{first.label} is {metric.better} than {second.label}: {shown}"
    return "worse", f"{first.label} is {metric.worse} than {second.label}: {shown}"
