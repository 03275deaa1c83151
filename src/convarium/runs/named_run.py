"""Finds a run by what a person calls it."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from convarium.errors import StoreError
from convarium.runs.folders import RunFolders, name_without_digits
from convarium.runs.reading import RunReader, check_place
from convarium.runs.stored_run import StoredRun


def named_run(
    name: str, runs_folder: Path, *, reader: RunReader, folders: RunFolders, records: Mapping[str, StoredRun]
) -> StoredRun:
    """See `Store.run`.

    Args:
        name: of the run's folder, its path, or the beginning of its key.
        runs_folder: that holds the folders of the store's runs.
        reader, folders: of the store.
        records: the runs of its records file by their keys.
    """
    given = Path(name)
    for path in (given, runs_folder / name):
        run = reader.read(path)
        if run:
            check_place(run)
            return run
    recorded = [
        run
        for run in records.values()
        if run.path in (given, runs_folder / name)
        or (len(name) >= 4 and run.key.startswith(name))
        or name_without_digits(run.path.name) == name
    ]
    if len(recorded) == 1:
        return recorded[0]
    matches = folders.beginning(name) if name else []
    runs = [run for run in map(reader.read, matches) if run and run.key.startswith(name)]
    runs = runs or [*filter(None, map(reader.read, folders.called(name)))]
    if len(runs) == 1:
        return runs[0]
    if runs:
        raise StoreError(
            f"{len(runs)} runs match {name!r}", hint=f"say which: {', '.join(r.path.name for r in runs[:3])}"
        )
    raise StoreError(f"no finished run {name!r} in {runs_folder}", hint=_way_to(name, runs_folder))


def _way_to(name: str, folder: Path) -> str:
    """What to try where no finished run is called so."""
    if name and os.path.isdir(folder / name):  # noqa: PTH112 — a name that is too long is no folder
        return "it has not finished: give the command that began it again"
    names: list[str] = []
    with suppress(OSError):
        names = sorted(path.name for path in folder.iterdir() if name and path.name.startswith(name))
    return f"did you mean {' or '.join(names[:3])}?" if names else "see convarium list runs"
