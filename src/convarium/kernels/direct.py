"""Convolutions in bfloat16 as they are written, by dot products of pairs, for PyTorch's autograd."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from convarium.kernels.loading import address, library
from convarium.kernels.second_order import differentiable_gradients

_MOST_SIDE = 11
"""Of a kernel; a stride may be as large."""
_MANY_WEIGHTS = 2**13
"""Input times output channels; with more, PyTorch's convolution is as fast or faster."""
_FILLED = 0.6
"""Smallest share of real channels among those computed, where zeros fill up pairs of inputs and vectors of outputs."""


def supports(side: int, stride: int, padding: int) -> bool:
    """True if `convolve` computes such a convolution."""
    return 1 <= side <= _MOST_SIDE and 1 <= stride <= _MOST_SIDE and 0 <= padding < side


def is_faster(c: int, k: int) -> bool:
    """True if that is faster than PyTorch with c input and k output channels on this processor."""
    lanes = library().lanes()
    filled = math.prod(n / (n + -n % multiple) for n, multiple in ((c, 2), (k, lanes)))
    return bool(library().direct_pays()) and filled >= _FILLED and c * k <= _MANY_WEIGHTS


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int, padding: int) -> Tensor:
    """(n, c, h, w) bfloat16, channels-last, and weights (k, c, side, side) float32 → (n, k, h', w') bfloat16.

    The arguments are those that `conv2d` has checked.
    """
    y: Tensor = _Convolution.apply(x, weight, bias, stride, padding)  # type: ignore[no-untyped-call]
    return y


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        (n, c, h, w), (k, _, side, _) = x.shape, weight.shape
        rows, columns = ((size + 2 * padding - side) // stride + 1 for size in (h, w))
        ctx.layer = n, h, w, c, rows, columns, k, side, stride, padding
        y = _empty((n, k, rows, columns), x.dtype)
        kernel, start = _channels_last(weight), None if bias is None else F.pad(bias, (0, -k % library().lanes()))
        scratch, threads = _scratch(ctx.layer)
        library().direct_forward(
            address(x), address(kernel), None if start is None else address(start), address(y), *ctx.layer,
            address(scratch), threads,
        )  # fmt: skip
        return y

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            *_, stride, padding = ctx.layer

            def convolution(x: Tensor, weight: Tensor) -> Tensor:
                return F.conv2d(x, weight.to(x.dtype), stride=stride, padding=padding)

            needed = ctx.needs_input_grad[:2]
            gradients = differentiable_gradients(convolution, (x, weight), needed, grad_output.to(x.dtype))
            grad_bias = grad_output.float().sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
            return *gradients, grad_bias, None, None
        dy, (scratch, threads) = _channels_last(grad_output.to(x.dtype)), _scratch(ctx.layer)
        grad_input = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_input, kernel = _empty(x.shape, x.dtype), _channels_last(weight)
            library().direct_grad_input(
                address(dy), address(kernel), address(grad_input), *ctx.layer, address(scratch), threads
            )
        if ctx.needs_input_grad[1]:
            sums = _empty(weight.shape, torch.float32)
            library().direct_grad_weight(address(x), address(dy), address(sums), *ctx.layer, address(scratch), threads)
            # In the layout of the weights, which a fused optimizer takes for granted.
            grad_weight = sums if sums.stride() == weight.stride() else torch.empty_like(weight).copy_(sums)
        # Summed in float32 and rounded once: with a float32 result PyTorch takes ten times as long.
        grad_bias = dy.sum((0, 2, 3)).float() if ctx.needs_input_grad[2] else None
        return grad_input, grad_weight, grad_bias, None, None


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="cpu", memory_format=torch.channels_last)


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


def _scratch(layer: tuple[int, ...]) -> tuple[Tensor, int]:
    """Scratch memory for any of the three passes, and the number of threads to use."""
    threads = torch.get_num_threads()
    return torch.empty(library().direct_scratch(*layer, threads), dtype=torch.uint8, device="cpu"), threads
