"""Removing runs and studies from a store: first what would go, then, under the locks, the removal itself."""

import itertools
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from convarium.errors import StoreError
from convarium.runs.folders import digits_in_name
from convarium.runs.listing import SET_ASIDE, RunEntry, folder_bytes, list_runs
from convarium.runs.store import Store

_LEAST_DIGITS = 4
_GOING = ".removed-"  # a folder that a killed removal left behind is no damaged run


@dataclass(frozen=True, repr=False)
class Removal:
    """What `remove` deletes.

    Attributes:
        studies: the folders of studies, with the reports in them.
        runs: the runs.
        kept: runs of these studies that stay because other studies use them: the names of those, by the run's name.
        used: the runs among `runs` that a study uses which stays: its names, by the run's name.
        size_bytes: of everything.
    """

    studies: tuple[Path, ...]
    runs: tuple[RunEntry, ...]
    kept: Mapping[str, tuple[str, ...]]
    used: Mapping[str, tuple[str, ...]]
    size_bytes: int

    def __repr__(self) -> str:
        return f"Removal({len(self.studies):,} studies, {len(self.runs):,} runs, {self.size_bytes:,} bytes)"


def plan_removal(store: Store, names: Sequence[str]) -> Removal:
    """What is to go; deletes nothing.

    Args:
        store: of the runs and studies.
        names: studies, which take the runs along that no other study uses, and runs by folder name, path or the
            beginning of their key, whatever their state.

    Raises:
        StoreError: a name that is none, several or both of a run and a study, or a store that is read only.
    """
    store.check_writable()
    for folder in (store.root / "runs", store.root / "studies"):
        if folder.is_symlink():
            raise StoreError(f"{folder} is a link, and nothing is removed through one", hint="remove it where it lies")
    entries, known = list_runs(store), store.study_names()
    studies, named = dict[str, None](), dict[str, RunEntry]()
    for name in names:
        found = _runs_called(store, entries, name)
        if name in known and found:
            raise StoreError(f"{name!r} is a study and a run", hint=f"write runs/{name} for the run")
        if name in known:
            studies[name] = None
        elif len(found) == 1:
            named[found[0].name] = found[0]
        elif found:
            raise StoreError(f"{len(found)} runs match {name!r}", hint=f"say which: {_listed(e.name for e in found)}")
        else:
            raise StoreError(
                f"no study and no run {name!r} in {store.root}", hint="see convarium list studies and list runs"
            )
    staying = {entry.name: tuple(s for s in entry.studies if s not in studies) for entry in entries}
    theirs = [entry for entry in entries if set(entry.studies) & set(studies) and entry.name not in named]
    runs = [entry for entry in entries if entry.name in named or (entry in theirs and not staying[entry.name])]
    places = (store.root / "studies" / file for name in studies for file in (name, f"{name}.json"))
    folders = tuple(place for place in places if os.path.lexists(place))
    return Removal(
        folders,
        tuple(runs),
        kept={entry.name: staying[entry.name] for entry in theirs if staying[entry.name]},
        used={name: staying[name] for name in named if staying[name]},
        size_bytes=sum(entry.size_bytes for entry in runs) + sum(map(folder_bytes, folders)),
    )


def remove(store: Store, names: Sequence[str], *, agreed: Removal | None = None) -> Removal:
    """Deletes runs and studies, and returns what has gone. Links are deleted, and what they lead to stays.

    Args:
        store: of the runs and studies.
        names: as for `plan_removal`.
        agreed: what a person has seen and agreed to; None: whatever the names stand for.

    Raises:
        StoreError: as `plan_removal`, or more would go than was agreed to.
        LockedError: another process is training one of the runs. Nothing has gone, unless that process has begun
            during this call.
    """
    going = plan_removal(store, names) if agreed is None else agreed
    with store.lock_studies():
        now = plan_removal(store, names)
        if {entry.name for entry in now.runs} - {entry.name for entry in going.runs}:
            raise StoreError("the store has changed meanwhile", hint="give the same command again")
        for entry in now.runs:
            with _locked(store, entry):
                pass
        try:
            for path in now.studies:  # first, so that no study names runs that have gone
                _move_away(path)
            for entry in now.runs:  # locked one by one, because a process has only so many open files
                with _locked(store, entry):
                    _move_away(entry.path)
        finally:
            for folder in (store.root / "studies", store.root / "runs"):
                for moved in folder.glob(f"{_GOING}*"):  # also what a removal that was killed has left
                    shutil.rmtree(moved)
    return now


def _locked(store: Store, entry: RunEntry) -> AbstractContextManager[None]:
    """Locks a run against a process that trains it. One that was set aside needs no lock."""
    key = None if SET_ASIDE in entry.name else entry.key or digits_in_name(entry.name)
    return store.lock([key] if key else [])


def _runs_called(store: Store, entries: Sequence[RunEntry], name: str) -> list[RunEntry]:
    """The runs of a folder's name or path, or of the beginning of their key."""
    runs = os.path.abspath(store.root / "runs")  # noqa: PTH100  (no link is followed)
    with suppress(ValueError):
        parent, last = os.path.split(os.path.abspath(name))  # noqa: PTH100
        in_store = os.path.abspath(store.root / name)  # noqa: PTH100
        exact = [
            entry
            for entry in entries
            if entry.name == name
            or (entry.name == last and parent == runs)
            or in_store == os.path.join(runs, entry.name)  # noqa: PTH118
        ]
        if exact:
            return exact
    if len(name) < _LEAST_DIGITS:
        return []
    keys = ((entry, entry.key or digits_in_name(entry.name) or "") for entry in entries)
    return [entry for entry, key in keys if key.startswith(name)]


def _move_away(path: Path) -> None:
    """Gives a folder a name that no reader looks at, in one step; a link, or a file, is deleted instead."""
    if path.is_symlink() or path.is_file():
        path.unlink()
        return
    (path / "study.json").unlink(missing_ok=True)
    for number in itertools.count():
        going = path.with_name(f"{_GOING}{number}")
        if not os.path.lexists(going):
            path.rename(going)
            return


def _listed(names: Iterable[str]) -> str:
    return ", ".join(list(names)[:3])
