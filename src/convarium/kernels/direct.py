"""Convolutions in bfloat16 for PyTorch's autograd."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from convarium.kernels.compiling import address, compiled, library

_MOST_SIDE = 11
"""Of a kernel; a stride may be as large."""
_MANY_WEIGHTS = 2**13
"""Input times output channels; with more, PyTorch's convolution is as fast or faster."""
_MANY_PIXELS = 1200
"""Of images, above which PyTorch's gradient by the weights is as fast as one by matrices, all channels being there."""
_FILLED = 0.6
"""Share of the products that must be of channels which are there, where others fill up pairs and vectors."""


def convolves_directly(layer: nn.Conv2d) -> bool:
    """Whether `convolve_directly` can do this layer's work, and faster than PyTorch."""
    found = library()
    if found is None or not found.direct_pays():
        return False
    channels = layer.in_channels, layer.out_channels
    filled = _filled(channels, (2, found.lanes()))
    return _is_square(layer) and filled >= _FILLED and math.prod(channels) <= _MANY_WEIGHTS


def convolves_by_matrices(layer: nn.Conv2d) -> bool:
    """Whether `convolve_by_matrices` can do this layer's work, and is faster than PyTorch on images that are small."""
    found = library()
    return found is not None and bool(found.matrix_pays()) and _is_square(layer)


def _is_square(layer: nn.Conv2d) -> bool:
    plain = layer.dilation == (1, 1) and layer.groups == 1 and layer.padding_mode == "zeros"
    match layer.kernel_size, layer.stride, layer.padding:
        case (int(side), int(width)), (int(down), int(across)), (int(rows), int(columns)):
            return plain and side == width <= _MOST_SIDE >= down == across and 0 <= rows == columns < side
        case _:
            return False


def _filled(numbers: Sequence[int], to: Sequence[int]) -> float:
    """Share of what is there, where all numbers are filled up to multiples of these."""
    return math.prod(n / (n + -n % multiple) for n, multiple in zip(numbers, to, strict=True))


def convolve_directly(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """(n, c, h, w) bfloat16, channels-last, and float32 weights (k, c, side, side) → (n, k, h', w') bfloat16 likewise.

    Weights are rounded to bfloat16, sums are float32, as with autocast. The bias, which autocast rounds, is not, nor is
    the gradient by the weights; that by the bias is.
    """
    y: Tensor = _Direct.apply(x, weight, bias, stride, padding)  # type: ignore[no-untyped-call]
    return y


def convolve_by_matrices(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """As `convolve_directly`, but PyTorch's convolution; ours is the gradient by the weights, which is not rounded."""
    (n, c, h, w), k = x.shape, len(weight)
    if h * w > _MANY_PIXELS * _filled((n, c, k), (32, 16, 16)):
        return F.conv2d(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype), stride, padding)
    y: Tensor = _ByMatrices.apply(x, weight, bias, stride, padding)  # type: ignore[no-untyped-call]
    return y


class _ByMatrices(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        half = weight.to(x.dtype)
        ctx.save_for_backward(x, half)
        y = F.conv2d(x, half, None if bias is None else bias.to(x.dtype), stride, padding)
        ctx.layer = _layer(x, y, weight.shape[-1], stride, padding)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, half = ctx.saved_tensors
        dy = _laid_out(gradient.to(x.dtype))
        by_x, by_weight, by_bias, *_ = ctx.needs_input_grad
        dx = dw = None
        if by_x:
            *_, stride, padding = ctx.layer
            dx, *_ = torch.ops.aten.convolution_backward(
                dy, x, half, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, [True, False, False]
            )
        if by_weight:
            dw = _by_weights("matrix", x, dy, half, ctx.layer)
        return dx, dw, _by_bias(dy) if by_bias else None, None, None


class _Direct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        (n, _, h, w), (k, _, side, _) = x.shape, weight.shape
        rows, columns = ((size + 2 * padding - side) // stride + 1 for size in (h, w))
        y = _like((n, k, rows, columns), x)
        ctx.layer = _layer(x, y, side, stride, padding)
        kernel, start = _laid_out(weight), None if bias is None else F.pad(bias, (0, -k % compiled().lanes()))
        scratch, threads = _scratch("direct", ctx.layer)
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
        dx = dw = None
        if by_x:
            dx, kernel, (scratch, threads) = _like(x.shape, x), _laid_out(weight), _scratch("direct", ctx.layer)
            compiled().direct_by_input(address(dy), address(kernel), address(dx), *ctx.layer, address(scratch), threads)
        if by_weight:
            dw = _by_weights("direct", x, dy, weight, ctx.layer)
        return dx, dw, _by_bias(dy) if by_bias else None, None, None


def _by_weights(way: str, x: Tensor, dy: Tensor, weight: Tensor, layer: tuple[int, ...]) -> Tensor:
    sums, (scratch, threads) = _like(weight.shape, weight, torch.float32), _scratch(way, layer)
    compute = getattr(compiled(), f"{way}_by_weights")
    compute(address(x), address(dy), address(sums), *layer, address(scratch), threads)
    # Laid out as the weights are, which a fused optimizer takes for granted.
    return sums if sums.stride() == weight.stride() else torch.empty_like(weight, dtype=torch.float32).copy_(sums)


def _by_bias(dy: Tensor) -> Tensor:
    return dy.sum((0, 2, 3)).float()  # a sum in float32, rounded once; PyTorch takes ten times as long to give it whole


def _like(shape: tuple[int, ...], other: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    return torch.empty(shape, dtype=dtype or other.dtype, device="cpu", memory_format=torch.channels_last)


def _laid_out(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


def _layer(x: Tensor, y: Tensor, side: int, stride: int, padding: int) -> tuple[int, ...]:
    (n, c, h, w), (_, k, rows, columns) = x.shape, y.shape
    return n, h, w, c, rows, columns, k, side, stride, padding


def _scratch(way: str, layer: tuple[int, ...]) -> tuple[Tensor, int]:
    threads = torch.get_num_threads()
    size = getattr(compiled(), f"{way}_scratch")(*layer, threads)
    return torch.empty(size, dtype=torch.uint8, device="cpu"), threads
