"""The first sentence of a comparison: who leads, by how much, how sure that is, who is worse, and what failed."""

import math
from collections.abc import Sequence

from convarium.analysis.comparison import formatting
from convarium.analysis.comparison.failures import fails_more_often
from convarium.analysis.comparison.formatting import in_words
from convarium.analysis.comparison.metrics import Metric
from convarium.analysis.comparison.ranking import rank
from convarium.analysis.comparison.relative_errors import relative_error
from convarium.analysis.comparison.rows import Row
from convarium.analysis.comparison.standings import Standing, beside_baseline, standings_of
from convarium.analysis.comparison.timing import what_differs

MOST_NAMED = 3
"""Of more rows than these the first two are named, and the others counted."""

_LEADS = {"better": "leads", "faster": "is fastest", "smaller": "is smallest", "cheaper": "is cheapest"}


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
    last = "; ".join(text for text in (_failed(rows, noun), _still_learning(told, noun, of=len(rows))) if text)
    if not told:
        if all(row.n == 0 for row in rows):
            return _sentences(_all_failed(rows, noun))
        has_failed = all(row.decision == "failed" for row in rows)
        return _sentences("most runs failed" if has_failed else f"no run recorded the {metric.title}", last)
    leader, *others = told
    if not others:
        return _sentences(_alone(leader, metric, [row for row in rows if row is not leader]), last)
    if metric.kind == "time" and len({row.timed_in for row in told} | {None}) != 2:
        differ = what_differs([each for row in told for each in row.environments])
        text = f"the {metric.title} cannot be compared, because it was measured in environments that differ in {differ}"
        return _sentences(text, last)
    if not any(map(math.isfinite, leader.values(metric).values())):
        return _sentences(f"no run reached {_level_of(metric)}", last)
    standings = standings_of(rows, leader, others, baseline=baseline, margin=margin)
    return _sentences(*_lead(leader, standings, baseline=baseline, margin=margin, noun=noun), last)


def _lead(
    leader: Row, standings: list[Standing], *, baseline: str | None, margin: float | None, noun: str
) -> tuple[str, str]:
    """The first sentence, about the leader and those that may be as good, and the second, about those that are not."""
    metric = leader.metric
    worse = [each for each in standings if each.decision == "worse"]
    failing = [each for each in standings if each.decision == "fails more often"]
    tied = [each for each in standings if _have_one_mean(each.row, leader)]
    tied = [each for each in tied if each not in [*worse, *failing]]
    level = [each for each in standings if each.decision == "equivalent" and each not in tied]
    open_ = [each for each in standings if each not in [*worse, *level, *tied, *failing]]
    # A row that the table calls worse than a baseline that does not lead is told with that.
    below = [beside_baseline(each.row) for each in open_ if leader.label != baseline and each.row.decision == "worse"]
    open_ = [each for each in open_ if leader.label == baseline or each.row.decision != "worse"]
    text = f"{leader.label} {_LEADS[metric.better]} with {_value(leader)}"
    if tied:
        text = f"{_listed([leader.label, *(each.row.label for each in tied)], noun)} are level at {_value(leader)}"
    if open_:
        text += f", but {_cannot_separate([leader, *(each.row for each in tied)], open_, noun)}"
    if level and margin is not None:
        text += f"; within {formatting.margin(metric, margin)}, {_named(level, noun)} {_are(level)} equivalent"
    if failing:
        text += f"; {leader.label} fails less often than {_named(failing, noun)}"
    if worse and not (open_ or level or tied or below or failing):
        runner_up, *worse = worse
        text += f", {metric.better} than {runner_up.row.label}{_by(runner_up, metric, _interval(runner_up, metric))}"
        text += relative_error(metric, leader, runner_up.row)
    than = "" if leader.label == baseline else f" than {leader.label}"
    behind = _worse(worse, metric, than, noun, others=len(standings))
    return text, "; ".join(part for part in (behind, _below(below, metric, str(baseline), noun)) if part)


