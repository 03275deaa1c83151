"""Pooling stores: the runs and studies of others, made on other machines, are copied into one, verified before.

Nothing of the store is overwritten. Where two stores hold different results of one recipe, one of them is kept, and
which one is said.
"""

import dataclasses
import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from convarium.characters import visible
from convarium.disk import remove_unfinished, write_file
from convarium.errors import StoreError
from convarium.recipes.recipe import ADDED_FIELDS, Recipe
from convarium.records import Environment
from convarium.runs.archive import RECORDS
from convarium.runs.environment import environment_changes
from convarium.runs.listing import run_folders
from convarium.runs.locks import lock_file
from convarium.runs.reading import check_place
from convarium.runs.seal import PREDICTIONS, SEAL, WEIGHTS
from convarium.runs.store import Store, StoredRun, StudyRecord

_COPYING = ".merging-"
_DIFFERING = {
    "processor": "processors",
    "device": "devices",
    "threads": "numbers of threads",
    "torch": "versions of torch",
}


@dataclass(frozen=True, repr=False)
class Merge:
    """What `merge` has done.

    Attributes:
        copied: the runs that the store did not have, as it has them now.
        present: how many of the others' runs it had already, with the same results.
        studies: the names of the studies that are new or were extended.
        notes: sentences about runs whose results differ between stores, runs that are unfinished, and environments.
    """

    copied: tuple[StoredRun, ...]
    present: int
    studies: tuple[str, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        found = f"{len(self.copied):,} runs copied, {self.present:,} present, {len(self.studies):,} studies changed"
        return visible("\n".join([f"Merge({found})", *self.notes]))


def merge(store: Store, others: Sequence[Store]) -> Merge:
    """Copies the runs and studies of other stores into a store, all of them or none.

    Every file is compared with its digest before anything is copied. A run that the store has stays as it is. Studies
    of one name become one study with the runs of all.

    Args:
        store: the store that gains them; it is made if it does not exist.
        others: the other stores, which are only read. Of a run that several of them have, the first one's is copied,
            or of a failed run the first that did not fail.

    Raises:
        StoreError: a store has no runs, is a folder of records or the store itself; a run or a study is damaged; or
            two studies of one name have different base recipes. Nothing was copied.
        LockedError: another process is merging, or is training one of the runs. Nothing was copied.
        OSError: something cannot be copied, as when the disk is full. Nothing was copied.
    """
    store.check_writable()
    for other in others:
        _check_readable(store, other)
    found = {other.root: _verified_runs(other) for other in others}
    records = [other.study(name) for other in others for name in other.study_names()]
    here = {run.key: run for run in _verified_runs(store)}
    notes, chosen, present = list[str](), dict[str, StoredRun](), 0
    for run in itertools.chain.from_iterable(found.values()):
        mine = here.get(run.key) or chosen.get(run.key)
        if mine is not None and _is_better(run, mine) and run.key not in here:
            mine = None
        if mine is None:
            chosen[run.key] = run
        elif _has_same_results(mine, run):
            present += run.key in here
        else:
            notes.append(_difference(mine, run))
    changes = _changed_studies(store, records, here | chosen)
    (store.root / "runs").mkdir(parents=True, exist_ok=True)
    with lock_file(store.root / "runs" / ".merging.lock", f"the merging of {store.root}"):
        copied = _copy(store, list(chosen.values()))
    for name, change in changes.items():
        store.update_study(name, change)  # as it is now: another process may have extended it meanwhile
    notes += _unfinished(others, found)
    notes += _environments([run.outcome.environment for run in (here | chosen).values()])
    return Merge(tuple(copied), present, tuple(changes), tuple(notes))


def _check_readable(store: Store, other: Store) -> None:
    if (other.root / RECORDS).exists():
        raise StoreError(f"{other.root} is a folder of records without weights, which cannot be merged")
    if not (other.root / "runs").is_dir():
        raise StoreError(f"{other.root} is no store: it has no folder runs/", hint="name the folder that holds runs/")
    if other.root.resolve() == store.root.resolve():
        raise StoreError(f"{other.root} cannot be merged into itself", hint="name the other stores")


def _verified_runs(store: Store) -> list[StoredRun]:
    runs = store.runs()
    for run in runs:
        check_place(run)
        run.verify()
    return runs


def _is_better(run: StoredRun, other: StoredRun) -> bool:
    return other.outcome.status == "failed" and run.outcome.status != "failed"


def _has_same_results(one: StoredRun, other: StoredRun) -> bool:
    """Whether two runs have the same bits, times apart."""
    histories = [[dataclasses.replace(row, seconds=0.0) for row in run.outcome.history] for run in (one, other)]
    return (
        str(histories[0]) == str(histories[1])  # as text, in which NaN is NaN
        and one.outcome.status == other.outcome.status
        and all(one.files.get(name) == other.files.get(name) for name in (WEIGHTS, PREDICTIONS))
    )


def _difference(kept: StoredRun, other: StoredRun) -> str:
    changes = environment_changes([kept.outcome.environment, other.outcome.environment])
    why = f" ({'; '.join(changes)})" if changes else ", although both name the same environment"
    return (
        f"{kept.recipe.model} seed {kept.recipe.seed} has other results in {other.path} than in {kept.path}{why}; "
        "the latter are kept"
    )


def _changed_studies(
    store: Store, records: Sequence[StudyRecord], runs: Mapping[str, StoredRun]
) -> dict[str, Callable[[StudyRecord | None], StudyRecord]]:
    """What is to become of the studies that are new or extended, each with the runs of all stores in the order of
    networks and seeds: functions of the study as the store has it.

    Raises:
        StoreError: two of one name have different base recipes.
    """
    theirs: dict[str, StudyRecord] = {}
    for record in records:
        known = theirs.get(record.name)
        theirs[record.name] = record if known is None else _joined(known, record)
    names = set(store.study_names())
    changes: dict[str, Callable[[StudyRecord | None], StudyRecord]] = {}
    for name, record in theirs.items():
        change = partial(_extended, by=record, runs=runs)
        mine = store.study(name) if name in names else None
        if mine is None:
            store.check_study_name(name)
        if change(mine) != mine:
            changes[name] = change
    return changes


def _extended(mine: StudyRecord | None, *, by: StudyRecord, runs: Mapping[str, StoredRun]) -> StudyRecord:
    return _in_order(by if mine is None else _joined(mine, by), runs)


def _joined(one: StudyRecord, other: StudyRecord) -> StudyRecord:
    added = {name: getattr(Recipe, name) for name in ADDED_FIELDS}  # which older studies have at their defaults
    first, second = ({"compare": study.compare, **added, **study.base} for study in (one, other))
    for name in {**first, **second}:
        if first.get(name) != second.get(name):
            raise StoreError(
                f"the stores have different studies {one.name!r}: {name} is {first.get(name)!r} in one and "
                f"{second.get(name)!r} in another",
                hint="merge them into different stores",
            )
    planned = set(one.keys[: one.planned]) | set(other.keys[: other.planned])
    keys = dict.fromkeys((*one.keys[: one.planned], *other.keys[: other.planned], *one.keys, *other.keys))
    stacked = {key for stack in one.stacks for key in stack}
    stacks = (*one.stacks, *(stack for stack in other.stacks if not stacked & set(stack)))
    # A recommendation is of the runs that it saw: more of them could name another network.
    recommended = next((s.recommended for s in (one, other) if s.recommended and set(s.keys) == set(keys)), ())
    return dataclasses.replace(one, keys=tuple(keys), planned=len(planned), stacks=stacks, recommended=recommended)


def _in_order(record: StudyRecord, runs: Mapping[str, StoredRun]) -> StudyRecord:
    """The study with its keys by compared value and seed, as one study of all would have them, those planned first."""
    values = dict.fromkeys(getattr(runs[key].recipe, record.compare) for key in record.keys if key in runs)
    places = {value: place for place, value in enumerate(values)}

    def place(key: str) -> tuple[int, int]:
        run = runs.get(key)
        return (len(places), 0) if run is None else (places[getattr(run.recipe, record.compare)], run.recipe.seed)

    planned, added = record.keys[: record.planned], record.keys[record.planned :]
    return dataclasses.replace(record, keys=(*sorted(planned, key=place), *sorted(added, key=place)))


def _copy(store: Store, runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Copies runs into hidden folders first, compares the copies, and moves them to their places when all are there."""
    root = store.root / "runs"
    for leftover in root.glob(f"{_COPYING}*"):  # of a process that was killed
        shutil.rmtree(leftover)
    copies = [(run, root / f"{_COPYING}{number}") for number, run in enumerate(runs)]
    moved: list[Path] = []
    try:
        for run, copy in copies:
            _copy_files(run, copy)
        for run, copy in copies:  # locked one by one, because a process has only so many open files
            with store.lock([run.key]):
                place = _free_folder(store, run)
                copy.rename(place)
                moved.append(place)
    except BaseException:
        for place in moved:
            shutil.rmtree(place)
        raise
    finally:
        for _, copy in copies:
            shutil.rmtree(copy, ignore_errors=True)
    return [store.run(str(path)) for path in moved]


def _copy_files(run: StoredRun, folder: Path) -> None:
    """Copies the files that are believed, each compared with its digest again, and what TensorBoard reads."""
    folder.mkdir()
    events = [file.name for file in run.path.glob("events.*") if file.is_file() and not file.is_symlink()]
    for name in (*run.files, SEAL, *events):
        with (run.path / name).open("rb") as source:
            write_file(folder / name, partial(shutil.copyfileobj, source))
    dataclasses.replace(run, path=folder, _compared={}).verify()


def _free_folder(store: Store, run: StoredRun) -> Path:
    """Where a run is moved to. What another process has left unfinished there is set aside.

    Raises:
        StoreError: another process has finished the run meanwhile.
    """
    place = store.folder(run.recipe, run.key)
    if store.is_sealed(place):
        raise StoreError(f"{place} was finished meanwhile", hint="give the same command again")
    if place.exists():
        store.set_aside(place)
        place = store.folder(run.recipe, run.key)
    remove_unfinished(place)
    return place


def _unfinished(others: Sequence[Store], found: Mapping[Path, Sequence[StoredRun]]) -> Iterator[str]:
    for other in others:
        number = len(run_folders(other)) - len(found[other.root])
        if number:
            runs, were = ("1 run", "was") if number == 1 else (f"{number} runs", "were")
            yield f"{runs} of {other.root} {were} not copied, because unfinished or set aside"


def _environments(environments: Sequence[Environment]) -> Iterator[str]:
    """Says in what the environments of all runs differ."""
    parts = []
    for name, title in _DIFFERING.items():
        values = dict.fromkeys(str(getattr(environment, name)) for environment in environments)
        parts += [f"{len(values)} {title} ({', '.join(values)})"] if len(values) > 1 else []
    if parts:
        yield f"the runs were made with {' and '.join(parts)}: their times are not comparable"
