"""Linear layers in bfloat16 for PyTorch's autograd."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from convarium.kernels.compiling import address, compiled, library


def multiplies() -> bool:
    """Whether `multiply` is faster than PyTorch."""
    found = library()
    return found is not None and bool(found.matrix_pays())


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, upright: bool = False) -> Tensor:
    """(n, c) bfloat16 and float32 weights (k, c), or (c, k) where they stand `upright` → (n, k) bfloat16.

    Weights are rounded to bfloat16, sums are float32, as with autocast. The bias, which autocast rounds, is not, nor is
    the gradient by the weights; that by the bias is.
    """
    y: Tensor = _Multiply.apply(x, weight, bias, upright)  # type: ignore[no-untyped-call]
    return y


class _Multiply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, upright: bool) -> Tensor:
        x, weight, start = x.contiguous(), weight.contiguous(), None if bias is None else bias.contiguous()
        ctx.save_for_backward(x, weight)
        ctx.upright = upright
        return _times(x, weight, start, upright=upright)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dy = gradient.to(x.dtype).contiguous()
        by_x, by_weight, by_bias, _ = ctx.needs_input_grad
        dx = _times(dy, weight, None, upright=not ctx.upright) if by_x else None
        dw = None
        if by_weight:
            a, b = (x, dy) if ctx.upright else (dy, x)
            dw = torch.empty_like(weight)
            scratch, threads = _scratch(len(x), *weight.shape)
            compiled().linear_by_weights(
                address(a), address(b), address(dw), len(x), *weight.shape, address(scratch), threads
            )
        return dx, dw, dy.sum(0).float() if by_bias else None, None


def _times(x: Tensor, weight: Tensor, bias: Tensor | None, *, upright: bool) -> Tensor:
    n, c = x.shape
    k = weight.shape[1 if upright else 0]
    y = torch.empty((n, k), dtype=x.dtype, device="cpu")
    scratch, threads = _scratch(n, c, k)
    start = None if bias is None else address(bias)
    compiled().linear_times(upright, address(x), address(weight), start, address(y), n, c, k, address(scratch), threads)
    return y


def _scratch(n: int, c: int, k: int) -> tuple[Tensor, int]:
    threads = torch.get_num_threads()
    return torch.empty(compiled().linear_scratch(n, c, k, threads), dtype=torch.uint8, device="cpu"), threads
