"""One row against another: the difference, the decision, and the sentence that states it."""

import math
from dataclasses import dataclass

from convarium.analysis.comparison import formatting
from convarium.analysis.comparison.failures import Failing, failing, fails_more_often, qualify
from convarium.analysis.comparison.metrics import Metric
from convarium.analysis.comparison.orders import compare_orders, compare_sizes
from convarium.analysis.comparison.relative_errors import relative_error
from convarium.analysis.comparison.rows import Decision, Row, share_weights
from convarium.analysis.comparison.timing import what_differs
from convarium.analysis.statistics import (
    LEAST_SEEDS,
    LEVEL,
    Difference,
    Equivalence,
    Interval,
    difference,
    equivalence,
    mcnemar,
    seeds_needed,
)

_FEW = f"fewer than {LEAST_SEEDS} seeds decide nothing"


@dataclass(frozen=True)
class Contrast:
    """`first` against `second` in one metric.

    Attributes:
        decision: about `first`; "equivalent" may come with an interval that excludes 0. Fewer than `LEAST_SEEDS` of
            either decide nothing, and a row that fails more often than the other is neither better nor equivalent.
            Where the metric leaves it undecided and Fisher's test shows that one fails more often, that is decided.
        difference: first minus second, of losses first divided by second; None where there is nothing to subtract.
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
        """The simultaneous 95 % interval of the difference; of a ratio that of its logarithm, so that 0 is no
        difference.
        """
        gap = self.difference
        if gap is None or gap.low is None or gap.high is None:
            return None
        return Interval(math.log(gap.low), math.log(gap.high)) if gap.is_ratio else Interval(gap.low, gap.high)


def contrast(first: Row, second: Row, metric: Metric, *, family: int = 1, margin: float | None = None) -> Contrast:
    """Compares two rows: paired by seed where they share their initial weights, else by Welch's interval.

    Losses are compared by their ratio, and by their order alone where one is 0; so are epochs up to a level.

    Args:
        first: the row that the sentence is about.
        second: the row that it is compared with.
        metric: the metric in which they are compared.
        family: the number of comparisons whose intervals are simultaneous.
        margin: the difference that is too small to matter, of losses as a share; None: equivalence is not tested.
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
        if gap is not None and gap.side and decision in ("better", "worse", "equivalent"):
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
        decision, text = compare_sizes(first, second, metric, next(iter(a.values())), next(iter(b.values())))
        return Contrast(first.label, second.label, decision, None, None, text)
    if metric.kind == "time" and (first.timed_in is None or first.timed_in != second.timed_in):
        differ = what_differs([*first.environments, *second.environments])
        text = f"{first.label} is not compared with {second.label}: they were timed in environments that differ in "
        return conclude("undecided", text + differ)
    if metric.kind == "reach" or (metric.kind == "loss" and min(*a.values(), *b.values()) <= 0):
        found = compare_orders(first, second, metric, a=a, b=b, family=family)
        return conclude(*found, failed_runs_count=metric.kind == "reach")
    common = sorted(set(a) & set(b))
    if paired and not common:
        return conclude("undecided", f"{_undecided(first, second)}: they have no seed in common")
    x, y = ([a[s] for s in common], [b[s] for s in common]) if paired else (list(a.values()), list(b.values()))
    is_ratio, possible = metric.kind == "loss", 1.0 if metric.scale == "logit" else None
    gap = difference(x, y, paired=paired, family=family, level=LEVEL, ratio=is_ratio, possible=possible)
    if gap.low is None or gap.high is None or formatting.tells_nothing(gap):
        return conclude("undecided", _no_interval(first, second, metric, gap, x, y), gap)
    same = equivalence(x, y, margin, paired=paired, family=family, level=LEVEL, ratio=is_ratio) if margin else None
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
    of_metric = f" of {metric.title}" if metric.kind == "accuracy" and metric.name != "test_accuracy" else ""
    n = formatting.seeds(gap)
    equivalent = same is not None and same.equivalent
    within = f"within {formatting.margin(metric, same.margin)}" if same is not None else ""
    after = _after(first, second) if metric.kind in ("accuracy", "loss") else ""
    wider = _wider(gap, gap.family)
    reason = _forbids(first, second, metric, gap, equivalent=equivalent)
    if gap.side and not reason:
        better = (gap.side > 0) == metric.higher_is_better
        text = f"{first.label} is {metric.better if better else metric.worse} than {second.label}"
        middle, near, far = formatting.sizes(metric, gap, [gap.mean, low, high])
        beyond = f"{near} or more" if metric.scale == "logit" and max(-low, high) > 1 else f"{near} to {far}"
        interval = f"(95 % interval {beyond}{wider}, {n})"
        if gap.is_ratio:
            text += f"{after}: its {metric.title} is {middle} times as large {interval}"
        else:
            text += f" by {middle} {metric.unit}{of_metric}{after} {interval}"
        if equivalent:
            return "equivalent", f"{text}, but equivalent {within}"
        return ("better" if better else "worse"), text
    if same is not None and equivalent and not reason:
        inner = formatting.differences(metric, gap, [same.low or 0.0, same.high or 0.0], margin=same.margin)
        if gap.is_ratio:
            within, of_metric, inner[1] = f"{within} of its {metric.title}", "", f"{inner[1]} times as large"
        return "equivalent", (
            f"{first.label} is equivalent to {second.label} {within}{of_metric}{after} "
            f"(90 % interval {inner[0]} to {inner[1]}{_wider(same, gap.family)}, {n})"
        )
    below, above = formatting.differences(metric, gap, [low, high])
    lies = (
        f"the {metric.title} of {first.label} is {below} to {above} times as large{after}"
        if gap.is_ratio
        else f"the difference lies between {below} and {above} {metric.unit}{of_metric}{after}"
    )
    text = f"{_undecided(first, second)}{reason}: {lies} (95 % interval{wider}, {n})"
    return "undecided", text + (_to_resolve(metric, gap, same.margin) if same is not None and not reason else "")


