"""Where compiled kernels are kept: in folders of this user alone, each library with a digest that is checked first.

To load a library is to run it, and to load one that is cut ends the process.
"""

import errno
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from platformdirs import user_cache_path

from convarium import disk
from convarium.errors import FileContentError

REMEMBERED_SECONDS = 24 * 60 * 60
"""For so long, a compiler that failed is not asked again."""
PASSING_SECONDS = 10 * 60
"""The same where it failed for a reason that may pass, such as a full disk."""
_PASSING_REASONS = (
    "No space left on device",
    "Disk quota exceeded",
    "Input/output error",
    "Too many open files",
    "Resource temporarily unavailable",
    "Cannot allocate memory",
    "out of memory",
    "memory exhausted",
    "Bus error",  # a file that is mapped on a full disk
    "signal",  # "Killed signal terminated program cc1", "ld terminated with signal 9 [Killed]"
    "was not ready after",
    "ended with code",  # without a word why
)
_MOST_BYTES = 2**26
_DIGEST_BYTES = hashlib.sha256().digest_size
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def library_folders() -> list[Path]:
    """Where libraries are looked for and kept, whether or not the folders are there and safe.

    They are in the user's cache and, for a cache that is read-only, full or without the right to execute, in the folder
    for temporary files.
    """
    folders = []
    with suppress(RuntimeError):  # a user without a home
        folders.append(user_cache_path("convarium") / "kernels")
    with suppress(FileNotFoundError):  # no folder for temporary files
        folders.append(Path(tempfile.gettempdir(), f"convarium-kernels-{os.geteuid()}"))
    return [folder for folder in folders if folder.is_absolute()]  # older platformdirs answer "~/.cache" without a home


def make_private(folder: Path) -> bool:
    """Makes a folder, if it is missing, and takes all rights from others; False if that does not make it safe."""
    try:
        for part in (*reversed(folder.parents), folder):
            part.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) != 0o700:
            folder.chmod(0o700)
        return _is_private(folder)
    except OSError:
        return False


def _is_private(folder: Path) -> bool:
    """Whether nobody else can put files into a folder, or another folder into its place.

    Raises:
        OSError: it is missing, or cannot be looked at.
    """
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & _WRITABLE_BY_OTHERS:
        return False
    return not any(_may_rename(parent.stat()) for parent in folder.resolve().parents)


def _may_rename(folder: os.stat_result) -> bool:
    """Whether everybody may exchange what is in a folder."""
    return bool(folder.st_mode & stat.S_IWOTH) and not folder.st_mode & stat.S_ISVTX


def read_library(path: Path) -> bytes | None:
    """The content of a kept library; None if it is missing, damaged, somebody else's, or writable by others."""
    try:
        content = _read_private(path, _MOST_BYTES)
    except (OSError, FileContentError):
        return None
    library, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    return library if library and _digest(path, library) == digest else None


def write_library(path: Path, library: bytes) -> None:
    """Keeps a library, with its digest behind it, which the loader of libraries does not read.

    Raises:
        OSError: the folder cannot be written to, or is not safe.
    """
    _write_private(path, library + _digest(path, library))


def read_failure(path: Path, compiler: str) -> str | None:
    """Why this compiler failed, if that is still remembered and the compiler has not changed; otherwise None."""
    try:
        values = disk.parse_json(_read_private(path, 2**16).decode(), os.fspath(path))
        reason, when, identity = values["reason"], values["time"], values["compiler"]
        if identity != _identity(compiler) or not isinstance(reason, str):
            return None
        return reason if 0 <= time.time() - when < remembered_seconds(reason) else None
    except (OSError, FileContentError, TypeError, KeyError, ValueError, OverflowError):
        return None


def remembered_seconds(reason: str) -> int:
    """For how long a compiler is not asked again that failed for this reason."""
    return PASSING_SECONDS if any(words in reason for words in _PASSING_REASONS) else REMEMBERED_SECONDS


def write_failure(path: Path, compiler: str, reason: str) -> None:
    """Remembers that a compiler failed.

    Raises:
        OSError: the folder cannot be written to, or is not safe.
    """
    text = disk.canonical_json({"reason": reason, "time": time.time(), "compiler": _identity(compiler)})
    _write_private(path, text.encode())


@contextmanager
def locked(path: Path, *, limit_seconds: float) -> Iterator[None]:
    """Inside, other processes that lock this path wait; after the limit, or where files have no locks, nobody waits."""
    import filelock  # only where something is compiled

    lock = filelock.FileLock(path, timeout=limit_seconds, fallback_to_soft=False)
    try:
        lock.acquire()
    except (OSError, NotImplementedError):  # filelock's Timeout is an OSError
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _read_private(path: Path, limit_bytes: int) -> bytes:
    """The content of a file that nobody else can have written.

    Raises:
        OSError, FileContentError: there is none.
    """
    status = path.lstat()
    ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
    if not ours or status.st_mode & _WRITABLE_BY_OTHERS or not _is_private(path.parent):
        raise FileContentError(f"others can write to {path}")
    return disk.read_bytes(path, limit_bytes)


def _write_private(path: Path, content: bytes) -> None:
    if not make_private(path.parent):
        raise PermissionError(errno.EPERM, "others can write to this folder", os.fspath(path.parent))
    if path.is_symlink() or not path.is_file():  # a link, a pipe: not written through
        path.unlink(missing_ok=True)

    def fill(file: IO[bytes]) -> None:
        os.fchmod(file.fileno(), 0o600)  # whatever the umask is
        file.write(content)

    disk.write_file(path, fill)


def _digest(path: Path, library: bytes) -> bytes:
    """With the file's name, in which the processor is: a library under another name is not loaded."""
    return hashlib.sha256(path.name.encode() + b"\0" + library).digest()


def _identity(compiler: str) -> list[str | int]:
    """What changes when a compiler is updated."""
    path = Path(compiler).resolve()
    status = path.stat()
    return [os.fspath(path), status.st_size, status.st_mtime_ns]
