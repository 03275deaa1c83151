"""3×3 convolutions in float32 by Winograd's filtering, for PyTorch's autograd."""

import math
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from convarium.kernels.loading import address, library
from convarium.kernels.second_order import differentiable_gradients

_TILES, _MANY_TILES = 12, 48
"""How many tiles a convolution processes at once: few, so that everything between the transforms stays in a core's
caches; many where the weights do not stay there, so that these are read less often.
"""
_MANY_WEIGHTS = 2**16
"""Input times output channels; at each point so many weights are 256 kB."""
_CACHED, _SHARED_CACHED = 200_000, 1_200_000
"""How many numbers of tiles the gradient by the weights processes at once: about what a core's second cache holds, and
the third cache of all cores.
"""
_FILLED = 0.7
"""Smallest share of real channels among those computed, where zeros fill up the vectors."""
_PARTS, _SMALL = 8, 64 * 64
"""With up to `_SMALL` products of channels, the gradient by the weights is summed in parts, each by one thread."""
_floats = partial(torch.empty, dtype=torch.float32, device="cpu")
"""What C takes, whatever PyTorch's defaults are."""


def supports(side: int, stride: int, padding: int) -> bool:
    """True if `convolve` computes such a convolution."""
    return (side, stride) == (3, 1) and 0 <= padding < side


def is_faster(c: int, k: int) -> bool:
    """True if that is faster than PyTorch with c input and k output channels."""
    lanes = library().lanes()
    return bool(c * k / math.prod(n + -n % lanes for n in (c, k)) >= _FILLED)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int, padding: int) -> Tensor:
    """(n, c, h, w) float32, channels-last, and weights (k, c, 3, 3) → (n, k, h', w') likewise.

    The arguments are those that `conv2d` has checked; the stride is 1.
    """
    assert stride == 1
    k, c, *_ = weight.shape
    more_c, more_k = (-channels % library().lanes() for channels in (c, k))
    if more_c:
        x = F.pad(x, (0, 0, 0, 0, 0, more_c)).contiguous(memory_format=torch.channels_last)
    if more_c or more_k:
        weight = F.pad(weight, (0, 0, 0, 0, 0, more_c, 0, more_k))
        bias = None if bias is None else F.pad(bias, (0, more_k))
    y: Tensor = _Convolution.apply(x, weight, bias, padding)  # type: ignore[no-untyped-call]
    return y[:, :k].contiguous(memory_format=torch.channels_last) if more_k else y


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        transformed = _kernel_transform() @ weight.permute(2, 3, 1, 0).flatten(2).flatten(0, 1)
        return _convolve(x, transformed, bias, len(weight), padding)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            convolution = partial(F.conv2d, padding=ctx.padding)
            needed = ctx.needs_input_grad[:2]
            gradients = differentiable_gradients(convolution, (x, weight), needed, grad_output)
            return *gradients, grad_output.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None, None
        dy = grad_output.contiguous(memory_format=torch.channels_last)
        grad_input = grad_weight = None
        if ctx.needs_input_grad[0]:
            turned = _kernel_transform().flip(1) @ weight.permute(2, 3, 0, 1).flatten(2).flatten(0, 1)
            grad_input = _convolve(dy, turned, None, weight.shape[1], 2 - ctx.padding)
        if ctx.needs_input_grad[1]:
            grad_weight = _grad_weight(x, dy, weight, ctx.padding)
        grad_bias = dy.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return grad_input, grad_weight, grad_bias, None


def _convolve(x: Tensor, transformed: Tensor, bias: Tensor | None, k: int, padding: int) -> Tensor:
    """Images (n, c, h, w) and transformed weights (36, c·k) → (n, k, h', w')."""
    n, c, h, w = x.shape
    rows, columns = h + 2 * padding - 2, w + 2 * padding - 2
    y = _floats((n, k, rows, columns), memory_format=torch.channels_last)
    threads, zeros = torch.get_num_threads(), _floats(max(w * c, k)).zero_()
    tiles = _TILES if c * k < _MANY_WEIGHTS else _MANY_TILES
    scratch = _floats(library().winograd_convolve_scratch(c, columns, k, tiles, threads))
    library().winograd_convolve(
        address(x), n, h, w, c, address(transformed), address(zeros if bias is None else bias), address(y),
        rows, columns, k, padding, address(zeros), tiles, address(scratch), threads,
    )  # fmt: skip
    return y


def _grad_weight(x: Tensor, dy: Tensor, weight: Tensor, padding: int) -> Tensor:
    (n, c, h, w), (_, k, rows, columns) = x.shape, dy.shape
    threads, parts = torch.get_num_threads(), _PARTS if c * k <= _SMALL else 1
    transform = _kernel_transform()
    tiles = max(64, (_CACHED if parts > 1 else _SHARED_CACHED) // (len(transform) * (c + k)))
    sums, zeros = _floats(len(transform), c * k), _floats(max(w * c, columns * k)).zero_()
    scratch = _floats(library().winograd_grad_weight_scratch(c, columns, k, parts, tiles, threads))
    library().winograd_grad_weight(
        address(x), n, h, w, c, address(dy), rows, columns, k, address(sums), padding, address(zeros),
        parts, tiles, address(scratch), threads,
    )  # fmt: skip
    gradient = (transform.t() @ sums).view(3, 3, c, k).permute(3, 2, 0, 1)
    # In the layout of the weights, which a fused optimizer takes for granted.
    return torch.empty_like(weight).copy_(gradient)


@cache
def _kernel_transform() -> Tensor:
    """G ⊗ G, from a kernel's 9 taps to its 36 points.

    G evaluates polynomials at 0, ±1, ±2 and ∞, each point with the scale that the transforms of `tiles.h` leave out.
    """
    points = ((0, 1 / 4), (1, -1 / 6), (-1, -1 / 6), (2, 1 / 24), (-2, 1 / 24))
    rows = [[scale * point**power for power in range(3)] for point, scale in points]
    g = torch.tensor([*rows, [0.0, 0.0, 1.0]], dtype=torch.float32, device="cpu")
    return torch.kron(g, g)
