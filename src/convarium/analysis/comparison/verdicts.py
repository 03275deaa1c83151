"""One row against another: the difference, the decision, and the sentence that states it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from convarium.analysis.comparison import formatting
from convarium.analysis.comparison.failures import LEAST_SEEDS, Failing, failing, fails_more_often, qualify
from convarium.analysis.comparison.metrics import Metric
from convarium.analysis.comparison.relative_errors import relative_error
from convarium.analysis.comparison.rows import Decision, Row, share_weights
from convarium.analysis.comparison.timing import what_differs
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
        decision: about `first`; "equivalent" may come with an interval that excludes 0. Fewer than `LEAST_SEEDS` of
            either decide nothing, and a row that fails more often than the other is neither better nor equivalent.
            Where the metric leaves it undecided and Fisher's test shows that one fails more often, that is decided.
        difference: first minus second; None where there is nothing to subtract.
        equivalence: against the margin; None without a margin or without an interval.
        sentence: the verdict; it begins with `first`, and with its failures if it has any.
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
    failed = failing(first, second, family=family)

    def conclude(
        decision: Decision,
        text: str,
        gap: Difference | None = None,
        same: Equivalence | None = None,
        *,
        failed_runs_count: bool = False,
    ) -> Contrast:
        is_apart = gap is not None and gap.low is not None and gap.high is not None and gap.low * gap.high > 0
        if is_apart and decision in ("better", "worse", "equivalent"):
            text += relative_error(metric, first, second)
        unpaired = sorted(set(a) ^ set(b)) if gap is not None and paired else []
        if unpaired:
            text += f"; seeds that only one of them has are left out ({formatting.listed(unpaired)})"
        if decision == "undecided" and failed is not None and failed.decision and metric.kind != "time":
            decision = failed.decision
        text = qualify((first, second), metric, text, found=failed, failed_runs_count=failed_runs_count)
        return Contrast(first.label, second.label, decision, gap, same, text)

    if not a or not b:
        return conclude("undecided", _no_values(first, second, metric, failed))
    if metric.kind == "size":
        decision, text = _compare_sizes(first, second, metric, next(iter(a.values())), next(iter(b.values())))
        return Contrast(first.label, second.label, decision, None, None, text)
    if metric.kind == "time" and (first.timed_in is None or first.timed_in != second.timed_in):
        differ = what_differs([*first.environments, *second.environments])
        text = f"{first.label} is not compared with {second.label}: they were timed in environments that differ in "
        return conclude("undecided", text + differ)
    if not all(map(math.isfinite, [*a.values(), *b.values()])):
        return conclude(*_compare_ranks(first, second, metric, a, b, family), failed_runs_count=True)
    common = sorted(set(a) & set(b))
    if paired and not common:
        return conclude("undecided", f"{_undecided(first, second)}: they have no seed in common")
    x, y = ([a[s] for s in common], [b[s] for s in common]) if paired else (list(a.values()), list(b.values()))
    most = 1.0 if metric.kind == "accuracy" else None
    gap = difference(x, y, paired=paired, family=family, level=LEVEL, most=most)
    if gap.low is None or gap.high is None:
        return conclude("undecided", _no_interval(first, second, metric, gap, x, y), gap)
    same = equivalence(x, y, margin, paired=paired, family=family, level=LEVEL) if margin else None
    decision, text = _decide(first, second, metric, gap, gap.low, gap.high, same)
    return conclude(decision, text, gap, same)


def _no_values(first: Row, second: Row, metric: Metric, failed: Failing | None) -> str:
    row = second if first.values(metric) else first
    if row.n:
        return f"{_undecided(first, second)}: no run of {row.label} recorded the {metric.title}"
    if failed is not None and failed.decision:
        return f"their {metric.title} is not compared, because {row.label} has no trained run"
    return f"{_undecided(first, second)}: {row.label} has no trained run to compare"


def _undecided(first: Row, second: Row) -> str:
    return f"{first.label} against {second.label} is undecided"


def _decide(
    first: Row, second: Row, metric: Metric, gap: Difference, low: float, high: float, same: Equivalence | None
) -> tuple[Decision, str]:
    of_metric = f" of {metric.title}" if metric.kind in ("accuracy", "loss") and metric.name != "test_accuracy" else ""
    width, n = (high - low) / 2, formatting.seeds(gap)
    equivalent = same is not None and same.equivalent
    within = f"within {formatting.quantity(metric, same.margin)}" if same is not None else ""
    after = _after(first, second) if metric.kind in ("accuracy", "loss") else ""
    reason = _forbids(first, second, metric, gap, equivalent=equivalent)
    if (low > 0 or high < 0) and not reason:
        better = (low > 0) == metric.higher_is_better
        sizes = sorted(abs(end) for end in (low, high))
        middle, near, far = formatting.amounts(metric, [abs(gap.mean), *sizes], width)
        text = (
            f"{first.label} is {metric.better if better else metric.worse} than {second.label} by {middle} "
            f"{metric.unit}{of_metric}{after} (95 % interval {near} to {far}, {n})"
        )
        if equivalent:
            return "equivalent", f"{text}, but equivalent {within}"
        return ("better" if better else "worse"), text
    if same is not None and equivalent and not reason:
        inner = formatting.amounts(metric, [same.low or 0.0, same.high or 0.0], min(width, same.margin / 10))
        return "equivalent", (
            f"{first.label} is equivalent to {second.label} {within}{of_metric}{after} "
            f"(90 % interval {inner[0]} to {inner[1]}, {n})"
        )
    below, above = formatting.amounts(metric, [low, high], width)
    text = (
        f"{_undecided(first, second)}{reason}: the difference lies between {below} and {above} "
        f"{metric.unit}{of_metric}{after} (95 % interval, {n})"
    )
    return "undecided", text + (_to_resolve(metric, gap, same.margin) if same is not None and not reason else "")


def _to_resolve(metric: Metric, gap: Difference, margin: float) -> str:
    """How many seeds would show the margin, or half of it where as many as there are would, and so on; and how many a
    difference as large as the one that was seen.
    """
    n = min(gap.n_first, gap.n_second)
    resolve = margin
    needed = seeds_needed(gap, resolve)
    while needed is not None and needed.expected <= n:
        resolve /= 2
        needed = seeds_needed(gap, resolve)
    if needed is None:
        return ""
    seeds = formatting.more_seeds(needed, paired=gap.paired)
    text = f"; to detect {formatting.quantity(metric, resolve)} you would need {seeds}"
    as_seen = seeds_needed(gap, abs(gap.mean)) if abs(gap.mean) > resolve else None
    if as_seen is None or as_seen.expected <= n or as_seen == needed:
        return text
    seeds = formatting.more_seeds(as_seen, paired=gap.paired).removesuffix(" each")
    return f"{text}, and {seeds} for the {formatting.quantity(metric, abs(gap.mean))} seen here"


def _no_interval(first: Row, second: Row, metric: Metric, gap: Difference, x: list[float], y: list[float]) -> str:
    one, other = (formatting.level(metric, sum(values) / len(values)) for values in (x, y))
    n, undecided = formatting.seeds(gap), _undecided(first, second)
    if min(gap.n_first, gap.n_second) < 2:
        text = f"{undecided}: one seed cannot decide ({one} against {other}, {n})"
        is_of_predictions = metric.name == f"{first.runs[0].result_split}_accuracy"
        return text + (_compare_models(first, second) if is_of_predictions else "")
    if not gap.mean:
        text = f"both have the same {metric.title} in every seed"
    elif gap.paired:
        text = f"they differ by the same {formatting.quantity(metric, abs(gap.mean))} in every seed"
    else:
        text = f"all seeds of the first have the same value ({one}), and so have all of the second ({other})"
    return f"{undecided}: {text} ({n}), so there is no spread to judge by"


def _forbids(first: Row, second: Row, metric: Metric, gap: Difference, *, equivalent: bool) -> str:
    """Why a difference or an equivalence decides nothing although the numbers would; "" if it may."""
    if min(gap.n_first, gap.n_second) < LEAST_SEEDS:
        return f", because fewer than {LEAST_SEEDS} seeds decide nothing"
    winner, loser = (first, second) if (gap.mean > 0) == metric.higher_is_better else (second, first)
    if equivalent:  # neither of the two is allowed to fail more often
        winner, loser = sorted((first, second), key=lambda row: row.failed / len(row.runs), reverse=True)
    significant = gap.low is not None and gap.high is not None and (gap.low > 0 or gap.high < 0)
    if (significant or equivalent) and fails_more_often(winner, loser):
        return f", because {winner.label} fails more often"
    return ""


def _after(first: Row, second: Row) -> str:
    """Says of rows that were still learning after how many epochs they were compared."""
    if not (first.still_learning or second.still_learning):
        return ""
    epochs = list(dict.fromkeys(row.runs[0].recipe.epochs for row in (first, second)))
    return f" after {' and '.join(map(str, epochs))} {'epoch' if epochs == [1] else 'epochs'}"


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
        return "undecided", f"{_undecided(first, second)}: {text}, which had different budgets"
    p = rank_test(list(a.values()), list(b.values()))
    order = sum((x < y) - (x > y) for x in a.values() for y in b.values())
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    if p > (1 - LEVEL) / family or not order:
        return "undecided", f"{_undecided(first, second)}: {text} (Mann–Whitney {shown})"
    decision: Decision = "better" if order > 0 else "worse"
    winner, loser = (first, second) if order > 0 else (second, first)
    if fails_more_often(winner, loser):
        reason = f", because {winner.label} fails more often"
        return "undecided", f"{_undecided(first, second)}{reason}: {text} (Mann–Whitney {shown})"
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
