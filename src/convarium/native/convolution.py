"""Winograd's convolution for PyTorch's autograd."""

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from convarium.native.compiling import address, library

_POINTS = ((0, 1 / 4), (1, -1 / 6), (-1, -1 / 6), (2, 1 / 24), (-2, 1 / 24))
"""Where the polynomials are evaluated, and the scale of the kernel's there; ∞ is the last."""
_TILES = 12
"""At once, of a convolution: what lies between its transforms stays in the caches of a core."""
_NUMBERS, _SHARED_NUMBERS = 200_000, 1_200_000
"""Of tiles at once, in a sum of weights: about what a core's second cache holds, and the third of all."""
_PARTS, _SMALL = 8, 64 * 64
"""Sums of weights up to so many input and output channels are taken in parts, by threads on their own."""


def convolves(layer: nn.Conv2d) -> bool:
    """Whether `convolve` can do this layer's work on float32 images laid out as (n, h, w, c)."""
    found = library()
    if found is None:
        return False
    size, padding, channels = layer.kernel_size, layer.padding, (layer.in_channels, layer.out_channels)
    plain = layer.stride == (1, 1) and layer.dilation == (1, 1) and layer.groups == 1 and layer.padding_mode == "zeros"
    square = size in ((3, 3), (5, 5)) and isinstance(padding, tuple) and padding[0] == padding[1] < size[0]
    return plain and square and all(c % found.lanes() == 0 for c in channels)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """A convolution of stride 1: (n, c, h, w) float32, channels-last, → (n, k, h', w') likewise.

    Its rounding errors are about ten times those of a sum of products, which is some 1e-6 of the result.
    """
    y: Tensor = _Convolution.apply(x, weight, bias, padding)  # type: ignore[no-untyped-call]
    return y


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.biased = padding, bias is not None
        return _convolved(x, weight, bias, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dy = gradient.contiguous(memory_format=torch.channels_last)
        by_x, by_weight, by_bias, _ = ctx.needs_input_grad
        back = weight.shape[-1] - 1 - ctx.padding
        return (
            _convolved(dy, weight.flip(2, 3).transpose(0, 1), None, back) if by_x else None,
            _by_weight(x, dy, weight, ctx.padding) if by_weight else None,
            dy.sum((0, 2, 3)) if ctx.biased and by_bias else None,
            None,
        )


def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    (n, c, h, w), (k, _, side, _) = x.shape, weight.shape
    rows, columns = h + 2 * padding - side + 1, w + 2 * padding - side + 1
    y = torch.empty((n, k, rows, columns), memory_format=torch.channels_last)
    transformed = _transform(side) @ weight.permute(2, 3, 1, 0).reshape(side * side, c * k)
    threads, zeros = torch.get_num_threads(), torch.zeros(max(c, k))
    scratch = torch.empty(threads * 36 * _TILES * (c + k))
    _loaded().winograd_convolve(
        7 - side, address(x), n, h, w, c, address(transformed), address(zeros if bias is None else bias), address(y),
        rows, columns, k, padding, address(zeros), _TILES, address(scratch), threads,
    )  # fmt: skip
    return y


def _by_weight(x: Tensor, dy: Tensor, weight: Tensor, padding: int) -> Tensor:
    (n, c, h, w), (_, k, rows, columns), side = x.shape, dy.shape, weight.shape[-1]
    threads, parts = torch.get_num_threads(), _PARTS if c * k <= _SMALL else 1
    tiles = max(64, (_NUMBERS if parts > 1 else _SHARED_NUMBERS) // (36 * (c + k)))
    sums, zeros = torch.empty(36, c * k), torch.zeros(max(c, k))
    scratch = torch.empty(36 * ((threads * tiles * (c + k) + parts * c * k) if parts > 1 else tiles * (c + k)))
    _loaded().winograd_by_weights(
        7 - side, address(x), n, h, w, c, address(dy), rows, columns, k, address(sums), padding, address(zeros), parts,
        tiles, address(scratch), threads,
    )  # fmt: skip
    gradient = (_transform(side).t() @ sums).view(side, side, c, k).permute(3, 2, 0, 1)
    # Laid out as the weights are, which a fused optimiser takes for granted.
    return torch.empty_like(weight).copy_(gradient)


@cache
def _transform(side: int) -> Tensor:
    """The Kronecker square of G: (36, side²)."""
    rows = [[scale * point**power for power in range(side)] for point, scale in _POINTS]
    once = torch.tensor([*rows, [0.0] * (side - 1) + [1.0]])
    return torch.kron(once, once)


def _loaded() -> ctypes.CDLL:
    found = library()
    assert found is not None
    return found
