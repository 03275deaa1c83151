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

HEADERS = ("vectors.h", "tiles.h", "pairs.h", "units.h")
SOURCES = ("winograd.c", "direct.c", "direct_weights.c", "matrix.c", "norms.c", "pooling.c")
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC")
TORCH = "torch"
"""What `kernels` says where PyTorch's are used."""


def kernels() -> str:
    """What computes the layers of a CPU's training step: "convarium" with a digest, or "torch"."""
    return TORCH if library() is None else f"convarium {_digest()[:8]}"


def library() -> ctypes.CDLL | None:
    """The compiled kernels; None where PyTorch's are to be used.

    On Linux alone, and where PyTorch's threads are those of GNU OpenMP, so that both share them.
    """
    wanted = os.environ.get("CONVARIUM_KERNELS", "convarium") != TORCH
    return _loaded() if wanted and sys.platform == "linux" else None


@cache
def _loaded() -> ctypes.CDLL | None:
    log = logging.getLogger(__name__)
    compiler = shutil.which("gcc")
    try:
        if compiler is None or "libgomp" not in _proc("self/maps"):
            log.info("no GNU C compiler or OpenMP: training steps use PyTorch's layers")
            return None
        found = ctypes.CDLL(os.fspath(_compiled(compiler, user_cache_path("convarium") / "kernels")))
        for name in ("winograd_convolve", "winograd_by_weights", "direct", "matrix"):
            getattr(found, f"{name}_scratch").restype = ctypes.c_size_t
        found.matrix_pays()  # asks the system for the processor's units, without which their instructions are errors
        return found
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or error
        log.warning("the kernels do not compile here, so training steps use PyTorch's: %s", str(told).strip()[:500])
        return None


def _compiled(compiler: str, folder: Path) -> Path:
    """The library in this folder, where it is compiled if it is not there; whole or not at all."""
    name = hashlib.sha256("\n".join((_digest(), compiler, *FLAGS, _processor())).encode()).hexdigest()[:16]
    target = folder / f"{name}.so"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch, target.name)
            files = [os.fspath(Path(__file__).with_name(source)) for source in SOURCES]
            command = [compiler, *FLAGS, "-shared", "-o", os.fspath(made), *files, "-lm"]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)  # noqa: S603 - fixed words
            made.replace(target)
    return target


@cache
def _digest() -> str:
    parts = (Path(__file__).with_name(source).read_bytes() for source in HEADERS + SOURCES)
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _processor() -> str:
    """What -march=native goes by: a home folder may be shared by machines of several kinds."""
    lines = _proc("cpuinfo").splitlines()
    kinds = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU implementer", "CPU part")
    return "\n".join(dict.fromkeys(line for line in lines if line.partition("\t")[0].strip() in kinds))


def _proc(file: str) -> str:
    return Path("/proc", file).read_text(encoding="utf-8", errors="replace")


def compiled() -> ctypes.CDLL:
    """`library`, where it is known to be there; the environment is not asked again."""
    found = _loaded()
    assert found is not None
    return found


def address(tensor: Tensor) -> ctypes.c_void_p:
    """Of a tensor's numbers, for C."""
    return ctypes.c_void_p(tensor.data_ptr())
