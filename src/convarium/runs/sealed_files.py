"""The files of a sealed run, each compared with its digest in the seal, and what is said of one that is damaged."""

import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from convarium.disk import file_digest, read_bytes_and_state
from convarium.errors import ConvariumError, DamageError, FileContentError, StoreError
from convarium.runs.checked_values import UnknownFieldError
from convarium.runs.seal import SEAL

LIMIT = 24 * 2**20
"""The most bytes of a text file of a run that are read: a seal of 1,000 classes with dense matrices has 21 MB."""

ARRAYS_LIMIT = 16 * 2**30
"""The same of a file of arrays."""

MEND = "delete the folder, or run its study again, which sets it aside and trains it anew"
"""The hint of every error about damage."""


@contextmanager
def naming_damage(folder: Path, name: str) -> Iterator[None]:
    """Turns what goes wrong while a file of a run is read into an error that names the file.

    Raises:
        DamageError: the file is missing or damaged.
        StoreError: the system does not let it be read, which says nothing about its content.
    """
    try:
        yield
    except StoreError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DamageError(f"{folder / name} is missing", hint=MEND) from error
    except OSError as error:
        raise StoreError(
            f"{folder / name} cannot be read: {error.strerror or error}", hint="check its permissions"
        ) from error
    except UnknownFieldError as error:
        raise StoreError(
            f"{folder / name} cannot be read: {error}", hint="update Convarium, or use another --store"
        ) from error
    except FileContentError as error:
        wrong = error.wrong if name in error.wrong else f"{folder / name} is damaged: {error.wrong}"
        raise DamageError(wrong, expected=error.expected, hint=MEND) from error
    except ConvariumError as error:
        raise DamageError(f"{folder / name} cannot be read: {error}", hint=MEND) from error
    except RecursionError as error:
        raise DamageError(f"{folder / name} is damaged: it is nested too deeply", hint=MEND) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamageError(f"{folder / name} is damaged: {error}", hint=MEND) from error


def matches_digest(path: Path, digest: str, content: bytes | None = None) -> bool:
    """Whether a file, or what was read of it, has this digest."""
    return (file_digest(path) if content is None else sha256(content).hexdigest()) == digest


def compare_with_digest(path: Path, files: Mapping[str, str], compared: dict[str, tuple[int, int]]) -> None:
    """Compares a file with its digest, unless its size and time of change are those that it had with its digest.

    Args:
        path: of the file.
        files: the digests in the seal, by name.
        compared: the sizes and times of the files that had their digests; this one is added.

    Raises:
        DamageError: it has another digest.
        ValueError: it is not a file.
        OSError: it cannot be read.
    """
    state = _state(path)
    if compared.get(path.name) != state and not matches_digest(path, files[path.name]):
        raise _changed(path)
    compared[path.name] = state


def sealed_content(
    path: Path, files: Mapping[str, str], compared: dict[str, tuple[int, int]], *, limit_bytes: int
) -> bytes:
    """The content of a file after `compare_with_digest`, from one reading; FileContentError if it is too large."""
    content, state = read_bytes_and_state(path, limit_bytes)
    if compared.get(path.name) != state:
        if not matches_digest(path, files[path.name], content):
            raise _changed(path)
        compared[path.name] = state
    return content


def _state(path: Path) -> tuple[int, int]:
    """Size and time of last change of a file; of anything else, a ValueError."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise ValueError("it is not a file")
    return state.st_size, state.st_mtime_ns


def _changed(path: Path) -> DamageError:
    return DamageError(f"{path} is damaged: its digest is not the one in {SEAL}", hint=MEND)
