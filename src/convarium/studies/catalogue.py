"""The catalogue: every published claim that a built-in study judges, and its verdict from stored runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convarium.analysis.claims import Claim, Verdict, labels_of, published
from convarium.analysis.comparison import Comparison, formatting
from convarium.characters import one_line
from convarium.errors import ConvariumError, SpecError, StoreError, TimeLimitError
from convarium.runs.store import Store, StoredRun
from convarium.spec import unknown
from convarium.studies.builtin import EXPERIMENTS
from convarium.studies.compare import compare_study, left_out_notes
from convarium.studies.study import Study, judge_study

if TYPE_CHECKING:
    from convarium.studies.events import StudyEvent
    from convarium.studies.resources import Resources

_UNSTATED = "The report states neither its optimizer nor its number of epochs; those used here are candidates."
_TWICE = "The report ran this recipe twice, as ReLU and as a rate of 0.001, and its two runs lie as far apart."
_SWINGS = "With sigmoid the test accuracy swings by points between epochs, as the report says too; it ends on one draw."
_LUCK = "The source prints the last epoch of a single run, and this network's last epochs scatter."

REASONS: dict[str, str] = {
    "memory-on-par": "The source compares single runs by eye, without intervals.",
    "residual-cnn-best": "The source's number is the highest of 20 looks at the test split in a single run.",
    "deep-plain-fails": "The source names no depth and no norm; PyTorch's initial weights have changed since.",
    "lenet-d2l": _LUCK,
    "lenet-d2l-train": _LUCK,
    "alexnet-d2l": _LUCK,
    "vgg-d2l": _LUCK,
    "nin-d2l": f"{_LUCK} Its last ReLU lets a class die for good.",
    "nin-below-vgg": "The source broke its training of NiN off.",
    **{
        f"{row}-{part}": reason
        for row, reason in {
            "relu": _TWICE,
            "sigmoid": _SWINGS,
            "tanh": _UNSTATED,
            "rate-0.001": _UNSTATED,
            "rate-0.1": _UNSTATED,
        }.items()
        for part in ("train-loss", "train-accuracy", "test-loss", "test-accuracy", "digits")
    },
    "relu-then-tanh-then-sigmoid": f"{_UNSTATED} It judges convergence by eye, from one curve each.",
    "rate-1-fails": _UNSTATED,
    "rate-1-one-digit": _UNSTATED,
    "rate-1-digit-changes": f"{_UNSTATED} It saw one run.",
    "shortcut-changes-little": "The report prints no number for its network without the shortcut.",
}
"""Why a verdict may contradict the source, in one sentence for each claim; it is shown if the claim is refuted."""


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
        error: why the claim's study could not be run or read.
        left_out: a note on each of its runs that are damaged.
    """

    entry: Entry
    verdict: Verdict | None
    runs: tuple[StoredRun, ...]
    planned: int
    seconds: float
    error: ConvariumError | None = None
    left_out: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Finding({self.entry.name!r}, {one_line(self.verdict.sentence) if self.verdict else 'not run yet'})"


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
    """Returns the claims with these names, of these studies or of the sources with these tags; "all" means all.

    Raises:
        SpecError: no claim, study or source has one of the names.
    """
    selected: dict[str, Entry] = {}
    for name in names:
        matches = {n: e for n, e in entries.items() if name in ("all", n, e.study.name, source_tag(e.claim))}
        if not matches:
            known = [*entries, *{e.study.name for e in entries.values()}]
            known += {source_tag(e.claim) for e in entries.values()}
            raise unknown("claim", name, known, hint="(convarium reproduce lists all of them)")
        selected |= matches
    return tuple(selected.values())


def source_tag(claim: Claim) -> str:
    """Returns the tag of a claim's source, with which its citation begins: "mnist-report", "he2016"."""
    return claim.source.partition(",")[0]


def studies_of(entries: Sequence[Entry]) -> tuple[tuple[Study, tuple[Any, ...]], ...]:
    """Returns the studies that judge these claims, each with the compared values that the claims name."""
    studies: dict[str, tuple[Study, dict[Any, None]]] = {}
    for entry in entries:
        _, values = studies.setdefault(entry.study.name, (entry.study, {}))
        values.update(dict.fromkeys(entry.study.values_of(entry.claim)))
    return tuple((study, tuple(values)) for study, values in studies.values())


def run_claims(
    entries: Sequence[Entry],
    resources: Resources,
    *,
    stack: bool = False,
    on_event: Callable[[StudyEvent], None] | None = None,
) -> dict[str, ConvariumError]:
    """Trains the missing runs of the rows that the claims name, study by study.

    Args:
        entries: the claims.
        resources: the store, the data sets and the device.
        stack: train each network's seeds at the same time.
        on_event: called as the studies go on, with a message before each: its plan, or why it cannot be run.

    Returns:
        Why a study could not be run, by its name; the others run nevertheless.

    Raises:
        TimeLimitError: the time was over before all was trained.
    """
    from convarium.studies.events import StudyEvent
    from convarium.studies.plan import describe_plan, plan_study, prepare_study
    from convarium.studies.run import run_prepared

    notify = on_event or (lambda _: None)
    errors: dict[str, ConvariumError] = {}
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
    planned = sum(getattr(recipe, entry.study.compare) in values for recipe in entry.study.recipes)
    only = dataclasses.replace(entry.study, claims={entry.name: entry.claim})
    verdict = judge_study(only, comparison).get(entry.name) if comparison else None
    runs: tuple[StoredRun, ...] = ()
    if comparison and verdict:
        runs = tuple(run for label in labels_of(entry.claim) for run in comparison.row(label).runs)
    seconds = sum(run.outcome.cost.train_seconds for run in runs if run.outcome.cost)
    return Finding(entry, verdict, runs, planned, seconds, left_out=left_out_notes(comparison))


def as_json(finding: Finding) -> dict[str, Any]:
    """Returns a finding as JSON has it."""
    entry, verdict = finding.entry, finding.verdict
    return {
        "name": entry.name,
        "study": entry.study.name,
        "source": entry.claim.source,
        "claim": dataclasses.asdict(entry.claim) | {"kind": type(entry.claim).__name__},
        "published": published(entry.claim),
        "measured": dataclasses.asdict(verdict.measured) if verdict and verdict.measured else None,
        "n": verdict.n if verdict else 0,
        "verdict": verdict.outcome if verdict else "not run yet",
        "sentence": verdict.sentence if verdict else None,
        "reason": entry.reason if verdict and verdict.outcome == "refuted" else None,
        "runs": len(finding.runs),
        "planned": finding.planned,
        "train_seconds": finding.seconds,
    }


def cost_cell(finding: Finding) -> str:
    """Returns the cost of a claim's runs for the cell of a table."""
    if not finding.runs:
        return f"{finding.planned} runs"
    return f"{len(finding.runs)} of {finding.planned} runs, {formatting.duration(finding.seconds)}"