def _cannot_separate(leaders: list[Row], open_: list[Standing], noun: str) -> str:
    """Why rows that are behind are not called worse; where the reasons differ, that the seeds cannot tell."""
    leader, names = leaders[0], _named(open_, noun)
    rows = [*leaders, *(each.row for each in open_)]
    if all(each.decision == "better" for each in open_):
        return f"on the seeds that both have, {names} {_are(open_)} {leader.metric.better}"
    if all(each.is_apart and fails_more_often(leader, each.row) for each in open_) and min(row.n for row in rows) > 2:
        return f"it fails more often than {names}"
    counts = {row.n for row in rows}
    seeds = f"{in_words(rows[0].n)} seed{'s' * (rows[0].n != 1)}" if len(counts) == 1 else "the seeds"
    has_spread = min(counts) < 2 or any(each.gap is None or each.gap.deviation != 0 for each in open_)
    seeds += "" if has_spread else " without spread"
    return f"{seeds} cannot separate {'it' if len(leaders) == 1 else 'them'} from {names}"


def _worse(worse: list[Standing], metric: Metric, than: str, noun: str, *, others: int = 0) -> str:
    """Names rows that are worse, each with its size; of many, how many there are and the ends of the range.

    Args:
        worse: the rows.
        metric: of all.
        than: what they are worse than, where that is not the row that the sentence is about.
        noun: what a row is.
        others: the number of rows beside the leader.
    """
    if not worse:
        return ""
    if len(worse) <= MOST_NAMED:
        first, *rest = worse
        texts = [f"{first.row.label} is {metric.worse}{than}{_by(first, metric)}"]
        return formatting.listed([*texts, *(f"{each.row.label}{_by(each, metric, of_loss=False)}" for each in rest)])
    every = "the other " if others and len(worse) >= others - 1 else ""
    text = f"{every}{in_words(len(worse))} {noun}s are {metric.worse}{than}"
    sizes = [each.amount for each in worse if each.amount is not None]
    if len(sizes) < len(worse):
        return text
    ratios = [each.gap for each in worse if each.gap is not None and each.gap.is_ratio]
    if ratios:
        ends = formatting.differences(metric, min(ratios, key=lambda gap: gap.mean), [min(sizes), max(sizes)])
        return f"{text}, with {ends[0]} to {ends[1]} times the loss"
    widest = max((each.width or 0.0 for each in worse), default=0.0)
    ends = formatting.amounts(metric, [min(sizes), max(sizes)], widest or None)
    return f"{text}, by {ends[0]} to {ends[1]} {metric.unit}"


def _below(below: list[Standing], metric: Metric, baseline: str, noun: str) -> str:
    """Names rows that the table calls worse than the baseline."""
    if len(below) < 2:
        return _worse(below, metric, f" than {baseline}", noun)
    names = formatting.listed([each.row.label for each in below])
    names = names if len(below) < MOST_NAMED else f"{in_words(len(below))} {noun}s"
    return f"{names} are {metric.worse} than {baseline}"


def _by(standing: Standing, metric: Metric, more: str = "", *, of_loss: bool = True) -> str:
    """The size of a difference: " by 4.7 points", of losses " (1.3 times the loss)"; "" where only the order is known.

    Args:
        standing: the row, beside the one that it is compared with.
        metric: of both.
        more: what stands beside the size in brackets.
        of_loss: whether a ratio says that it is one of losses.
    """
    gap, more = standing.gap, f", {more}" if more and standing.gap and standing.gap.is_ratio else more
    if standing.amount is None:
        return f" ({_value(standing.row, is_short=True)})" if metric.kind == "reach" and standing.row.measured else ""
    if gap is not None and gap.is_ratio:
        return f" ({formatting.differences(metric, gap, [gap.mean])[0]} times{' the loss' * of_loss}{more})"
    shown = f" by {formatting.amounts(metric, [standing.amount], standing.width)[0]} {metric.unit}"
    return f"{shown} ({more})" if more else shown


def _interval(standing: Standing, metric: Metric) -> str:
    gap = standing.gap
    if gap is None or gap.low is None or gap.high is None:
        return ""
    _, near, far = formatting.sizes(metric, gap, [gap.mean, gap.low, gap.high])
    ends = f"{near} or more" if metric.scale == "logit" and max(-gap.low, gap.high) > 1 else f"{near} to {far}"
    return f"95 % interval {ends}, {formatting.seeds(gap)}"


