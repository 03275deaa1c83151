"""Judges claims of speed by timings in which the networks took turns, pair by pair, on one machine."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeGuard

from convarium.analysis.claims.kinds import Better, Claim, Equivalent, Judgement, Ordered, Verdict, all_of, marked
from convarium.analysis.claims.texts import ratio_text
from convarium.analysis.comparison import hardware_label, metric_of
from convarium.analysis.comparison.formatting import count, listed
from convarium.analysis.statistics import Estimate, Interval, paired_ratio
from convarium.errors import ConvariumError
from convarium.recipes.recipe import Recipe
from convarium.runs.timings import TimedTurn, Timing

FEWEST_PAIRS = 10
"""The number of pairs from which on a claim of speed is judged."""

SpeedClaim = Better | Ordered


@dataclass(frozen=True)
class _Ratio:
    """How many times as many images a second one network trains as another one, on one machine."""

    first: str
    second: str
    outcome: Judgement
    median: float
    interval: Interval | None
    text: str


def is_about_speed(claim: Claim) -> TypeGuard[SpeedClaim]:
    """Whether a claim says that networks train faster than others.

    Raises:
        ConvariumError: it says that they are equally fast, or by how much they are faster, which pairs do not judge.
    """
    if not isinstance(claim, (Better, Ordered, Equivalent)) or metric_of(claim.metric).kind != "time":
        return False
    if isinstance(claim, Equivalent) or (isinstance(claim, Better) and claim.by):
        hint = "write Better without `by`, or Ordered"
        raise ConvariumError("a claim of speed says which network is faster, and nothing else", hint=hint)
    return True


def judge_speed(
    claim: SpeedClaim, recipes: Mapping[str, Recipe], timings: Sequence[Timing], *, family: int = 1
) -> Verdict | None:
    """Judges a claim of speed: every ratio of two networks, in pairs of turns, must lie above 1 with its interval.

    The interval is that of the median ratio by the sign test, exact for any law, simultaneous over the family. On one
    thread of a CPU the ratio of processor times must lead to the same judgement, since other work on the machine
    stretches the clock's. Of several machines all must agree; the sentence begins with the newest.

    Args:
        claim: which network is faster.
        recipes: by the labels of the claim.
        timings: of the study, the newest first; one that has not all of these recipes is left out.
        family: the number of comparisons whose intervals hold together.

    Returns:
        None if no timing has all of these networks.
    """
    labels = (claim.label, claim.than) if isinstance(claim, Better) else tuple(claim.labels)
    if len(labels) < 2:
        raise ConvariumError("an order needs at least two labels", received=list(labels))
    family = max(family, len(labels) - 1)
    machines: list[tuple[Timing, list[_Ratio]]] = []
    for timing in timings:
        turns = {name: timing.turns(recipes[name]) for name in labels}
        if all(turns.values()):
            uses_processor = timing.environment.device == "cpu" and timing.environment.threads == 1
            ratios = [_ratio(one, other, turns, family, uses_processor) for one, other in pairwise(labels)]
            machines.append((timing, ratios))
    if not machines:
        return None
    outcomes = {all_of([ratio.outcome for ratio in ratios]) for _, ratios in machines}
    outcome: Judgement = outcomes.pop() if len(outcomes) == 1 else "undecided"
    batches = listed(list(dict.fromkeys(recipes[name].batch_size for name in labels)))
    texts = [
        "; ".join(ratio.text for ratio in ratios)
        + f" (in turns on {hardware_label(timing.environment)}, batch {batches})"
        for timing, ratios in machines
    ]
    text = f"{'the machines disagree: ' if outcomes else ''}{'; '.join(texts)}"
    nearest = min(machines[0][1], key=lambda ratio: abs(math.log(ratio.median)))
    low, high = (nearest.interval.low, nearest.interval.high) if nearest.interval else (None, None)
    pairs = min(len(timing.networks[0].turns) for timing, _ in machines)
    ratio = Estimate(nearest.median, low, high, None, pairs)
    return marked(Verdict(claim, outcome, f"{outcome}: {text}", ratio, pairs))


def _ratio(
    first: str, second: str, turns: Mapping[str, Sequence[TimedTurn]], family: int, uses_processor: bool
) -> _Ratio:
    one, other = turns[first], turns[second]
    by_clock = paired_ratio([turn.images_per_second for turn in one], [turn.images_per_second for turn in other])
    interval, pairs = by_clock.interval(family=family), len(by_clock.ratios)
    outcome = _outcome(interval, pairs)
    shown = ratio_text(by_clock.median, *((interval.low, interval.high) if interval else ()))
    within = f"95 % interval {shown[1]} to {shown[2]}, " if interval else ""
    text = f"{first} trains {shown[0]} times as many images a second as {second} ({within}{count(pairs, 'pair')})"
    if pairs < FEWEST_PAIRS:
        text += f", and judging takes {FEWEST_PAIRS} pairs or more"
    elif uses_processor and all(turn.processor_seconds for turn in (*one, *other)):
        busy = [[turn.images / turn.processor_seconds for turn in each] for each in (one, other)]
        of_processor = paired_ratio(*busy)
        within_busy = of_processor.interval(family=family)
        if _outcome(within_busy, pairs) != outcome and within_busy:
            seen = ratio_text(of_processor.median, within_busy.low, within_busy.high)
            text += (
                f"; but by processor time the ratio is {seen[0]} ({seen[1]} to {seen[2]}), so that other work on the "
                "machine may have decided"
            )
            outcome = "undecided"
    return _Ratio(first, second, outcome, by_clock.median, interval, text)


def _outcome(interval: Interval | None, pairs: int) -> Judgement:
    if interval is None or pairs < FEWEST_PAIRS:
        return "undecided"
    return "supported" if interval.low > 1 else "refuted" if interval.high < 1 else "undecided"
