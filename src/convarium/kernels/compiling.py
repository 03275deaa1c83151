"""The C files of this folder, compiled for this processor by gcc."""

import os
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from convarium.characters import one_line
from convarium.disk import parts_digest

HEADERS = ("vectors.h", "tiles.h", "pairs.h")
SOURCES = ("winograd.c", "direct.c", "direct_weights.c", "norms.c")
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC")
_LONGEST_REASON = 500


class CompilationError(Exception):
    """The kernels could not be compiled; the text says why, in one line."""


def sources_digest() -> str:
    """The SHA-256 of what is compiled and how, in hexadecimal digits.

    Raises:
        OSError: a file is missing.
    """
    files = (Path(__file__).with_name(name).read_bytes() for name in HEADERS + SOURCES)
    return parts_digest([*map(str.encode, FLAGS), *files])


def compile_sources(compiler: str, folder: Path, *, limit_seconds: float) -> bytes:
    """Compiles all C files at the same time, and links them.

    Args:
        compiler: path of gcc.
        folder: for everything that the compiler writes.
        limit_seconds: after these, the compiler and all processes that it started are killed.

    Returns:
        The content of the library.

    Raises:
        CompilationError: the compiler fails, is not ready in time, or writes nothing.
    """
    deadline = time.monotonic() + limit_seconds
    objects = [os.fspath(folder / f"{source}.o") for source in SOURCES]
    files = [os.fspath(Path(__file__).with_name(source)) for source in SOURCES]
    output = folder / "kernels.so"
    try:
        pairs = zip(files, objects, strict=True)
        _run([[compiler, *FLAGS, "-c", "-o", target, file] for file, target in pairs], folder, deadline)
        _run([[compiler, *FLAGS, "-shared", "-o", os.fspath(output), *objects, "-lm"]], folder, deadline)
        content = output.read_bytes()
    except subprocess.TimeoutExpired:
        raise CompilationError(f"{compiler} was not ready after {limit_seconds:g} s") from None
    except OSError as error:
        raise CompilationError(f"{error.strerror or error}: {error.filename or compiler}") from error
    if not _is_whole(content):
        raise CompilationError(f"{compiler} wrote no library, or only a part of one")
    return content


def _is_whole(library: bytes) -> bool:
    """Whether a file in the Executable and Linkable Format has its last part, the table of sections, to the end."""
    is_64_bit = library[4:5] == b"\2"
    start_at, start_form, numbers_at = (0x28, "=Q", 0x3A) if is_64_bit else (0x20, "=L", 0x2E)
    if library[:4] != b"\x7fELF" or len(library) < numbers_at + 4:
        return False
    (start,) = struct.unpack_from(start_form, library, start_at)
    entry_bytes, entries = struct.unpack_from("=HH", library, numbers_at)
    return bool(0 < start <= len(library) - entry_bytes * entries)


def _run(commands: Sequence[Sequence[str]], folder: Path, deadline: float) -> None:
    """Runs commands at the same time; each has a process group of its own, since a compiler starts other programs.

    Raises:
        CompilationError: one fails.
        subprocess.TimeoutExpired: one still runs at the deadline, in the clock of `time.monotonic`.
    """
    environment = os.environ | {"TMPDIR": os.fspath(folder), "LC_ALL": "C"}
    processes: list[subprocess.Popen[bytes]] = []
    with ExitStack() as files:
        messages = [files.enter_context(_messages_file(folder)) for _ in commands]
        try:
            for command, message in zip(commands, messages, strict=True):
                process = subprocess.Popen(  # noqa: S603 - fixed words
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=message,  # not a pipe: what the compiler started may hold its end for ever
                    env=environment,
                    start_new_session=True,
                )
                processes.append(process)
            for command, process, message in zip(commands, processes, messages, strict=True):
                if process.wait(max(0.0, deadline - time.monotonic())):
                    raise CompilationError(_last_words(message) or f"{command[0]} ended with code {process.returncode}")
        finally:
            for process in processes:
                if process.poll() is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def _messages_file(folder: Path) -> IO[bytes]:
    """A file without a name for what a compiler says, in memory where possible: a full disk takes no complaint."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("messages"), "w+b")
    return tempfile.TemporaryFile(dir=folder)


def _last_words(messages: IO[bytes]) -> str:
    """The end of what a compiler complains of, in one line."""
    start = max(0, os.fstat(messages.fileno()).st_size - 16 * _LONGEST_REASON)
    messages.seek(start)
    text = messages.read(16 * _LONGEST_REASON).decode("utf-8", "replace")
    return one_line(" ".join(text.split()))[-_LONGEST_REASON:]
