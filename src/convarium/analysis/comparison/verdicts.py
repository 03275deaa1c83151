"""One row against another: the difference, the decision, and the sentence that says it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from convarium.analysis.comparison import formatting
from convarium.analysis.comparison.metrics import Metric
from convarium.analysis.comparison.rows import Decision, Row, marks_of, share_weights
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
        decision: of `first`; "equivalent" may go with an interval that leaves out 0.
        difference: first minus second; None where there is nothing to subtract.
        equivalence: against the margin; None where there is no margin or no interval.
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
        """Of the difference, simultaneous at 95 %."""
        found = self.difference
        return None if found is None or found.low is None or found.high is None else Interval(found.low, found.high)


def contrast(first: Row, second: Row, metric: Metric, *, family: int = 1, margin: float | None = None) -> Contrast:
    """Compares two rows: paired by seed where they share their initial weights, else by Welch's interval.

    Args:
        first: the row that the sentence is about.
        second: what it is compared with.
        metric: of the comparison.
        family: number of comparisons whose intervals hold at once.
        margin: the difference of accuracy too small to matter; None: equivalence is no question.
    """
    a, b = first.values(metric), second.values(metric)
    paired = share_weights(first, second)

    def say(
        decision: Decision, text: str, found: Difference | None = None, same: Equivalence | None = None
    ) -> Contrast:
        apart = sorted(set(a) ^ set(b)) if found is not None and paired else []
        if apart:
            text += f"; seeds that only one of them has are left out ({formatting.listed(apart)})"
        return Contrast(first.label, second.label, decision, found, same, tell((first, second), metric, text))

    if not a or not b:
        return say("undecided", _nothing(first, second, metric, a))
    if metric.kind == "size":
        decision, text = _sizes(first, second, metric, next(iter(a.values())), next(iter(b.values())))
        return Contrast(first.label, second.label, decision, None, None, text)
    if metric.kind == "time" and (first.environment is None or first.environment != second.environment):
        text = f"not compared: {first.label} and {second.label} were timed in different environments"
        return say("undecided", text)
    if not all(map(math.isfinite, [*a.values(), *b.values()])):
        decision, text = _censored(first, second, metric, a, b, family)
        text = tell((first, second), metric, text, of_all=True)
        return Contrast(first.label, second.label, decision, None, None, text)
    common = sorted(set(a) & set(b))
    if paired and not common:
        return say("undecided", f"undecided: {first.label} and {second.label} have no seed in common")
    x, y = ([a[s] for s in common], [b[s] for s in common]) if paired else (list(a.values()), list(b.values()))
    found = difference(x, y, paired=paired, family=family, level=LEVEL)
    if found.low is None or found.high is None:
        return say("undecided", _no_interval(first, second, metric, found, x, y), found)
    same = equivalence(x, y, margin, paired=paired, family=family, level=LEVEL) if margin else None
    decision, text = _decide(first, second, metric, found, found.low, found.high, same)
    return say(decision, text, found, same)


def failures(row: Row) -> str | None:
    """What a verdict says first: "2 of 5 runs of lenet failed (1 diverged, 1 at chance)"; None where none failed."""
    if not row.failed:
        return None
    errors = row.failed - row.diverged - row.at_chance
    kinds = [(row.diverged, "diverged"), (row.at_chance, "at chance"), (errors, "broken off by an error")]
    told = ", ".join(f"{n} {kind}" for n, kind in kinds if n)
    return f"{row.failed} of {formatting.count(len(row.runs), 'run')} of {row.label} failed ({told})"


def tell(rows: tuple[Row, ...], metric: Metric, text: str, *, of_all: bool = False) -> str:
    """A sentence with the failures of its rows before it and their marks behind it.

    Args:
        rows: that the sentence is about.
        metric: that it speaks of.
        text: the sentence.
        of_all: it counts the failed runs too.
    """
    told = [failure for row in rows if (failure := failures(row))]
    if told:
        trained = "of the trained ones, " if all(row.n for row in rows) and not of_all else ""
        text = "; ".join([*told, trained + text])
    marks = dict.fromkeys(mark for row in rows for mark in marks_of(row.runs, metric)) if metric.on_test else {}
    return f"{text} [{', '.join(marks)}]" if marks else text


def _nothing(first: Row, second: Row, metric: Metric, first_values: Mapping[int, float]) -> str:
    row = second if first_values else first
    if not row.n:
        return f"undecided: {row.label} has no trained run to compare"
    return f"undecided: no run of {row.label} recorded the {metric.title}"


def _decide(
    first: Row, second: Row, metric: Metric, found: Difference, low: float, high: float, same: Equivalence | None
) -> tuple[Decision, str]:
    of = f" of {metric.title}" if metric.kind in ("accuracy", "loss") and metric.name != "test_accuracy" else ""
    width, n = (high - low) / 2, formatting.seeds(found)
    equivalent = same is not None and same.equivalent
    within = f"within {formatting.quantity(metric, same.margin)}" if same is not None else ""
    if low > 0 or high < 0:
        better = (low > 0) == metric.higher_is_better
        sizes = sorted(abs(end) for end in (low, high))
        middle, near, far = formatting.amounts(metric, [abs(found.mean), *sizes], width)
        told = metric.better if better else metric.worse
        text = (
            f"{first.label} is {told} than {second.label} by {middle} {metric.unit}{of} "
            f"(95 % interval {near} to {far}, {n})"
        )
        if equivalent:
            return "equivalent", f"{text}, but equivalent {within}"
        return ("better" if better else "worse"), text
    if same is not None and equivalent:
        inner = formatting.amounts(metric, [same.low or 0.0, same.high or 0.0], min(width, same.margin / 10))
        return "equivalent", (
            f"{first.label} is equivalent to {second.label} {within}{of} (90 % interval {inner[0]} to {inner[1]}, {n})"
        )
    below, above = formatting.amounts(metric, [low, high], width)
    text = (
        f"undecided: the difference of {first.label} to {second.label} lies between {below} and {above} "
        f"{metric.unit}{of} (95 % interval, {n})"
    )
    return "undecided", text + (_to_resolve(metric, found, same.margin) if same is not None else "")


def _to_resolve(metric: Metric, found: Difference, margin: float) -> str:
    """How many seeds would tell a difference that matters; where n already would, half of it, and so on."""
    n = min(found.n_first, found.n_second)
    resolve = margin
    needed = seeds_needed(found, resolve)
    while needed is not None and needed.expected <= n:
        resolve /= 2
        needed = seeds_needed(found, resolve)
    if needed is None:
        return ""
    return f"; {formatting.more_seeds(needed, found.paired)} would resolve {formatting.quantity(metric, resolve)}"


def _no_interval(first: Row, second: Row, metric: Metric, found: Difference, x: list[float], y: list[float]) -> str:
    one, other = (f"{row.label} ({formatting.level(metric, sum(v) / len(v))})" for row, v in ((first, x), (second, y)))
    n = formatting.seeds(found)
    if min(found.n_first, found.n_second) < 2:
        text = f"undecided: one seed decides nothing ({one} against {other}, {n})"
        return text + (_single_models(first, second) if metric.name == "test_accuracy" else "")
    if not found.mean:
        text = f"{first.label} and {second.label} gave the same {metric.title} in every seed"
    elif found.paired:
        text = (
            f"every seed puts {formatting.quantity(metric, abs(found.mean))} between {first.label} and {second.label}"
        )
    else:
        text = f"all seeds of {one} gave the same, and all of {other}"
    return f"undecided: {text} ({n}), which leaves no spread to judge by"


def _single_models(first: Row, second: Row) -> str:
    """McNemar's test, where one trained model stands against one."""
    if (first.n, second.n) != (1, 1):
        return ""
    one, other = first.trained[0].predictions(), second.trained[0].predictions()
    if one is None or other is None or len(one[1]) != len(other[1]) or (one[1] != other[1]).any():
        return ""
    found = mcnemar(one[0].argmax(1), other[0].argmax(1), one[1])
    p = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.3f}"
    return (
        f"; of {found.n:,} test images, {found.only_first:,} are right in the first of these two trained models only "
        f"and {found.only_second:,} in the second only (exact McNemar {p})"
    )


def _censored(
    first: Row, second: Row, metric: Metric, a: Mapping[int, float], b: Mapping[int, float], family: int
) -> tuple[Decision, str]:
    """Where some runs never reached a level only the order of the runs is known: Mann–Whitney, by permutation."""
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
    told = metric.better if order > 0 else metric.worse
    return decision, f"{first.label} is {told} than {second.label}: {text} (Mann–Whitney {shown})"


def _sizes(first: Row, second: Row, metric: Metric, one: float, other: float) -> tuple[Decision, str]:
    """What every seed has alike is a fact, not an estimate."""
    shown = f"{one:,.0f} {metric.unit} against {other:,.0f}"
    if one == other:
        return "equivalent", f"{first.label} and {second.label} are equal in {metric.unit}: {one:,.0f}"
    if (one > other) == metric.higher_is_better:
        return "better", f"{first.label} is {metric.better} than {second.label}: {shown}"
    return "worse", f"{first.label} is {metric.worse} than {second.label}: {shown}"
