"""The C files of this folder as a library: compiled once for a processor, and loaded."""

import ctypes
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path
from torch import Tensor

HEADERS = ("vectors.h", "tiles.h", "pairs.h")
SOURCES = ("winograd.c", "direct.c", "direct_weights.c", "norms.c")
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC")
TORCH = "torch"
"""`version()` where PyTorch's kernels are used."""


def version() -> str:
    """The kernels that compute a CPU's training step: "convarium" with a digest of their source, or "torch"."""
    return f"convarium {_digest()[:8]}" if is_available() else TORCH


def is_available() -> bool:
    """True if the kernels are compiled and loaded, or can be now: on Linux, with gcc and GNU OpenMP.

    PyTorch must use GNU OpenMP too, so that both share one pool of threads. The environment variable
    CONVARIUM_KERNELS=torch turns the kernels off.
    """
    return os.environ.get("CONVARIUM_KERNELS") != TORCH and _loaded() is not None


def library() -> ctypes.CDLL:
    """The loaded kernels; only where `is_available()`."""
    loaded = _loaded()
    assert loaded is not None
    return loaded


@cache
def _loaded() -> ctypes.CDLL | None:
    """The library, or None with one line in the log."""
    log = logging.getLogger(__name__)
    compiler = shutil.which("gcc")
    try:
        if sys.platform != "linux" or compiler is None or "libgomp" not in _read_proc("self/maps"):
            log.info("training steps use PyTorch's kernels: Convarium's need Linux, gcc and GNU OpenMP")
            return None
        loaded = ctypes.CDLL(os.fspath(_compiled(compiler, user_cache_path("convarium") / "kernels")))
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(getattr(error, "stderr", None) or error).strip()[:500]
        log.warning("training steps use PyTorch's kernels: Convarium's do not compile here: %s", reason)
        return None
    for name in ("winograd_convolve", "winograd_grad_weight", "direct"):
        getattr(loaded, f"{name}_scratch").restype = ctypes.c_size_t
    return loaded


def _compiled(compiler: str, folder: Path) -> Path:
    """The library file in this folder, compiled if it is not there or damaged, and put in place in one rename.

    The file ends with the digest of what stands before it, because to load a truncated library ends the process.
    """
    name = hashlib.sha256("\n".join((_digest(), compiler, *FLAGS, _processor())).encode()).hexdigest()[:16]
    target = folder / f"{name}.so"
    if not _is_complete(target):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            output = Path(scratch, target.name)
            files = [os.fspath(Path(__file__).with_name(source)) for source in SOURCES]
            command = [compiler, *FLAGS, "-shared", "-o", os.fspath(output), *files, "-lm"]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)  # noqa: S603 - fixed words
            content = output.read_bytes()
            output.write_bytes(content + hashlib.sha256(content).digest())
            output.replace(target)
    return target


def _is_complete(library_file: Path) -> bool:
    if not library_file.exists():
        return False
    content = library_file.read_bytes()
    size = len(content) - hashlib.sha256().digest_size
    return size > 0 and hashlib.sha256(content[:size]).digest() == content[size:]


@cache
def _digest() -> str:
    parts = (Path(__file__).with_name(source).read_bytes() for source in HEADERS + SOURCES)
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _processor() -> str:
    """What -march=native depends on: a home folder may be shared by machines of several kinds."""
    lines = _read_proc("cpuinfo").splitlines()
    kinds = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU implementer", "CPU part")
    return "\n".join(dict.fromkeys(line for line in lines if line.partition("\t")[0].strip() in kinds))


def _read_proc(file: str) -> str:
    return Path("/proc", file).read_text(encoding="utf-8", errors="replace")


def address(tensor: Tensor) -> ctypes.c_void_p:
    """The address of a tensor's numbers, for C; the tensor must live until the call returns."""
    return ctypes.c_void_p(tensor.data_ptr())