def _wider(found: Difference | Equivalence, family: int) -> str:
    """Why an interval is wider than usual; "" if it is not."""
    if found.is_unlike:
        return ", wider because the spreads are unlike"
    return f", wider because few seeds are compared in a family of {family}" if found.caution > 1 else ""


def _to_resolve(metric: Metric, gap: Difference, margin: float) -> str:
    """How many seeds would show the margin, or half of it where as many as there are would, and so on; and how many a
    difference as large as the one that was seen. Nothing where spreads are unlike: their t-test is no guide.
    """
    if gap.is_unlike:
        return ""
    n, resolve = min(gap.n_first, gap.n_second), margin
    needed = seeds_needed(gap, _distance(gap, resolve))
    while needed is not None and needed.expected <= n:
        resolve /= 2
        needed = seeds_needed(gap, _distance(gap, resolve))
    if needed is None:
        return ""
    seeds = formatting.more_seeds(needed, paired=gap.paired)
    text = f"; to detect {formatting.margin(metric, resolve)} you would need {seeds}"
    seen = max(gap.mean, 1 / gap.mean) - 1 if gap.is_ratio else abs(gap.mean)
    as_seen = seeds_needed(gap, _distance(gap, seen)) if seen > resolve else None
    if as_seen is None or as_seen.expected <= n or as_seen == needed:
        return text
    seeds = formatting.more_seeds(as_seen, paired=gap.paired).removesuffix(" each")
    return f"{text}, and {seeds} for the {formatting.margin(metric, seen)} seen here"


def _distance(gap: Difference, size: float) -> float:
    """A difference on the scale of `gap.deviation`: 20 % of a ratio is log(1.2)."""
    return math.log1p(size) if gap.is_ratio else size


def _no_interval(first: Row, second: Row, metric: Metric, gap: Difference, x: list[float], y: list[float]) -> str:
    one, other = (formatting.level(metric, sum(values) / len(values)) for values in (x, y))
    n, undecided = formatting.seeds(gap), _undecided(first, second)
    if min(gap.n_first, gap.n_second) < 2:
        text = f"{undecided}: one seed cannot decide ({one} against {other}, {n})"
        is_of_predictions = metric.name == f"{first.runs[0].result_split}_accuracy"
        return text + (_compare_models(first, second) if is_of_predictions else "")
    if gap.deviation and min(gap.n_first, gap.n_second) < LEAST_SEEDS:
        return f"{undecided}, because {_FEW} ({one} against {other}, {n})"
    if gap.deviation:
        return (
            f"{undecided}: the runs scatter so widely that the difference may be anything ({one} against {other}, {n})"
        )
    if gap.mean == float(gap.is_ratio):
        text = f"both have the same {metric.title} in every seed"
    elif gap.paired:
        same = "factor" if gap.is_ratio else formatting.quantity(metric, abs(gap.mean))
        text = f"they differ by the same {same} in every seed"
    else:
        text = f"all {gap.n_first} runs of {first.label} have {one}, and all {gap.n_second} of {second.label} {other}"
    return f"{undecided}: {text} ({n}), so there is no spread to judge by"


def _forbids(first: Row, second: Row, metric: Metric, gap: Difference, *, equivalent: bool) -> str:
    """Why a difference or an equivalence decides nothing although the numbers would; "" if it may."""
    if min(gap.n_first, gap.n_second) < LEAST_SEEDS:
        return f", because {_FEW}"
    winner, loser = (first, second) if (gap.side > 0) == metric.higher_is_better else (second, first)
    if equivalent:  # neither of the two is allowed to fail more often
        winner, loser = sorted((first, second), key=lambda row: row.failed / len(row.runs), reverse=True)
    if (gap.side or equivalent) and fails_more_often(winner, loser):
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
