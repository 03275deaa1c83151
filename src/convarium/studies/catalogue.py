"""The catalogue: every published claim that a built-in study judges, and what stored records say about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convarium.analysis.claims import Claim, Verdict, labels_of, published
from convarium.analysis.comparison import Comparison
from convarium.errors import ConvariumError, SpecError
from convarium.runs.archive import RECORDS, add_records, read_records
from convarium.runs.files import write_json
from convarium.runs.store import Store, StoredRun
from convarium.spec import unknown
from convarium.studies.builtin import EXPERIMENTS
from convarium.studies.reasons import REASONS
from convarium.studies.study import Study, compare_study, judge_study

if TYPE_CHECKING:
    from convarium.studies.resources import Resources
    from convarium.studies.run import StudyEvent


@dataclass(frozen=True)
class Entry:
    """One published claim: its short name, the study that judges it, and why a contradiction may be."""

    name: str
    claim: Claim
    study: Study
    reason: str | None = None


@dataclass(frozen=True)
class Finding:
    """What stored records say about a claim.

    Attributes:
        verdict: None where the claim's rows have no runs yet.
        runs: those of the claim's rows.
        planned: how many the study plans for these rows.
        seconds: that the runs took in training, all together.
        error: why the claim's study could not be run.
    """

    entry: Entry
    verdict: Verdict | None
    runs: tuple[StoredRun, ...]
    planned: int
    seconds: float
    error: ConvariumError | None = None


def catalogue(studies: Iterable[Study] = tuple(EXPERIMENTS.values())) -> dict[str, Entry]:
    """Every claim of the studies by its name, in their order.

    Raises:
        SpecError: two claims share a name.
    """
    found: dict[str, Entry] = {}
    for study in studies:
        for name, claim in study.claims.items():
            if name in found:
                raise SpecError(f"two claims are called {name!r}", hint=f"rename the one of {study.name}")
            found[name] = Entry(name, claim, study, REASONS.get(name))
    return found


def select(names: Sequence[str], entries: Mapping[str, Entry]) -> tuple[Entry, ...]:
    """The claims that are asked for: by name, by study, by the source's tag, or "all".

    Raises:
        SpecError: nothing goes by that name.
    """
    chosen: dict[str, Entry] = {}
    for name in names:
        found = {n: e for n, e in entries.items() if name in ("all", n, e.study.name, tag(e.claim))}
        if not found:
            known = [*entries, *{e.study.name for e in entries.values()}, *{tag(e.claim) for e in entries.values()}]
            raise unknown("claim", name, known, hint="see convarium reproduce for all of them")
        chosen |= found
    return tuple(chosen.values())


def tag(claim: Claim) -> str:
    """The source's tag, the first words of its citation: "mnist-report", "he2016"."""
    return claim.source.partition(",")[0]


def needed(entries: Sequence[Entry]) -> tuple[tuple[Study, tuple[Any, ...]], ...]:
    """The studies that judge these claims, each with the compared values that the claims speak of."""
    found: dict[str, tuple[Study, dict[Any, None]]] = {}
    for entry in entries:
        _, values = found.setdefault(entry.study.name, (entry.study, {}))
        values.update(dict.fromkeys(entry.study.values_of(entry.claim)))
    return tuple((study, tuple(values)) for study, values in found.values())


def run_needed(
    entries: Sequence[Entry],
    resources: Resources,
    *,
    stack: bool = False,
    on_event: Callable[[StudyEvent], None] | None = None,
) -> dict[str, ConvariumError]:
    """Runs the rows that the claims speak of, study by study.

    Args:
        entries: the claims.
        resources: the store, the data sets and the device.
        stack: train each network's seeds at the same time.
        on_event: called as the studies go on, with a message before each: its plan, or why it cannot be run.

    Returns:
        Why a study could not be run, by its name; the others run nevertheless.
    """
    from convarium.studies.plan import describe_plan, plan_study, prepare_study
    from convarium.studies.run import StudyEvent, run_prepared

    listen = on_event or (lambda _: None)
    errors: dict[str, ConvariumError] = {}
    for study, values in needed(entries):
        head = StudyEvent(0, len(study.recipes), study.recipes[0])
        try:
            prepared = prepare_study(study, resources, only=values)
            plan = describe_plan(plan_study(prepared, resources))
            listen(dataclasses.replace(head, message=f"{study.name}: {plan}"))
            run_prepared(prepared, resources, stack=stack, on_event=on_event)
        except ConvariumError as error:
            listen(dataclasses.replace(head, message=f"{study.name}: {error}"))
            errors[study.name] = error
    return errors


def findings(entries: Iterable[Entry], stores: Sequence[Store]) -> tuple[Finding, ...]:
    """What the stores say about each claim; of several that hold a study, the one with the most runs speaks."""
    of: dict[str, Comparison | None] = {}
    found = []
    for entry in entries:
        name = entry.study.name
        if name not in of:
            of[name] = stored_comparison(name, stores)
        found.append(_finding(entry, of[name]))
    return tuple(found)


def stored_comparison(name: str, stores: Sequence[Store]) -> Comparison | None:
    """The comparison of a study's finished runs; None where no store has one."""
    records = [(store, record) for store in stores if (record := store.find_study(name)) is not None]
    held = [(store.runs_of(record), store, record) for store, record in records]
    runs, store, record = max(held, key=lambda h: len(h[0]), default=((), None, None))
    return compare_study(record, store) if runs and store is not None and record is not None else None


def _finding(entry: Entry, comparison: Comparison | None) -> Finding:
    values = entry.study.values_of(entry.claim)
    planned = sum(getattr(recipe, entry.study.compare) in values for recipe in entry.study.recipes)
    only = dataclasses.replace(entry.study, claims={entry.name: entry.claim})
    verdict = judge_study(only, comparison).get(entry.name) if comparison else None
    runs: tuple[StoredRun, ...] = ()
    if comparison and verdict:
        runs = tuple(run for label in labels_of(entry.claim) for run in comparison.row(label).runs)
    seconds = sum(run.outcome.cost.train_seconds for run in runs if run.outcome.cost)
    return Finding(entry, verdict, runs, planned, seconds)


def as_json(finding: Finding) -> dict[str, Any]:
    """A finding as values that JSON has."""
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


def export_study(name: str, store: Store, target: Store) -> int:
    """Adds a study and the records of its finished runs to a folder of records.

    Of each run the recipe, history and outcome are kept, no weights and no predictions: enough for every comparison
    and verdict. A record that the folder has already is replaced; one that the store does not have stays.

    Args:
        name: of the study.
        store: that holds the study.
        target: the folder of records, or one that does not exist yet.

    Returns:
        How many runs of the study the folder holds now.

    Raises:
        StoreError: there is no such study, or one of its runs is damaged.
    """
    record = store.study(name)
    path = target.root / RECORDS
    add_records(path, store.runs_of(record))
    before = target.find_study(name)
    keys = record.keys if before is None else tuple(dict.fromkeys((*before.keys, *record.keys)))
    studies = target.root / "studies"
    studies.mkdir(exist_ok=True)
    write_json(studies / f"{name}.json", dataclasses.asdict(dataclasses.replace(record, keys=keys)))
    return len(set(keys) & set(read_records(path)))


def results_folder() -> Path:
    """The folder of measured records: inside an installed package, or in the checkout that this code runs from."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "results"
    return installed if installed.is_dir() else package.parents[1] / "results"
