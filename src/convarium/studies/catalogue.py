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
    published,
    source_tag,
)
from convarium.analysis.comparison import Comparison, formatting
from convarium.characters import one_line
from convarium.errors import ConvariumError, SpecError, StoreError, TimeLimitError
from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store, StoredRun
from convarium.runs.timings import read_timings
from convarium.spec import unknown
from convarium.studies.builtin import EXPERIMENTS
from convarium.studies.compare import compare_study, left_out_notes
from convarium.studies.costs import Rate, Rates, expected_seconds, rate_of
from convarium.studies.study import Study, judge_study, recipes_of, sizes_of

if TYPE_CHECKING:
    from convarium.studies.events import StudyEvent
    from convarium.studies.resources import Resources

_SWINGS = "With sigmoid the test accuracy swings by points between epochs, as the report says too; it ends on one draw."
_SINGLE = "The source prints the last epoch of a single run"
_LUCK = f"{_SINGLE}, and this network's last epochs scatter."

NOT_RUN = "not run yet"
"""What stands in place of a verdict where a row of the claim has no runs."""

REASONS: dict[str, str] = {
    "memory-on-par": "The source compares single runs by eye, without intervals.",
    "residual-cnn-best": "The source's number is the highest of 20 looks at the test split in a single run.",
    "deep-plain-fails": "The source says so of deep networks in general, and shows no run of one.",
    "lenet-d2l": f"{_LUCK} Two editions of 2021 printed 81.3 and 78.3 % with the same code.",
    "lenet-d2l-train": f"{_LUCK} Two editions of 2021 printed 82.6 and 81.6 % with the same code.",
    "alexnet-d2l": f"{_SINGLE}.",
    "vgg-d2l": f"{_SINGLE}.",
    "nin-d2l": f"{_SINGLE}. The network's last ReLU lets a class die for good. An edition of 2021 printed 84.2 %.",
    "nin-below-vgg": "The notes broke their training of NiN off, and could not train VGG.",
    "larger-is-slower": (
        "On d2l.ai's GPU AlexNet is the faster one, with 3,942 images a second against 2,464; this VGG has a quarter "
        "of its width and fewer FLOPs than AlexNet."
    ),
    "nin-slower-than-vgg": (
        "The notes trained neither to the end; d2l.ai prints 3,088 images a second for NiN, 2,464 for VGG."
    ),
    "resnet-faster-than-preact-resnet": (
        "The source calls ResNet the fastest of the four, but explains it for GoogLeNet and DenseNet alone."
    ),
    **{
        f"sigmoid-{part}": _SWINGS
        for part in ("train-loss", "train-accuracy", "test-loss", "test-accuracy", "digits", "train-digits")
    },
    "relu-then-tanh-then-sigmoid": "The source judges convergence by eye, from one curve each.",
    "rate-0.001-learns-fastest": "The source judges by eye, from one curve each.",
    "rate-0.001-is-steadiest": "The source judges by eye, from one curve each.",
    **dict.fromkeys(
        ("sigmoid-swings", "sigmoid-swings-more-than-tanh"), "The source judges by eye, from one curve each."
    ),
    "rate-1-digit-changes": "The source saw one run.",
    "shortcut-changes-little": "The report prints no number for its network without the shortcut.",
}
"""Why a verdict may contradict the source, in one sentence for each claim; it is shown if the claim is refuted, or not
seen under the assumed recipe."""


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


def as_json(finding: Finding, rates: Rates) -> dict[str, Any]:
    """Returns a finding as JSON has it; by the rates, what a missing verdict would take."""
    entry, verdict = finding.entry, finding.verdict
    return {
        "name": entry.name,
        "study": entry.study.name,
        "source": entry.claim.source,
        "claim": dataclasses.asdict(entry.claim) | {"kind": type(entry.claim).__name__},
        "published": published(entry.claim),
        "measured": dataclasses.asdict(verdict.measured) if verdict and verdict.measured else None,
        "assumed": entry.claim.assumed,
        "n": verdict.n if verdict else 0,
        "verdict": verdict.outcome if verdict else NOT_RUN,
        "sentence": verdict.sentence if verdict else None,
        "reason": finding.reason,
        "runs": len(finding.runs),
        "planned": finding.planned,
        "pairs": verdict.n if verdict and is_about_speed(entry.claim) else None,
        "train_seconds": finding.seconds,
        "expected_seconds": None if finding.verdict else expected_seconds(finding.missing, rates),
    }


def runs_cell(finding: Finding) -> str:
    """Returns the number of runs, or of pairs, that a verdict rests on for the cell of a table; empty where it needs
    none.
    """
    counts = needs_runs(finding.entry) or is_about_speed(finding.entry.claim)
    return str((finding.verdict.n if finding.verdict else 0) if counts else "")


def cost_cell(finding: Finding, rates: Rates) -> str:
    """Returns the cost of a claim for the cell of a table: what its runs took, or would take by recorded rates."""
    if is_about_speed(finding.entry.claim):
        pairs = formatting.count(finding.verdict.n or 0 if finding.verdict else FEWEST_PAIRS, "pair")
        return f"{pairs}, {formatting.duration(finding.seconds)}" if finding.verdict else pairs
    if not needs_runs(finding.entry):
        return "none"
    if finding.verdict:
        n, planned = len(finding.runs), finding.planned
        runs = f"{n} of {planned} runs" if n <= planned else f"{planned} runs and {n - planned} added later"
        return f"{runs}, {formatting.duration(finding.seconds)}"
    seconds = expected_seconds(finding.missing, rates)
    cost = "not known" if seconds is None else f"about {formatting.duration(seconds)}"
    return f"{formatting.count(len(finding.missing), 'run')}, {cost}"


def rates_behind(findings: Iterable[Finding], rates: Rates) -> tuple[Rate, ...]:
    """Returns the rates by which the costs of the missing runs of findings were computed, each once."""
    used = (rate_of(recipe, rates) for finding in findings for recipe in finding.missing)
    return tuple(dict.fromkeys(rate for rate in used if rate is not None))
