"""What an earlier attempt leaves in a run's folder until the run is sealed.

The record of a failed run, in failed/, while it is tried again; and why a run is tried again, in last.retried, so that
its record says so even if the attempt that noted it is stopped, and another call finishes the run.
"""

import dataclasses
import shutil
from contextlib import suppress
from pathlib import Path

from convarium.disk import read_text, write_file, write_text
from convarium.errors import FileContentError
from convarium.runs.files import FAILED
from convarium.runs.seal import SEAL
from convarium.runs.stored_run import StoredRun, read_run

RETRIED = "last.retried"
_REASON_BYTES = 2**12


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


def note_retry(path: Path, reason: str) -> None:
    """Writes down why the run in a folder is tried again. Where it cannot be written, training goes on without it."""
    with suppress(OSError):
        write_text(path / RETRIED, reason)


def noted_retry(path: Path) -> str | None:
    """Why the unfinished run in a folder was tried again, see `note_retry`; None if it was not."""
    with suppress(OSError, FileContentError):
        return read_text(path / RETRIED, _REASON_BYTES)
    return None


def drop_noted_retry(path: Path) -> None:
    """Deletes what `note_retry` wrote, now that the run's record says it."""
    (path / RETRIED).unlink(missing_ok=True)
