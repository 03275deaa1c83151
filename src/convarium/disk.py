"""Files, written whole or not at all, and read with limits: what every other module writes and reads goes through here.

A file that is being replaced is either the old one or the new one, also after the power fails: a temporary file beside
it is filled, flushed to the disk, closed, and renamed.
"""

import errno
import hashlib
import json
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn

from convarium.errors import ConvariumError, FileContentError

_MOST_BRACKETS = 500_000  # lists and tables of a JSON text: more of them take hundreds of times their size in memory
_READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # opens a pipe without a writer
_LINKS = 40  # as many links as Linux follows
_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.6)
"""Seconds between attempts to rename a file."""


def usable_path(path: Path | str, argument: str) -> Path:
    """A path that a user gave, with `~` and `~name` replaced by the home folder.

    Args:
        path: which need not exist.
        argument: what an error calls it, such as "--store".

    Raises:
        ConvariumError: it holds characters that no path or no record can have, or there is no such home folder.
    """
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConvariumError(f"{argument} is not UTF-8", received=text, hint="name another path") from None
    if "\0" in text:
        raise ConvariumError(f"{argument} has a NUL character", received=text, hint="name another path")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        hint = "write the whole path"
        raise ConvariumError(f"there is no home folder for {argument}", received=text, hint=hint) from error


def write_file(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Writes a file in one step: a process that has it open reads the old content or the new.

    Its mode is what the umask leaves of 0666. A link is followed, and a device or a pipe, such as /dev/stdout, is
    written to as it is. If anything fails, the old file stays and nothing else is left behind.

    Args:
        path: of the file; its folder exists.
        fill: writes the content into the open file that it gets.

    Raises:
        OSError: with `path` as its filename.
    """
    try:
        target = _link_target(path)
        if target is None or (target.exists() and not target.is_file()):
            with path.open("ab") as device:
                fill(device)
        else:
            _replace(target, fill)
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error


def write_text(path: Path, text: str) -> None:
    """Writes a text as UTF-8, see `write_file`."""
    content = text.encode()
    write_file(path, lambda file: file.write(content))


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON for people to read, see `write_file`.

    Raises:
        ValueError: a number that is not finite, which JSON has not.
    """
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def remove_unfinished(folder: Path, name: str = "*", *, idle_seconds: float = 0) -> None:
    """Removes the temporary files of processes that were killed while they wrote into a folder, see `write_file`.

    Args:
        folder: which may be missing.
        name: of the file that was being written, or a pattern.
        idle_seconds: for so long a file has not changed, where another process may be writing one now.
    """
    for file in folder.glob(f".{name}.*.tmp"):
        with suppress(OSError):
            if not idle_seconds or time.time() - file.stat().st_mtime > idle_seconds:
                file.unlink()


def read_bytes(path: Path, limit_bytes: int) -> bytes:
    """The content of a file.

    Args:
        path: of the file. A device or a pipe is refused unread, because it may never end.
        limit_bytes: the most that is read.

    Raises:
        FileContentError: it is larger, or no file but a folder, a device or a pipe.
        OSError: it cannot be read, as when it is missing or another user's.
    """
    return read_bytes_and_state(path, limit_bytes)[0]


def read_bytes_and_state(path: Path, limit_bytes: int) -> tuple[bytes, tuple[int, int]]:
    """The content of a file, and its size and time of last change as it was opened; see `read_bytes`."""
    descriptor = os.open(path, _READING)
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        os.close(descriptor)
        raise FileContentError(f"{path} is a folder, a device or a pipe", expected="a file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(min(state.st_size, limit_bytes) + 1)
    if len(content) > limit_bytes:
        raise FileContentError(f"{path} is too large", expected=f"at most {limit_bytes:,} bytes")
    return content, (state.st_size, state.st_mtime_ns)


def read_text(path: Path, limit_bytes: int) -> str:
    """The content of a file as text, see `read_bytes`.

    Raises:
        FileContentError: it is too large, no file, or not UTF-8.
        OSError: it cannot be read.
    """
    try:
        return read_bytes(path, limit_bytes).decode()
    except UnicodeDecodeError as error:
        raise FileContentError(f"{path} is not text in UTF-8") from error


def read_json(path: Path, limit_bytes: int) -> Any:
    """The value of a JSON file, see `read_bytes` and `parse_json`.

    Raises:
        FileContentError: it is too large, no file, not UTF-8, or no JSON value; names it.
        OSError: it cannot be read.
    """
    return parse_json(read_text(path, limit_bytes), str(path))


def parse_json(text: str, source: str) -> Any:
    """The value of a JSON text.

    Args:
        text: which is refused where it is nested too deeply, holds half a million lists, names a key twice, or has a
            number that JSON has not (NaN, Infinity) or that has more digits than Python reads.
        source: what an error calls it.

    Raises:
        FileContentError: it is no such text.
    """
    if text.count("[") + text.count("{") > _MOST_BRACKETS:
        raise FileContentError(f"{source} holds too many lists and tables", expected=f"at most {_MOST_BRACKETS:,}")
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise FileContentError(f"{source} is nested too deeply to be read") from error
    except ValueError as error:
        raise FileContentError(f"{source} is not JSON: {error}") from error


def parse_json_lines(text: str, source: str) -> list[Any]:
    """The values of a text with one JSON value a line, see `parse_json`.

    Raises:
        FileContentError: a line is no such value.
    """
    lines = text.removesuffix("\n").split("\n") if text else []  # a text in JSON may hold other ends of a line
    values = parse_json(f"[{','.join(lines)}]", source)
    if len(values) != len(lines):
        raise FileContentError(f"{source} is not JSON, a value a line")
    return list(values)


def canonical_json(value: Any) -> str:
    """A value as the one JSON text that its digest is taken of: sorted keys, no spaces, ASCII alone.

    Raises:
        ValueError: a number that is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def value_digest(value: Any) -> str:
    """The SHA-256 of a value's `canonical_json`, in hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def parts_digest(parts: Iterable[bytes | memoryview]) -> str:
    """The SHA-256 of byte strings, each preceded by its length, so that no two sequences have the same digest."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(memoryview(part).nbytes.to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    # By os.open, because it applies the umask, which a process with threads cannot read without changing it.
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(temporary, flags, 0o666), "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        _rename(temporary, path)  # after it is closed: Windows renames no open file
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _flush_folder(path.parent)


def _rename(temporary: Path, path: Path) -> None:
    """Renames a file over another one. Windows refuses while a third program, such as a virus scanner or a page that is
    just being read, has that one open; so there it is tried again for a second.
    """
    for pause in _PAUSES if sys.platform == "win32" else ():
        try:
            temporary.replace(path)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    temporary.replace(path)


def _flush_folder(path: Path) -> None:
    """Flushes a rename to the disk, where the platform can: Windows opens no folder, and some file systems refuse."""
    if hasattr(os, "O_DIRECTORY"):
        with suppress(OSError):
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _link_target(path: Path) -> Path | None:
    """The file that a link, or a link to a link, names; None for an open file, as /dev/stdout is one."""
    for _ in range(_LINKS):
        if not path.is_symlink():
            return path
        if os.path.realpath(path.parent).startswith("/proc/"):
            return None
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key is there twice")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
