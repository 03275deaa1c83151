"""The record of a failed run while it is tried again: failed/ in its folder, until the new attempt is sealed."""

import dataclasses
import shutil
from pathlib import Path

from convarium.disk import write_file
from convarium.runs.files import FAILED
from convarium.runs.seal import SEAL
from convarium.runs.stored_run import StoredRun, read_run


def keep_failed_run(path: Path) -> None:
    """Moves the record of a failed run to failed/, so that its folder is that of an unfinished run.

    At every moment the run has one whole record. Its checkpoint stays, and the new attempt goes on from it.
    """
    kept = path / FAILED
    if kept.exists():
        shutil.rmtree(kept)
    kept.mkdir()
    files = [file for file in path.iterdir() if file.is_file() and not file.name.startswith((".", "events.", "last."))]
    for file in sorted(files, key=lambda file: file.name == SEAL):  # the seal last
        content = file.read_bytes()
        write_file(kept / file.name, lambda copy, content=content: copy.write(content))  # type: ignore[misc]
    (path / SEAL).unlink()


def read_failed_run(path: Path) -> StoredRun | None:
    """The failed run of a folder in which it is tried again; None if there is none.

    Raises:
        StoreError: its record is damaged or may not be read.
    """
    if not (path / FAILED / SEAL).exists():
        return None
    run = read_run(path / FAILED)
    return dataclasses.replace(run, path=path, recorded_counts=run.predicted(), files={})


def drop_failed_run(path: Path) -> None:
    """Deletes what `keep_failed_run` kept, now that the run has a seal again, which counts in any case."""
    shutil.rmtree(path / FAILED, ignore_errors=True)
