"""The first sentence of a comparison: who leads, by how much, how sure that is, who is worse, and what failed.

The pairs that it speaks of are the leader's. Those with the baseline are the table's own. The others were chosen after
the means were seen, so their intervals are simultaneous (Bonferroni) over every pair of rows without the baseline that
could have been chosen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from convarium.analysis.comparison import formatting
from convarium.analysis.comparison.failures import fails_more_often
from convarium.analysis.comparison.metrics import Metric
from convarium.analysis.comparison.ranking import rank
from convarium.analysis.comparison.rows import Decision, Row
from convarium.analysis.comparison.verdicts import contrast
from convarium.analysis.statistics import Difference

MOST_NAMED = 3
"""Of more rows than these the first two are named, and the others counted."""

_LEADS = {"better": "leads", "faster": "is fastest", "smaller": "is smallest", "cheaper": "is cheapest"}
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True)
class Standing:
    """A row beside the leader.

    Attributes:
        row: the row.
        decision: about it, against the leader.
        gap: the row minus the leader; None where only their order or their sizes are compared.
    """

    row: Row
    decision: Decision
    gap: Difference | None

    @property
    def is_apart(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        gap = self.gap
        return gap is not None and gap.low is not None and gap.high is not None and (gap.low > 0 or gap.high < 0)


def answer_of(
    rows: Sequence[Row], *, baseline: str | None, metric: Metric, margin: float | None, noun: str = "network"
) -> str:
    """The answer to a comparison's question, in at most three sentences.

    Args:
        rows: with their decisions.
        baseline: the label of the row that the table compares the others with; None: there is one row.
        metric: the metric that is compared.
        margin: the difference that is too small to matter; None: equivalence is not tested.
        noun: what a row is, where several are counted.
    """
    if not rows:
        return "No run has finished yet."
    told = [row for row in rank(rows, metric) if row.decision != "failed" and row.values(metric)]
    last = [text for text in (_failed(rows, noun), _still_learning(told, noun)) if text]
    if not told:
        if all(row.n == 0 for row in rows):
            return _sentences([_all_failed(rows, noun)])
        reason = "every row failed in most of its runs" if any(row.failed for row in rows) else ""
        return _sentences([reason or f"no run recorded the {metric.title}", "; ".join(last)])
    leader, *others = told
    if not others:
        return _sentences([_alone(leader, metric, others_failed=len(rows) > 1), "; ".join(last)])
    if metric.kind == "time" and len({row.environment for row in told} | {None}) != 2:
        text = f"the {metric.title} cannot be compared, because it was measured in several environments"
        return _sentences([text, "; ".join(last)])
    if not any(map(math.isfinite, leader.values(metric).values())):
        return _sentences([f"no run reached {metric.title.removeprefix(f'{metric.unit} to ')}", "; ".join(last)])
    standings = standings_of(rows, leader, others, baseline=baseline, margin=margin)
    return _sentences([*_lead(leader, standings, metric, margin, noun), "; ".join(last)])


def standings_of(
    rows: Sequence[Row], leader: Row, others: Sequence[Row], *, baseline: str | None, margin: float | None
) -> list[Standing]:
    """Every other row against the leader; see the module's docstring for the families of their intervals."""
    family = max((len(rows) - 1) * (len(rows) - 2) // 2, 1)
    opposite: dict[Decision, Decision] = {"better": "worse", "worse": "better"}
    found = []
    for row in others:
        if leader.label == baseline:
            found.append(Standing(row, row.decision, row.difference))
        elif row.label == baseline:
            gap = leader.difference
            found.append(Standing(row, opposite.get(leader.decision, leader.decision), gap and _turned(gap)))
        else:
            pair = contrast(row, leader, leader.metric, family=family, margin=margin)
            found.append(Standing(row, pair.decision, pair.difference))
    return found


def _turned(gap: Difference) -> Difference:
    low, high = (None if end is None else -end for end in (gap.high, gap.low))
    return replace(gap, mean=-gap.mean, low=low, high=high, n_first=gap.n_second, n_second=gap.n_first)


def _lead(leader: Row, standings: list[Standing], metric: Metric, margin: float | None, noun: str) -> tuple[str, str]:
    """The first sentence, about the leader and those that may be as good, and the second, about those that are not."""
    worse = [each for each in standings if each.decision == "worse"]
    level = [each for each in standings if each.decision == "equivalent" and metric.kind != "size"]
    tied = [each for each in standings if _mean(each.row) is not None and _mean(each.row) == _mean(leader)]
    told = [*worse, *level, *tied]
    open_ = [each for each in standings if each not in told]
    text = f"{leader.label} {_LEADS[metric.better]} with {_value(leader, metric)}"
    if tied:
        names = formatting.listed([leader.label, *(each.row.label for each in tied)])
        text = f"{names} are level at {_value(leader, metric)}"
    if open_:
        text += f", but {_cannot_separate(leader, open_, metric, noun)}"
    level = [each for each in level if each not in tied]
    if level and margin is not None:
        names = _named([each.row for each in level], metric, noun)
        text += f"; within {formatting.quantity(metric, margin)}, {names} {_is(level)} equivalent to it"
    if worse and not (open_ or level or tied):
        runner_up, *worse = worse
        text += f", {metric.better} than {runner_up.row.label}{_by(runner_up, leader, metric, is_told=True)}"
    return text, _worse(leader, worse, metric, others=len(standings), noun=noun)


def _cannot_separate(leader: Row, open_: list[Standing], metric: Metric, noun: str) -> str:
    """Why rows that are behind are not called worse; the most frequent reason stands for all."""
    names = _named([each.row for each in open_], metric, noun)
    if all(each.decision == "better" for each in open_):
        return f"on the seeds that both have, {names} {_is(open_)} {metric.better}"
    if all(each.is_apart and fails_more_often(leader, each.row) for each in open_) and _least(leader, open_) > 2:
        return f"it fails more often than {names}"
    counts = {row.n for row in (leader, *(each.row for each in open_))}
    seeds = formatting.count(counts.pop(), "seed") if len(counts) == 1 else "the seeds"
    first, _, rest = seeds.partition(" ")
    seeds = f"{_number(int(first))} {rest}" if first.isdigit() else seeds
    without = all(each.gap is not None and each.gap.low is None for each in open_) and _least(leader, open_) > 1
    return f"{seeds}{' without spread' if without else ''} cannot separate it from {names}"


def _least(leader: Row, standings: list[Standing]) -> int:
    return min(row.n for row in (leader, *(each.row for each in standings)))


def _worse(leader: Row, worse: list[Standing], metric: Metric, *, others: int, noun: str) -> str:
    if not worse:
        return ""
    if len(worse) <= MOST_NAMED:
        first, *rest = worse
        texts = [f"{first.row.label} is {metric.worse}{_by(first, leader, metric)}"]
        texts += [f"{each.row.label}{_by(each, leader, metric)}" for each in rest]
        return formatting.listed(texts)
    counted = f"{'the other ' if len(worse) == others - 1 else ''}{_number(len(worse))} {noun}s"
    sizes = [size for each in (worse[0], worse[-1]) if (size := _by(each, leader, metric))]
    text = f"{counted} are {metric.worse}"
    return f"{text},{sizes[0]} to {sizes[1].removeprefix(' by ')}" if len(sizes) > 1 else text


def _by(standing: Standing, leader: Row, metric: Metric, *, is_told: bool = False) -> str:
    """The size of a difference: " by 4.7 points"; "" where only the order is known.

    Args:
        standing: of the row.
        leader: the row that it is compared with.
        metric: of both.
        is_told: whether the interval and the seeds are told too.
    """
    gap = standing.gap
    if gap is None or gap.low is None or gap.high is None:
        means = _mean(standing.row), _mean(leader)
        if means[0] is None or means[1] is None or metric.kind == "reach":
            return ""
        return f" by {formatting.amounts(metric, [abs(means[0] - means[1])])[0]} {metric.unit}"
    near, far = sorted(map(abs, (gap.low, gap.high)))
    middle, near_, far_ = formatting.amounts(metric, [abs(gap.mean), near, far], (gap.high - gap.low) / 2)
    told = f" (95 % interval {near_} to {far_}, {formatting.seeds(gap)})" if is_told else ""
    return f" by {middle} {metric.unit}{told}"


def _named(rows: Sequence[Row], metric: Metric, noun: str) -> str:
    shown = rows if len(rows) <= MOST_NAMED else rows[: MOST_NAMED - 1]
    names = [f"{row.label} ({_short_value(row, metric)})" for row in shown]
    more = len(rows) - len(shown)
    return formatting.listed([*names, f"{_number(more)} more {noun}s"] if more else names)


def _value(row: Row, metric: Metric) -> str:
    """A row's mean in words: "90.9 %", "0.04 nats (test loss)", "4.2 epochs to test accuracy 98 %"."""
    title = metric.title.removeprefix(f"{metric.unit} to ")
    if row.measured is None:
        return f"{title} {formatting.reached(row.values(metric).values())}"
    shown = formatting.level(metric, row.measured.mean)
    if metric.kind == "reach":
        return f"{shown} to {title}"
    return shown if metric.name == "test_accuracy" or metric.kind == "size" else f"{shown} ({title})"


def _short_value(row: Row, metric: Metric) -> str:
    if row.measured is None:
        return formatting.reached(row.values(metric).values())
    return formatting.level(metric, row.measured.mean)


def _alone(row: Row, metric: Metric, *, others_failed: bool) -> str:
    if row.measured is None:
        return f"{row.label}: {_value(row, metric)}"
    subject = f"only {row.label} trained and has" if others_failed else f"{row.label} has"
    if metric.kind == "size":
        return f"{subject} {formatting.level(metric, row.measured.mean)}"
    shown = formatting.mean(metric, row.measured)
    return f"{subject} {shown}" if metric.kind == "reach" else f"{subject} a {metric.title} of {shown}"


def _failed(rows: Sequence[Row], noun: str) -> str:
    failed = [row for row in rows if row.failed]
    if not failed:
        return ""
    if len(failed) <= MOST_NAMED:
        first, *rest = failed
        texts = [f"{first.label} failed to train in {_share(first)} {'run' if len(first.runs) == 1 else 'runs'}"]
        return formatting.listed([*texts, *(f"{row.label} in {_share(row)}" for row in rest)])
    runs = formatting.count(sum(len(row.runs) for row in failed), "run")
    names = formatting.listed([*(row.label for row in failed[:2]), f"{_number(len(failed) - 2)} more {noun}s"])
    return f"{names} failed to train in {sum(row.failed for row in failed)} of {runs}"


def _all_failed(rows: Sequence[Row], noun: str) -> str:
    runs = sum(len(row.runs) for row in rows)
    names = (
        formatting.listed([row.label for row in rows])
        if len(rows) <= MOST_NAMED
        else f"all {_number(len(rows))} {noun}s"
    )
    return f"no run trained: {formatting.count(runs, 'run')} of {names} failed"


def _share(row: Row) -> str:
    return f"all {len(row.runs)}" if row.n == 0 and len(row.runs) > 1 else f"{row.failed} of {len(row.runs)}"


def _still_learning(rows: Sequence[Row], noun: str) -> str:
    learning = [row.label for row in rows if row.still_learning]
    if not learning:
        return ""
    names = learning if len(learning) <= MOST_NAMED else [*learning[:2], f"{_number(len(learning) - 2)} more {noun}s"]
    return f"{formatting.listed(names)} {'was' if len(learning) == 1 else 'were'} still learning"


def _mean(row: Row) -> float | None:
    return row.measured.mean if row.measured else None


def _is(standings: Sequence[Standing]) -> str:
    return "is" if len(standings) == 1 else "are"


def _number(n: int) -> str:
    return _NUMBERS[n] if n < len(_NUMBERS) else f"{n:,}"


def _sentences(parts: Sequence[str]) -> str:
    """The parts as sentences. One that begins with a row's label keeps its first letter."""
    words = ("no", "every", "only", "the", "all", *_NUMBERS)
    texts = [part[0].upper() + part[1:] if part.partition(" ")[0] in words else part for part in parts if part]
    return " ".join(f"{text}." for text in texts)
