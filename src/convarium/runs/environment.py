"""The machine and the code that make a run, and the memory that its process uses."""

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from convarium.records import Environment

if TYPE_CHECKING:
    import torch


WORKERS_VARIABLE = "CONVARIUM_WORKERS"
"""The environment variable by which a worker process knows how many there are."""


def environment(device: "torch.device | str", *, stack: tuple[str, ...] = ()) -> Environment:
    """The environment of a run that starts now.

    Args:
        device: the training device. A GPU is recorded with its model name, "cuda: NVIDIA H100 80GB HBM3" or
            "mps: Apple M2".
        stack: the keys of the runs that train at the same time, see `fit_stack`.
    """
    import torch

    from convarium import kernels

    device = torch.device(device)
    names = {"cpu": "cpu", "mps": f"mps: {processor()}"}  # an Apple GPU is part of the processor
    if device.type == "cuda":
        names["cuda"] = f"cuda: {torch.cuda.get_device_name(device)}"
    return Environment(
        convarium=metadata.version("convarium"),
        python=platform.python_version(),
        torch=str(torch.__version__),
        platform=platform.platform(),
        processor=processor(),
        device=names[device.type],
        threads=torch.get_num_threads(),
        stack=stack,
        commit=commit(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        kernels=kernels.version() if device.type == "cpu" else kernels.TORCH,
        code=code_digest(),
        workers=int(os.environ.get(WORKERS_VARIABLE, "1")),
        processor_model=processor_model(),
        instruction_sets=instruction_sets(),
    )


CODE = ("models", "data", "recipes", "training", "kernels", "seeding.py")
"""The parts of Convarium on which a run's numbers depend."""


@cache
def code_digest() -> str | None:
    """A digest of the source files of CODE; None where Convarium is installed without them.

    Two commits have the same digest if they differ elsewhere, in documentation or in the command line.
    """
    root = Path(__file__).resolve().parent.parent
    parts = [root / name for name in CODE]
    files = [file for part in parts for file in ([part] if part.is_file() else part.rglob("*"))]
    sources = {file.relative_to(root).as_posix(): file for file in files if file.suffix in (".py", ".c", ".h")}
    digest = hashlib.sha256()
    for name in sorted(sources):
        # Git may store other line ends on another system.
        digest.update(f"{name}\0".encode() + sources[name].read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()[:16] if sources else None


def environment_changes(environments: Sequence[Environment]) -> tuple[str, ...]:
    """In what environments that followed each other differ as far as a run's last bits depend on it.

    Args:
        environments: of the parts of one run, in their order.

    Returns:
        Phrases such as "2 threads, then 1"; none if a run that is trained in all of them has the bits of a run that is
        trained in one.
    """
    changes: dict[str, None] = {}
    for before, after in pairwise(environments):
        for phrase, value in {
            "Convarium's code {}": lambda e: e.code,
            "torch {}": lambda e: e.torch,
            "engine {}": lambda e: e.engine,
            "kernels {}": lambda e: e.kernels,
            "processor {}": lambda e: e.processor,
            "processor model {}": lambda e: e.processor_model,
            "instruction sets {}": lambda e: e.instruction_sets,
            "device {}": lambda e: e.device,
            "threads {}": _threads_per_run,
        }.items():
            if value(before) != value(after):
                changes[f"{phrase.format(value(before) or 'unknown')}, then {value(after) or 'unknown'}"] = None
    return tuple(changes)


def _threads_per_run(environment: Environment) -> int:
    """The threads that computed a run, which on a CPU shares those of the process with the others of its stack."""
    shared = min(environment.threads, len(environment.stack)) if environment.device == "cpu" else 1
    return environment.threads // max(shared, 1)


@cache
def processor() -> str:
    """The processor's model name, as exactly as the platform reports it."""
    named = _proc_field("cpuinfo", "model name") or _brand_on_macos()
    return named or platform.processor() or platform.machine()


@cache
def processor_model() -> str | None:
    """Family, model and stepping of the processor, of which several share one name; None where they are not told."""
    if sys.platform == "win32":
        return platform.processor() or None  # "Intel64 Family 6 Model 158 Stepping 10, GenuineIntel"
    # The first three are those of x86, the others those of ARM.
    fields = ("cpu family", "model", "stepping", "CPU implementer", "CPU variant", "CPU part", "CPU revision")
    known = {field: value for field in fields if (value := _proc_field("cpuinfo", field)) is not None}
    return ", ".join(f"{field.lower().removeprefix('cpu ')} {value}" for field, value in known.items()) or None


@cache
def instruction_sets() -> str | None:
    """Those of the processor's instruction sets that compute with numbers; None where they are not told."""
    flags = _proc_field("cpuinfo", "flags") or _proc_field("cpuinfo", "Features")
    return " ".join(flag for flag in (flags or "").split() if _COMPUTES.match(flag)) or None


_COMPUTES = re.compile(r"sse|ssse|avx|fma|f16c|amx|neon|asimd|sve|sme(?!p)|fphp|bf16|i8mm")


def emulates_bfloat16(device: "torch.device") -> bool:
    """Whether this processor has no instructions with which PyTorch computes bfloat16 products (AVX-512 or AMX, on ARM
    BF16): it then takes them number by number, a hundred times more slowly than in float32 and worse.

    Of CUDA's devices, those before compute capability 8.0 (T4, GTX) have none.
    """
    import torch

    if device.type == "cuda" and torch.cuda.is_available():
        with torch.cuda.device(device):
            return not torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return not torch.ops.mkldnn._is_mkldnn_bf16_supported()


def emulates_float16(device: "torch.device") -> bool:
    """Whether this processor has no instructions with which PyTorch computes float16 products (AVX512-FP16 or AMX)."""
    import torch

    if device.type != "cpu":
        return False
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return not (available and torch.ops.mkldnn._is_mkldnn_fp16_supported())


_CODE = (":(top)", ":(top,exclude)docs", ":(top,exclude)results")
"""What git is asked about: the files of a checkout, those that measurements write left out."""


@cache
def commit() -> str | None:
    """The git commit of the checkout that this code runs from, with "-dirty" where files of the code differ from it.

    Records and pages are no code: one measurement writes them before the next one starts. None for an installed
    package, even inside another project's repository.
    """
    source = Path(__file__).resolve()
    try:
        _git("ls-files", "--error-unmatch", source.name, folder=source.parent)
        found = _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*", folder=source.parent)
        if found.endswith("-dirty") and not _git("diff", "--name-only", "HEAD", "--", *_CODE, folder=source.parent):
            found = found.removesuffix("-dirty")
        return found
    except (OSError, subprocess.SubprocessError):
        return None


def synchronize(device: "torch.device | str") -> None:
    """Waits until the device has computed what it was given."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()


def peak_memory_bytes(device: "torch.device | str") -> int | None:
    """The peak memory so far: PyTorch's allocations on a CUDA device, the resident memory of the process on the CPU.

    On the CPU it is read from `/proc` (Linux) or `getrusage` (macOS). None where nothing counts it: on Windows, and on
    an Apple GPU.
    """
    import torch

    kind = torch.device(device).type
    if kind != "cpu":
        return int(torch.cuda.max_memory_allocated(device)) if kind == "cuda" else None
    peak = _proc_field("self/status", "VmHWM")  # not getrusage: that also counts the time before exec
    if peak is not None:
        return int(peak.removesuffix("kB")) * 1024
    if sys.platform == "win32":
        return None
    import resource  # which Windows does not have

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _git(*arguments: str, folder: Path) -> str:
    # Without optional locks, a run that starts never blocks a commit.
    command = ["git", "--no-optional-locks", "-C", os.fspath(folder), *arguments]
    return _answer(command)


def _brand_on_macos() -> str | None:
    try:
        return _answer(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]) if sys.platform == "darwin" else None
    except (OSError, subprocess.SubprocessError):
        return None


def _answer(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, check=True, timeout=10)  # noqa: S603 - fixed words
    return done.stdout.decode("utf-8", "replace").strip()


def _proc_field(file: str, name: str) -> str | None:
    try:
        lines = Path("/proc", file).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next(
        (value.strip() for key, _, value in (line.partition(":") for line in lines) if key.strip() == name), None
    )
