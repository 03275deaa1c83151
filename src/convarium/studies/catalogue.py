"""The catalogue: every published claim that a built-in study judges, and its verdict from stored runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convarium.analysis.claims import (
    FEWEST_PAIRS,
    NOT_SEEN,
    Claim,
    Verdict,
    is_about_speed,
    labels_of,
    source_tag,
)
from convarium.analysis.comparison import Comparison
from convarium.characters import one_line
from convarium.errors import ConvariumError, SpecError, StoreError, TimeLimitError
from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store, StoredRun
from convarium.runs.timings import read_timings
from convarium.spec import unknown
from convarium.studies.builtin import EXPERIMENTS
from convarium.studies.compare import compare_study, left_out_notes
from convarium.studies.reasons import REASONS
from convarium.studies.study import Study
from convarium.studies.verdicts import judge_study, recipes_of, sizes_of

if TYPE_CHECKING:
    from convarium.studies.events import StudyEvent
    from convarium.studies.resources import Resources

NOT_RUN = "not run yet"
"""What stands in place of a verdict where a row of the claim has no runs."""


@dataclass(frozen=True)
class Entry:
    """One published claim: its short name, the study that judges it, and why the verdict may contradict the source."""

    name: str
    claim: Claim
    study: Study
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class Finding:
    """The verdict on a claim, and the runs behind it.

    Attributes:
        entry: the claim.
        verdict: None if the rows of the comparison that the claim names have no runs yet.
        runs: the runs of these rows.
        planned: how many runs the study plans for these rows.
        seconds: the training time of the runs, in total.
        missing: the recipes of those planned runs that are not there, where there is no verdict yet.
        error: why the claim's study could not be run or read.
        left_out: a note on each of its runs that are damaged.
    """

    entry: Entry
    verdict: Verdict | None
    runs: tuple[StoredRun, ...]
    planned: int
    seconds: float
    missing: tuple[Recipe, ...] = ()
    error: ConvariumError | None = None
    left_out: tuple[str, ...] = ()

    @property
    def reason(self) -> str | None:
        """Why the verdict may contradict the source; None if it does not, or if no reason is known."""
        contradicts = self.verdict is not None and self.verdict.outcome in ("refuted", NOT_SEEN)
        return self.entry.reason if contradicts else None

    def __repr__(self) -> str:
        return f"Finding({self.entry.name!r}, {one_line(self.verdict.sentence) if self.verdict else NOT_RUN})"


def catalogue(studies: Iterable[Study] = tuple(EXPERIMENTS.values())) -> dict[str, Entry]:
    """Returns every claim of the studies by its name, in their order.

    Raises:
        SpecError: two claims have the same name.
    """
    entries: dict[str, Entry] = {}
    for study in studies:
        for name, claim in study.claims.items():
            if name in entries:
                raise SpecError(f"two claims are called {name!r}", hint=f"rename the one of {study.name}")
            entries[name] = Entry(name, claim, study, REASONS.get(name))
    return entries


def select(names: Sequence[str], entries: Mapping[str, Entry]) -> tuple[Entry, ...]:
    """Returns the claims with these names, of these studies or of the sources with these tags; "all" means all, and
    "speed" those of speed.

    Raises:
        SpecError: no claim, study or source has one of the names.
    """
    selected: dict[str, Entry] = {}
    for name in names:
        matches = {
            n: e
            for n, e in entries.items()
            if name in ("all", n, e.study.name, source_tag(e.claim)) or (name == "speed" and is_about_speed(e.claim))
        }
        if not matches:
            known = [*entries, *{e.study.name for e in entries.values()}]
            known += {source_tag(e.claim) for e in entries.values()}
            raise unknown("claim", name, known, hint="(convarium reproduce lists all of them)")
        selected |= matches
    return tuple(selected.values())


def studies_of(entries: Sequence[Entry]) -> tuple[tuple[Study, tuple[Any, ...]], ...]:
    """Returns the studies whose runs judge these claims, each with the compared values that the claims name."""
    studies: dict[str, tuple[Study, dict[Any, None]]] = {}
    for entry in entries:
        if not needs_runs(entry):
            continue
        _, values = studies.setdefault(entry.study.name, (entry.study, {}))
        values.update(dict.fromkeys(entry.study.values_of(entry.claim)))
    return tuple((study, tuple(values)) for study, values in studies.values())


def needs_runs(entry: Entry) -> bool:
    """Whether a claim is judged by runs of its study, and not by the sizes that the index of networks holds, or by
    timings in turns.
    """
    return not (sizes_of(entry.study, entry.claim) or is_about_speed(entry.claim))


def run_claims(
    entries: Sequence[Entry],
    resources: Resources,
    *,
    stack: bool = False,
    pairs: int = FEWEST_PAIRS,
    on_event: Callable[[StudyEvent], None] | None = None,
) -> dict[str, ConvariumError]:
    """Times the networks of claims of speed in turns, then trains the missing runs of the rows that the other claims
    name, study by study.

    Args:
        entries: the claims.
        resources: the store, the data sets and the device.
        stack: train each network's seeds at the same time.
        pairs: turns of each network that is timed.
        on_event: called as the studies go on, with a message before each: its plan, or why it cannot be run.

    Returns:
        Why a study could not be run, by its name; the others run nevertheless.

    Raises:
        TimeLimitError: the time was over before all was trained.
    """
    from convarium.studies.events import StudyEvent
    from convarium.studies.plan import plan_study, prepare_study
    from convarium.studies.plan_sentence import describe_plan
    from convarium.studies.run import run_prepared
    from convarium.studies.timing_in_turns import by_study, time_claims

    notify = on_event or (lambda _: None)
    errors: dict[str, ConvariumError] = {}
    for study, claims in by_study((entry.study, entry.claim) for entry in entries):
        try:
            time_claims(study, claims, resources, pairs=pairs, on_event=on_event)
        except TimeLimitError:
            raise
        except ConvariumError as error:
            notify(StudyEvent(0, len(study.recipes), study.recipes[0], message=f"{study.name}: {error}"))
            errors[study.name] = error
    for study, values in studies_of(entries):
        head = StudyEvent(0, len(study.recipes), study.recipes[0])
        try:
            prepared = prepare_study(study, resources, only=values, on_event=on_event)
            plan = plan_study(prepared, resources, on_event=on_event)
            notify(dataclasses.replace(head, message=f"{study.name}: {describe_plan(plan)}", expected=plan.expected))
            run_prepared(prepared, resources, stack=stack, on_event=on_event)
        except TimeLimitError:
            raise
        except ConvariumError as error:
            notify(dataclasses.replace(head, message=f"{study.name}: {error}"))
            errors[study.name] = error
    return errors


def findings(entries: Iterable[Entry], stores: Sequence[Store]) -> tuple[Finding, ...]:
    """Returns the verdict on each claim; of several stores with a study, the one with the most runs is used.

    A study that cannot be read, or whose runs are all damaged, hides none of the others: it is the finding's error.
    """
    comparisons: dict[str, Comparison | None] = {}
    errors: dict[str, StoreError] = {}
    results = []
    for entry in entries:
        name = entry.study.name
        if is_about_speed(entry.claim):
            results.append(_speed_finding(entry, stores))
            continue
        if name not in comparisons:
            comparisons[name] = None
            try:
                comparisons[name] = stored_comparison(name, stores)
            except StoreError as error:
                errors[name] = error
        results.append(dataclasses.replace(_finding(entry, comparisons[name]), error=errors.get(name)))
    return tuple(results)


def stored_comparison(name: str, stores: Sequence[Store]) -> Comparison | None:
    """Returns the comparison of a study's finished, undamaged runs; None if no store has one.

    Raises:
        StoreError: the study is damaged, or all of its runs are.
    """
    records = [(store, record) for store in stores if (record := store.find_study(name)) is not None]
    damaged: list[StoreError] = []
    candidates = [(store.runs_of(record, damaged=damaged), store, record) for store, record in records]
    runs, store, record = max(candidates, key=lambda candidate: len(candidate[0]), default=((), None, None))
    if store is None or record is None or not (runs or damaged):
        return None
    return compare_study(record, store)


def _finding(entry: Entry, comparison: Comparison | None) -> Finding:
    values = entry.study.values_of(entry.claim)
    only = dataclasses.replace(entry.study, claims={entry.name: entry.claim})
    verdict = judge_study(only, comparison).get(entry.name)
    if not needs_runs(entry):
        return Finding(entry, verdict, (), 0, 0.0)
    planned = [recipe for recipe in entry.study.recipes if getattr(recipe, entry.study.compare) in values]
    runs: tuple[StoredRun, ...] = ()
    if comparison and verdict:
        runs = tuple(run for label in labels_of(entry.claim) for run in comparison.row(label).runs)
    seconds = sum(run.outcome.cost.train_seconds for run in runs if run.outcome.cost)
    there = {run.recipe for row in comparison.rows for run in row.runs} if comparison else set()
    missing = () if verdict else tuple(recipe for recipe in planned if recipe not in there)
    return Finding(entry, verdict, runs, len(planned), seconds, missing, left_out=left_out_notes(comparison))


def _speed_finding(entry: Entry, stores: Sequence[Store]) -> Finding:
    try:
        timings = read_timings([store.root for store in stores], entry.study.name)
    except StoreError as error:
        return Finding(entry, None, (), 0, 0.0, error=error)
    only = dataclasses.replace(entry.study, claims={entry.name: entry.claim})
    verdict = judge_study(only, None, timings).get(entry.name)
    recipes = recipes_of(entry.study, entry.claim).values()
    used = [turns for timing in timings if all(turns := [timing.turns(recipe) for recipe in recipes])]
    seconds = sum(turn.seconds for timing in used for network in timing for turn in network)
    return Finding(entry, verdict, (), 0, seconds)
