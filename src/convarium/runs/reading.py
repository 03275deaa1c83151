"""How a store's runs are read: by their whole keys, once while their files do not change, and while others write."""

import errno
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from convarium.errors import DamageError, StoreError
from convarium.runs.failed import read_failed_run
from convarium.runs.files import FileState, file_state
from convarium.runs.folders import RunFolders, digits_in_name, key_of
from convarium.runs.seal import SEAL
from convarium.runs.stored_run import StoredRun, read_run

_ATTEMPTS = 4
"""How often a folder is read that another process is writing to."""


class RunReader:
    """Reads runs from their folders, and remembers them.

    Args:
        folders: of the runs.
    """

    def __init__(self, folders: RunFolders) -> None:
        self.folders = folders
        self._runs: dict[Path, tuple[FileState, StoredRun]] = {}

    def folder_of(self, key: str) -> Path | None:
        """The folder that holds a run, by the whole key in it; else one of its name that is damaged."""
        paths = [(path, key_of(path)) for path in self.folders.of(key)]
        ours = [path for path, held in paths if held == key]
        ours = ours or [path for path, held in paths if held is None or self._is_damaged(path)]
        return next((path for path in ours if (path / SEAL).exists()), ours[0] if ours else None)

    def find(self, key: str) -> StoredRun | None:
        """The finished or failed run of a key, whatever its recipe; None if there is none yet.

        Raises:
            StoreError: it is damaged, or may not be read.
        """
        damage: StoreError | None = None
        for path in self.folders.of(key):
            try:
                run = self.read(path)
            except StoreError as error:
                damage = error  # whatever key it names, which may be what was changed
                continue
            if run and run.key == key:
                return run
        if damage:
            raise damage
        return None

    def _is_damaged(self, path: Path) -> bool:
        try:
            self.read(path)
        except DamageError:
            return True
        return False

    def read(self, path: Path) -> StoredRun | None:
        """The run of a folder, from memory if its files have the sizes and times that they had; None if unfinished.

        Raises:
            StoreError: a file is missing or damaged, or may not be read.
        """
        for attempt in range(_ATTEMPTS):
            state = _state(path)
            if state is None:
                return None
            if path in self._runs and self._runs[path][0] == state:
                return self._runs[path][1]
            try:
                run = read_run(path) if any(name == SEAL for name, *_ in state) else read_failed_run(path)
            except StoreError:
                if attempt + 1 < _ATTEMPTS and _state(path) != state:
                    continue  # another process is writing the run
                raise
            if run is not None:
                self._runs[path] = state, run
                return run
            if _state(path) == state:
                return None
        return None

    def remember(self, run: StoredRun) -> None:
        """Takes a run as read that has just been written."""
        self._runs[run.path] = file_state(run.path), run


def check_place(run: StoredRun) -> None:
    """Refuses a folder that has been copied or renamed as if it held another run.

    Raises:
        StoreError: the folder's name ends in the digits of another key.
    """
    digits = digits_in_name(run.path.name)
    if digits and not run.key.startswith(digits):
        raise StoreError(
            f"{run.path} holds run {run.key[:8]}, {run.recipe.model} seed {run.recipe.seed}: it was copied or renamed",
            hint="give the folder its own name again",
        )


def _state(path: Path) -> FileState | None:
    """The state of a run's folder; None if there is no such folder.

    Raises:
        StoreError: it may not be read.
    """
    for _ in range(_ATTEMPTS):
        try:
            return file_state(path)
        except (NotADirectoryError, ValueError):  # no text with a zero byte is a path
            return None
        except FileNotFoundError:  # the folder is gone, or a file in it that another process replaced
            if not path.is_dir():
                return None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return None
            raise StoreError(f"{path} cannot be read: {error.strerror}", hint="check its permissions") from error
    return None


@contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Inside, Python does not look for cycles, of which records have none: it takes a sixth of the time of reading."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
