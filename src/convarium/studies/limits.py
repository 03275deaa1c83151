"""What the seeds of a study can never show, whatever its runs give: said before it trains."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from convarium.analysis.claims import (
    FEWEST_RUNS,
    Better,
    Claim,
    Collapses,
    Equivalent,
    Fails,
    Ordered,
    Overtakes,
    Reproduces,
    ReproducesClasses,
)
from convarium.analysis.comparison import Metric, metric_of
from convarium.analysis.comparison.formatting import in_words
from convarium.analysis.statistics import LEAST_SEEDS, LEVEL, runs_to_settle_half, seeds_to_reach, smallest_p
from convarium.studies.study import Study


def limits_of(study: Study, counts: Mapping[Any, int], *, wanted: Collection[Any]) -> tuple[str, ...]:
    """Writes a sentence for each thing that a study compares or claims and that its seeds can never show.

    Args:
        study: the question.
        counts: how many seeds each compared value will have, whether asked for now or before.
        wanted: the compared values that are to be trained or read; claims about others are left out.
    """
    claims = [claim for claim in study.claims.values() if set(study.values_of(claim)) <= set(wanted)]
    compared: list[tuple[Metric, tuple[Any, ...], int]] = []
    if len(wanted) > 1:
        compared.append((metric_of(study.metric or "test_accuracy"), tuple(wanted), len(counts) - 1))
    for claim in claims:
        values = study.values_of(claim)
        family = max(len(counts), len(values)) - 1
        if isinstance(claim, Overtakes):
            compared += [(metric_of(name), values, max(family, 2)) for name in (claim.start, claim.end)]
        elif isinstance(claim, Better | Equivalent | Ordered) and metric_of(claim.metric).kind != "time":
            compared.append((metric_of(claim.metric), values, family))
    return tuple(dict.fromkeys([*_of_comparisons(compared, counts), *_of_runs(study, claims, counts)]))


def _of_comparisons(compared: list[tuple[Metric, tuple[Any, ...], int]], counts: Mapping[Any, int]) -> Iterator[str]:
    """Few seeds decide nothing, and of levels that are reached only ranks are compared."""
    for metric, values, family in compared:
        fewest, *others = sorted(counts[value] for value in values)
        if metric.kind == "size":
            continue
        if fewest < LEAST_SEEDS:
            verb = "decides" if fewest == 1 else "decide"
            yield f"{_seeds(fewest)} {verb} nothing; {in_words(LEAST_SEEDS)} would be the least."
        elif metric.kind == "reach":
            level = (1 - LEVEL) / family
            if smallest_p(fewest, max(others)) > level:
                yield (
                    f"{_seeds(fewest)} can never show a difference in {metric.title}; "
                    f"{in_words(seeds_to_reach(level))} would (rank test at {_percent(level)})."
                )


def _of_runs(study: Study, claims: list[Claim], counts: Mapping[Any, int]) -> Iterator[str]:
    """What is claimed of a network alone: that it fails, or that it gives a published number."""
    settle, level = runs_to_settle_half(), (1 - LEVEL) / max(len(counts) - 1, 1)
    for claim in claims:
        n = min(counts[value] for value in study.values_of(claim))
        if isinstance(claim, Fails | Collapses):
            if n < settle:
                yield (
                    f"{_runs(n)} can never show that most runs of a network fail; {in_words(settle)} would "
                    "(binomial test)."
                )
            if len(counts) > 1 and smallest_p(n, max(counts.values())) > level:
                yield (
                    f"{_runs(n)} can never show that one network fails more often than another; "
                    f"{in_words(seeds_to_reach(level))} would (Fisher's exact test at {_percent(level)})."
                )
        is_number = isinstance(claim, Reproduces) and metric_of(claim.metric).kind not in ("size", "time")
        if n < FEWEST_RUNS and (is_number or isinstance(claim, ReproducesClasses)):
            yield f"{_runs(n)} can never reproduce a published number; {in_words(FEWEST_RUNS)} would be the least."


def _seeds(n: int) -> str:
    return f"{in_words(n).capitalize()} seed{'s' * (n != 1)}"


def _runs(n: int) -> str:
    return f"{in_words(n).capitalize()} run{'s' * (n != 1)}"


def _percent(level: float) -> str:
    return f"{100 * level:.2g} %"
