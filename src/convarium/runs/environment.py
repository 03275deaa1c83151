"""The machine and the code that make a run, and the memory that its process uses."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from convarium.records import Environment

if TYPE_CHECKING:
    import torch


def environment(device: "torch.device | str", *, stack: tuple[str, ...] = ()) -> Environment:
    """The environment of a run that starts now.

    Args:
        device: the training device. A CUDA device is recorded with its model name, "cuda: NVIDIA H100 80GB HBM3".
        stack: the keys of the runs that train at the same time, see `fit_stack`.
    """
    import torch

    from convarium import kernels

    device = torch.device(device)
    return Environment(
        convarium=metadata.version("convarium"),
        python=platform.python_version(),
        torch=str(torch.__version__),
        platform=platform.platform(),
        processor=processor(),
        device=f"cuda: {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type,
        threads=torch.get_num_threads(),
        stack=stack,
        commit=commit(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        kernels=kernels.version() if device.type == "cpu" else kernels.TORCH,
    )


@cache
def processor() -> str:
    """The processor's model name, as exactly as the platform reports it."""
    return _proc_field("cpuinfo", "model name") or platform.processor() or platform.machine()


def emulates_bfloat16(device: "torch.device") -> bool:
    """Whether this processor has no instructions with which PyTorch computes bfloat16 products (AVX-512 or AMX, on ARM
    BF16): it then takes them number by number, a hundred times more slowly than in float32 and worse.
    """
    import torch

    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return not torch.ops.mkldnn._is_mkldnn_bf16_supported()


@cache
def commit() -> str | None:
    """The git commit of the checkout that this code runs from, with "-dirty" where files differ from it.

    None for an installed package, even inside another project's repository.
    """
    source = Path(__file__).resolve()
    try:
        _git("ls-files", "--error-unmatch", source.name, folder=source.parent)
        return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*", folder=source.parent)
    except (OSError, subprocess.SubprocessError):
        return None


def reset_peak_memory(device: "torch.device | str") -> None:
    """Resets `peak_memory_bytes` on a CUDA device; the resident peak of a process cannot be reset."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_bytes(device: "torch.device | str") -> int:
    """The peak memory so far: PyTorch's allocations on a CUDA device, the resident memory of the process on the CPU.

    On the CPU it is read from `/proc` (Linux) or `getrusage` (macOS).
    """
    import torch

    if torch.device(device).type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = _proc_field("self/status", "VmHWM")  # not getrusage: that also counts the time before exec
    if peak is not None:
        return int(peak.removesuffix("kB")) * 1024
    import resource  # Windows has none, and must still be able to import this module

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _git(*arguments: str, folder: Path) -> str:
    # Without optional locks, a run that starts never blocks a commit.
    command = ["git", "--no-optional-locks", "-C", os.fspath(folder), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603 - fixed words
    return answer.stdout.strip()


def _proc_field(file: str, name: str) -> str | None:
    try:
        lines = Path("/proc", file).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next(
        (value.strip() for key, _, value in (line.partition(":") for line in lines) if key.strip() == name), None
    )
