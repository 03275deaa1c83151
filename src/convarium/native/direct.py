"""Convolutions in bfloat16 for PyTorch's autograd."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from convarium.native.compiling import address, compiled, library

_MOST_SIDE = 11
"""Of a kernel; a stride may be as large."""
_MANY_WEIGHTS = 2**13
"""Input times output channels; with more, PyTorch's convolution is as fast or faster."""
_FILLED = 0.6
"""Share of the products that must be of channels which are there, where others fill up pairs and vectors."""


def convolves_directly(layer: nn.Conv2d) -> bool:
    """Whether `convolve_directly` can do this layer's work, and faster than PyTorch."""
    found = library()
    if found is None or not found.direct_pays():
        return False
    channels = layer.in_channels, layer.out_channels
    plain = layer.dilation == (1, 1) and layer.groups == 1 and layer.padding_mode == "zeros"
    match layer.kernel_size, layer.stride, layer.padding:
        case (int(side), int(width)), (int(down), int(across)), (int(rows), int(columns)):
            square = side == width <= _MOST_SIDE >= down == across and 0 <= rows == columns < side
        case _:
            square = False
    filled = math.prod(channels) / math.prod(c + -c % to for c, to in zip(channels, (2, found.lanes()), strict=True))
    return plain and square and filled >= _FILLED and math.prod(channels) <= _MANY_WEIGHTS


def convolve_directly(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """(n, c, h, w) bfloat16, channels-last, and float32 weights (k, c, side, side) → (n, k, h', w') bfloat16 likewise.

    Weights are rounded to bfloat16, sums are float32, as with autocast. The bias, which autocast rounds, is not, nor is
    the gradient by the weights.
    """
    y: Tensor = _Direct.apply(x, weight, bias, stride, padding)  # type: ignore[no-untyped-call]
    return y


class _Direct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        (n, _, h, w), (k, _, side, _) = x.shape, weight.shape
        rows, columns = ((size + 2 * padding - side) // stride + 1 for size in (h, w))
        y = _like((n, k, rows, columns), x)
        ctx.layer = _layer(x, y, side, stride, padding)
        kernel, start = _laid_out(weight), None if bias is None else F.pad(bias, (0, -k % compiled().lanes()))
        scratch, threads = _scratch(ctx.layer)
        compiled().direct_forward(
            address(x), address(kernel), None if start is None else address(start), address(y), *ctx.layer,
            address(scratch), threads,
        )  # fmt: skip
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dy = _laid_out(gradient.to(x.dtype))
        by_x, by_weight, by_bias, *_ = ctx.needs_input_grad
        scratch, threads = _scratch(ctx.layer)
        dx = dw = None
        if by_x:
            dx, kernel = _like(x.shape, x), _laid_out(weight)
            compiled().direct_by_input(address(dy), address(kernel), address(dx), *ctx.layer, address(scratch), threads)
        if by_weight:
            sums = _like(weight.shape, weight)
            compiled().direct_by_weights(address(x), address(dy), address(sums), *ctx.layer, address(scratch), threads)
            # Laid out as the weights are, which a fused optimiser takes for granted.
            dw = sums if sums.stride() == weight.stride() else torch.empty_like(weight).copy_(sums)
        return dx, dw, dy.sum((0, 2, 3), dtype=torch.float32) if by_bias else None, None, None


def _like(shape: tuple[int, ...], other: Tensor) -> Tensor:
    return torch.empty(shape, dtype=other.dtype, device="cpu", memory_format=torch.channels_last)


def _laid_out(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


def _layer(x: Tensor, y: Tensor, side: int, stride: int, padding: int) -> tuple[int, ...]:
    (n, c, h, w), (_, k, rows, columns) = x.shape, y.shape
    return n, h, w, c, rows, columns, k, side, stride, padding


def _scratch(layer: tuple[int, ...]) -> tuple[Tensor, int]:
    threads = torch.get_num_threads()
    return torch.empty(compiled().direct_scratch(*layer, threads), dtype=torch.uint8, device="cpu"), threads
