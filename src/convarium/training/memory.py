"""Memory that a step frees stays with the process, for the next step."""

import ctypes
import os
import sys
from functools import cache

import torch

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Names of glibc's `mallopt`."""


def keep_freed_memory(device: torch.device) -> None:
    """Has the GNU C library keep what a CPU's training frees, for the rest of this process; elsewhere nothing.

    Else it gives every large tensor back to the system, which hands out the same memory a moment later, page by page
    and cleared: at 224 pixels that took a third of a step. Where the environment says anything of malloc, that holds.
    """
    if device.type == "cpu" and sys.platform == "linux":
        _keep()


@cache
def _keep() -> None:
    said = any(name.startswith("MALLOC_") for name in os.environ) or "malloc" in os.environ.get("GLIBC_TUNABLES", "")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # None: another C library
    if mallopt is not None and not said:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)
