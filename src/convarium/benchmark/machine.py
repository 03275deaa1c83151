"""The machine's peak rates, so that a rate of images can be read as a share of them."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from convarium.runs.environment import emulates_bfloat16, synchronize

SIZES = {"cpu": (2048, 2**26), "cuda": (8192, 2**28), "mps": (4096, 2**26)}
"""The side of the matrices and the number of elements in the copy: too large for the caches."""


@dataclass(frozen=True)
class Ceiling:
    """Peak rates: the best of several tries with PyTorch's own kernels, on as many threads as training has.

    Attributes:
        float32, bfloat16: FLOP/s of a large matrix product.
        bandwidth: bytes/s read and written by a large copy.
    """

    float32: float
    bfloat16: float
    bandwidth: float

    def share(self, flops: float, precision: str) -> float:
        """Returns the share of the matrix product's rate that a rate of `flops` FLOP/s is."""
        return flops / (self.bfloat16 if precision == "bfloat16" else self.float32)


def ceiling(device: torch.device | str = "cpu", *, seconds: float = 1.0) -> Ceiling:
    """Measures the peak rates, for about `seconds` each and in at least five tries each."""
    device = torch.device(device)
    side, elements = SIZES[device.type]

    def product(dtype: torch.dtype) -> float:
        n = side // 8 if dtype == torch.bfloat16 and emulates_bfloat16(device) else side
        a, b = torch.randn(n, n, device=device, dtype=dtype), torch.randn(n, n, device=device, dtype=dtype)
        out = torch.empty(n, n, device=device, dtype=dtype)
        return 2 * n**3 / fastest(lambda: torch.mm(a, b, out=out), device, seconds)

    def copy() -> float:
        source = torch.ones(elements, device=device)
        target = torch.empty_like(source)
        return 2 * source.nbytes / fastest(lambda: target.copy_(source), device, seconds)

    return Ceiling(float32=product(torch.float32), bfloat16=product(torch.bfloat16), bandwidth=copy())


def fastest(
    work: Callable[[], object],
    device: torch.device,
    seconds: float,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Returns the shortest time of `work` in seconds, of at least five tries within `seconds`, after one warm-up."""
    work()
    synchronize(device)
    tries, total, least = 0, 0.0, math.inf
    while tries < 5 or total < seconds:
        began = clock()
        work()
        synchronize(device)
        took = clock() - began
        tries, total, least = tries + 1, total + took, min(least, took)
    return least
