"""The kernels as a library: taken from the cache or compiled, and loaded once in a process."""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from convarium.errors import ConvariumError
from convarium.kernels.cache import (
    PASSING_SECONDS,
    library_folders,
    locked,
    make_private,
    read_failure,
    read_library,
    remembered_seconds,
    write_failure,
    write_library,
)
from convarium.kernels.compiling import CompilationError, compile_sources, sources_digest

TORCH = "torch"
"""`version()` where PyTorch's kernels are used."""
LIMIT_SECONDS = 180.0
"""For the compiler; it takes about a hundredth of that."""
_VARIABLE = "CONVARIUM_KERNELS"
_log = logging.getLogger("convarium.kernels")


def version() -> str:
    """The kernels that compute a CPU's training step: "torch", or "convarium" with a digest and their gcc."""
    loaded = _loaded() if _are_wanted() else None
    return TORCH if loaded is None else loaded.version


def is_available() -> bool:
    """True if the kernels are compiled and loaded, or can be now: on Linux, with gcc and GNU OpenMP.

    PyTorch must use GNU OpenMP too, so that both share one pool of threads. The environment variable
    CONVARIUM_KERNELS=torch turns the kernels off.

    Raises:
        ConvariumError: the variable has another value.
    """
    return _are_wanted() and _loaded() is not None


def library() -> ctypes.CDLL:
    """The loaded kernels; only where `is_available()`."""
    loaded = _loaded()
    assert loaded is not None
    return loaded.library


def address(tensor: Tensor) -> ctypes.c_void_p:
    """The address of a tensor's numbers, for C; the tensor must live until the call returns."""
    return ctypes.c_void_p(tensor.data_ptr())


def _are_wanted() -> bool:
    value = os.environ.get(_VARIABLE, "")
    if value not in ("", TORCH):
        raise ConvariumError(
            f"the environment variable {_VARIABLE} is wrong",
            expected=f"{TORCH!r}, for PyTorch's kernels, or nothing",
            received=value,
            hint=f"unset {_VARIABLE}",
        )
    return value != TORCH


class _Kernels(NamedTuple):
    library: ctypes.CDLL
    version: str


@cache
def _loaded() -> _Kernels | None:
    """The library, or None with one line in the log where it should be there."""
    if sys.platform != "linux":
        _log.debug("training steps use PyTorch's kernels: Convarium's need Linux, gcc and GNU OpenMP")
        return None
    try:
        if "libgomp" not in _read_proc("self/maps"):
            _log.debug("training steps use PyTorch's kernels: Convarium's need a PyTorch with GNU OpenMP")
            return None
        digest = sources_digest()
        key = "\n".join((digest, platform.machine(), _processor()))
    except OSError as error:
        _log.warning("training steps use PyTorch's kernels: %s", error)
        return None
    loaded = _load_or_compile(hashlib.sha256(key.encode()).hexdigest()[:16] + ".so", library_folders())
    if loaded is None:
        return None
    for name in ("winograd_convolve", "winograd_grad_weight", "direct"):
        getattr(loaded, f"{name}_scratch").restype = ctypes.c_size_t
    loaded.compiler_version.restype = ctypes.c_char_p
    return _Kernels(loaded, f"convarium {digest[:8]} (gcc {loaded.compiler_version().decode()})")


def _load_or_compile(name: str, folders: Sequence[Path]) -> ctypes.CDLL | None:
    """The library of this name from one of the folders, or compiled and put into one; None if that fails."""
    loaded = _load_kept(name, folders)
    if loaded is not None:
        return loaded
    compiler = shutil.which("gcc")
    if compiler is None or not Path(compiler).is_absolute():  # a relative one would be the working folder's
        _log.debug("training steps use PyTorch's kernels: Convarium's need gcc")
        return None
    failures = [folder / f"{name}.failure.json" for folder in folders]
    reason = _known_failure(failures, compiler)
    if reason is None:
        _log.info("compiling the kernels for this processor, about 5 s, once")
        lock = next((folder / f"{name}.lock" for folder in folders if make_private(folder)), None)
        with locked(lock, limit_seconds=LIMIT_SECONDS) if lock else nullcontext():
            loaded, reason = _load_kept(name, folders), _known_failure(failures, compiler)  # by another process
            if loaded is None and reason is None:
                loaded, reason = _compile(compiler, name, folders)
                if reason is not None:
                    _remember_failure(failures, compiler, reason)
    if loaded is None and reason is not None:
        passes = remembered_seconds(reason) == PASSING_SECONDS
        remembered = next((path for path in failures if read_failure(path, compiler) is not None), None)
        _log.warning(
            "training steps use PyTorch's kernels: Convarium's do not compile or load here (%s); they are tried again "
            "after %s, with another gcc%s",
            reason,
            f"{PASSING_SECONDS // 60} minutes" if passes else "a day",
            f" or when {remembered} is removed" if remembered else "",
        )
    return loaded


def _load_kept(name: str, folders: Sequence[Path]) -> ctypes.CDLL | None:
    """The library from a folder that has it undamaged and can execute it; where none can, it is put into another."""
    content, failed = None, dict[Path, OSError]()
    for folder in folders:
        kept = read_library(folder / name)
        if kept is not None:
            try:
                return ctypes.CDLL(os.fspath(folder / name))
            except OSError as error:
                content, failed[folder] = kept, error
    if content is None:
        return None
    loaded, _ = _keep(content, name, [folder for folder in folders if folder not in failed])
    if loaded is None:
        for folder, reason in failed.items():
            _log.warning("the compiled kernels in %s do not load: %s", folder, reason)
    return loaded


def _compile(compiler: str, name: str, folders: Sequence[Path]) -> tuple[ctypes.CDLL | None, str | None]:
    """Compiles the library, keeps it and loads it; the second value is why that failed."""
    try:
        with tempfile.TemporaryDirectory(prefix="convarium-", ignore_cleanup_errors=True) as scratch:
            content = compile_sources(compiler, Path(scratch), limit_seconds=LIMIT_SECONDS)
            return _keep(content, name, [*folders, Path(scratch)])
    except (CompilationError, OSError) as error:
        return None, str(error)


def _keep(content: bytes, name: str, folders: Sequence[Path]) -> tuple[ctypes.CDLL | None, str | None]:
    """Writes a library into the first folder that takes it and can execute it; the second value is why none did."""
    reason = None
    for folder in folders:
        try:
            write_library(folder / name, content)
            return ctypes.CDLL(os.fspath(folder / name)), None
        except OSError as error:
            reason = str(error)
    for folder in folders:  # the compiler wrote no library
        with suppress(OSError):
            (folder / name).unlink()
    return None, reason


def _known_failure(paths: Sequence[Path], compiler: str) -> str | None:
    return next(filter(None, (read_failure(path, compiler) for path in paths)), None)


def _remember_failure(paths: Sequence[Path], compiler: str, reason: str) -> None:
    for path in paths:
        with suppress(OSError):
            write_failure(path, compiler, reason)
            return


def _processor() -> str:
    """What -march=native depends on: a home folder may be shared by machines of several kinds."""
    lines = _read_proc("cpuinfo").splitlines()
    kinds = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU implementer", "CPU part")
    return "\n".join(dict.fromkeys(line for line in lines if line.partition("\t")[0].strip() in kinds))


def _read_proc(file: str) -> str:
    return Path("/proc", file).read_text(encoding="utf-8", errors="replace")
