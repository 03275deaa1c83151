"""What lies in a store: every run with its state, its size and the studies that use it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from convarium.errors import LockedError, StoreError
from convarium.runs.folders import digits_in_name, key_of, name_without_digits
from convarium.runs.quick_look import quick_look
from convarium.runs.reading import check_place, garbage_collection_paused
from convarium.runs.store import Store
from convarium.runs.stored_run import StoredRun

State = Literal["finished", "at chance", "diverged", "failed", "unfinished", "in training", "damaged"]
SET_ASIDE = ".damaged-"


@dataclass(frozen=True, repr=False)
class RunEntry:
    """One folder of a store's runs, whatever its state.

    Attributes:
        path: the folder; of a run in a records file, the folder in which it would lie.
        state: how the run ended: "finished", or "at chance" if it does no better than always naming one class, and so
            on; "damaged" also if its folder was set aside, copied or renamed.
        size_bytes: of all files in the folder; 0 for a run in a records file.
        studies: the names of the studies that use the run.
        key: of the run; None where the folder does not say.
        reason: why it is damaged; else why it is mixed, and that its record has no digest of its own if so, see
            `StoredRun`.
    """

    path: Path
    state: State
    size_bytes: int
    studies: tuple[str, ...] = ()
    key: str | None = None
    reason: str | None = None

    def __repr__(self) -> str:
        return f"RunEntry({self.name!r}, {self.state}, {self.size_bytes:,} bytes)"

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name


def list_runs(store: Store) -> list[RunEntry]:
    """Every run of a store by its folder's name, also those that are unfinished, damaged or set aside.

    A study whose file is damaged is passed over.
    """
    studies = studies_by_key(store)
    recorded = [RunEntry(run.path, _state(run), 0, studies.get(key, ()), key) for key, run in store.records.items()]
    with garbage_collection_paused():
        entries = [_entry(path, store, studies) for path in run_folders(store)]
    return sorted([*recorded, *entries], key=lambda entry: _order(entry.name))


def _order(name: str) -> tuple[str, int, str]:
    """Sorts seeds as numbers: seed 2 comes before seed 10."""
    before, found, seed = name_without_digits(name).rpartition("-s")
    return (before, int(seed), name) if found and seed.isdecimal() else (name, 0, name)


def studies_by_key(store: Store) -> dict[str, tuple[str, ...]]:
    """The names of the studies that use each run, by its key; a study whose file is damaged is passed over."""
    studies: dict[str, tuple[str, ...]] = {}
    for name in store.study_names():
        try:
            keys = store.study(name).keys
        except StoreError:
            continue
        for key in dict.fromkeys(keys):
            studies[key] = (*studies.get(key, ()), name)
    return studies


def run_folders(store: Store) -> list[Path]:
    """The folders in a store's runs/, without hidden ones."""
    try:
        names = sorted(os.listdir(store.root / "runs"))  # noqa: PTH208  (no Path for each of 10,000 names)
    except (FileNotFoundError, NotADirectoryError):
        return []
    paths = (store.root / "runs" / name for name in names if not name.startswith("."))
    return [path for path in paths if path.is_dir()]


def folder_bytes(path: Path) -> int:
    """The size of all files in a folder. Links are not followed; a file that goes meanwhile counts nothing."""
    return sum(_sizes(path))


def _sizes(path: Path) -> Iterator[int]:
    if path.is_symlink():
        return
    try:
        with os.scandir(path) as found:
            entries = list(found)
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _sizes(Path(entry.path))
            continue
        try:
            yield entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue


def _state(run: StoredRun) -> State:
    return "at chance" if run.outcome.is_at_chance else run.outcome.status


def _entry(path: Path, store: Store, studies: dict[str, tuple[str, ...]]) -> RunEntry:
    size = folder_bytes(path)
    whole = quick_look(path)
    if whole is not None and SET_ASIDE not in path.name:
        return RunEntry(
            path, "at chance" if whole.is_at_chance else whole.status, size, studies.get(whole.key, ()), whole.key
        )
    if SET_ASIDE in path.name:
        return RunEntry(path, "damaged", size, reason="it was set aside")
    try:
        run = store.reader.read(path)
        if run is not None:
            check_place(run)
    except StoreError as error:
        key = key_of(path)
        return RunEntry(path, "damaged", size, studies.get(key or "", ()), key, reason=error.wrong)
    key = run.key if run else key_of(path)
    used = studies.get(key or "", ())
    if run is not None and store.is_sealed(path):
        reasons = [f"mixed: {run.mixed_reason}"] if run.is_mixed else []
        reasons += [] if run.has_digest else ["no digest of its own"]
        return RunEntry(path, _state(run), size, used, key, "; ".join(reasons) or None)
    digits = key or digits_in_name(path.name)
    if digits and is_locked(store, digits):
        return RunEntry(path, "in training", size, used, key)
    return RunEntry(path, "unfinished" if run is None else _state(run), size, used, key)


def is_locked(store: Store, key: str) -> bool:
    """Whether another process is training a run; False also where this process may not ask.

    Args:
        store: that holds the run.
        key: of the run, or its first eight digits.
    """
    if not store.lock_path(key).exists():
        return False
    try:
        with store.lock([key]):
            return False
    except LockedError:
        return True
    except (StoreError, OSError):
        return False