def _named(standings: Sequence[Standing], noun: str) -> str:
    return _listed([f"{each.row.label} ({_value(each.row, is_short=True)})" for each in standings], noun)


def _listed(names: Sequence[str], noun: str) -> str:
    """All names, or the first two and how many more there are."""
    shown = list(names) if len(names) <= MOST_NAMED else list(names[: MOST_NAMED - 1])
    return formatting.listed(shown + _more(len(names) - len(shown), noun))


def _more(n: int, noun: str) -> list[str]:
    return [f"{in_words(n)} more {noun}{'s' * (n != 1)}"] if n else []


def _value(row: Row, *, is_short: bool = False) -> str:
    """A row's mean in words: "90.9 %", "0.04 nats (test loss)", "4.2 epochs to test accuracy 98 %"."""
    metric = row.metric
    if row.measured is None:
        reached = formatting.reached(row.values(metric).values())
        return reached if is_short else f"{_level_of(metric)} {reached}"
    shown = formatting.level(metric, row.measured.mean)
    if is_short or metric.name == "test_accuracy" or metric.kind == "size":
        return shown
    return f"{shown} to {_level_of(metric)}" if metric.kind == "reach" else f"{shown} ({metric.title})"


def _level_of(metric: Metric) -> str:
    return metric.title.removeprefix(f"{metric.unit} to ")


def _alone(row: Row, metric: Metric, others: Sequence[Row]) -> str:
    """The only row with a value that can be told, beside others without one."""
    if row.measured is None:
        return f"{row.label}: {_value(row)}"
    subject = f"only {row.label} has" if others else f"{row.label} has"
    if others and all(other.decision == "failed" for other in others):
        in_most = " in most of its runs" if any(other.n for other in others) else ""
        subject = f"only {row.label} trained{in_most} and has"
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
        texts = [f"{first.label} failed to train in {_share(first)} run{'s' * (len(first.runs) != 1)}"]
        return formatting.listed([*texts, *(f"{row.label} in {_share(row)}" for row in rest)])
    runs = sum(len(row.runs) for row in failed)
    networks = f"{in_words(len(failed))} {noun}s"
    return f"{sum(row.failed for row in failed)} of {runs} runs of {networks} failed to train"


def _all_failed(rows: Sequence[Row], noun: str) -> str:
    names = formatting.listed([row.label for row in rows])
    names = names if len(rows) <= MOST_NAMED else f"all {in_words(len(rows))} {noun}s"
    return f"no run trained: {formatting.count(sum(len(row.runs) for row in rows), 'run')} of {names} failed"


def _share(row: Row) -> str:
    return f"all {len(row.runs)}" if row.n == 0 and len(row.runs) > 1 else f"{row.failed} of {len(row.runs)}"


def _still_learning(rows: Sequence[Row], noun: str, *, of: int) -> str:
    """Names the rows that were still learning, or says that all are, where there are no others."""
    learning = [row.label for row in rows if row.still_learning]
    if not learning:
        return ""
    if len(learning) == of > 1:
        return f"all {in_words(of)} {noun}s were still learning" if of > 2 else "both were still learning"
    return f"{_listed(learning, noun)} {'was' if len(learning) == 1 else 'were'} still learning"


def _have_one_mean(row: Row, leader: Row) -> bool:
    if row.measured is None or leader.measured is None:
        return False
    return math.isclose(row.measured.mean, leader.measured.mean, rel_tol=1e-12)


def _are(standings: Sequence[Standing]) -> str:
    return "is" if len(standings) == 1 else "are"


def _sentences(*parts: str) -> str:
    """The parts as sentences. One that begins with a row's label keeps its first letter."""
    words = ("no", "most", "only", "the", "all", "both", *formatting.NUMBERS)
    texts = [part[0].upper() + part[1:] if part.partition(" ")[0] in words else part for part in parts if part]
    return " ".join(f"{text}." for text in texts)
