"""Winograd's convolution for PyTorch's autograd."""

import math
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from convarium.native.compiling import address, compiled, library

_OUT = 4
"""Outputs of a tile along a side."""
_POINTS = {
    6: ((0, 1 / 4), (1, -1 / 6), (-1, -1 / 6), (2, 1 / 24), (-2, 1 / 24)),
    8: ((0, 1), (1, -2 / 9), (-1, -2 / 9), (2, 1 / 90), (-2, 1 / 90), (1 / 2, 32 / 45), (-1 / 2, 32 / 45)),
}
"""Where the polynomials of a tile are evaluated, by the inputs along its side, and the kernel's scale there; then ∞."""
_TILES, _MANY_TILES = 12, 48
"""At once, of a convolution: few, so that what lies between its transforms stays in a core's caches, and many where the
weights do not, so that these are read less often.
"""
_MANY_WEIGHTS = 2**16
"""Input times output channels; at each point so many weights are 256 kB."""
_NUMBERS, _SHARED_NUMBERS = 200_000, 1_200_000
"""Of tiles at once, in a sum of weights: about what a core's second cache holds, and the third of all."""
_FILLED = 0.7
"""Share of the products that must be of channels which are there, where others fill up the vectors."""
_PARTS, _SMALL = 8, 64 * 64
"""Sums of weights up to so many input and output channels are taken in parts, by threads on their own."""
_floats = partial(torch.empty, dtype=torch.float32, device="cpu")
"""As C takes them, whatever PyTorch's defaults are."""


def convolves(layer: nn.Conv2d) -> bool:
    """Whether `convolve` can do this layer's work on float32 images laid out as (n, h, w, c)."""
    found = library()
    if found is None:
        return False
    size, padding, channels = layer.kernel_size, layer.padding, (layer.in_channels, layer.out_channels)
    plain = layer.stride == (1, 1) and layer.dilation == (1, 1) and layer.groups == 1 and layer.padding_mode == "zeros"
    square = size in ((3, 3), (5, 5)) and isinstance(padding, tuple) and padding[0] == padding[1] < size[0]
    filled = math.prod(channels) / math.prod(c + -c % found.lanes() for c in channels)
    return plain and square and filled >= _FILLED


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """A convolution of stride 1: (n, c, h, w) float32, channels-last, → (n, k, h', w') likewise.

    Its rounding errors are about ten times those of a sum of products: 1e-6 of the result with 3×3, 4e-6 with 5×5.
    """
    k, c, *_ = weight.shape
    more_c, more_k = (-channels % compiled().lanes() for channels in (c, k))
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
    (n, c, h, w), (k, _, kernel, _) = x.shape, weight.shape
    rows, columns, side = h + 2 * padding - kernel + 1, w + 2 * padding - kernel + 1, kernel + _OUT - 1
    y = _floats((n, k, rows, columns), memory_format=torch.channels_last)
    transformed = _transform(kernel) @ weight.permute(2, 3, 1, 0).reshape(kernel * kernel, c * k)
    threads, zeros = torch.get_num_threads(), _floats(max(w * c, k)).zero_()
    tiles = _TILES if c * k < _MANY_WEIGHTS else _MANY_TILES
    scratch = _floats(threads * (side * side * tiles * (c + k) + side * (_whole(columns) + kernel - 1) * c))
    compiled().winograd_convolve(
        side, address(x), n, h, w, c, address(transformed), address(zeros if bias is None else bias), address(y),
        rows, columns, k, padding, address(zeros), tiles, address(scratch), threads,
    )  # fmt: skip
    return y


def _by_weight(x: Tensor, dy: Tensor, weight: Tensor, padding: int) -> Tensor:
    (n, c, h, w), (_, k, rows, columns), kernel = x.shape, dy.shape, weight.shape[-1]
    threads, parts, side = torch.get_num_threads(), _PARTS if c * k <= _SMALL else 1, kernel + _OUT - 1
    points = side * side
    tiles = max(64, (_NUMBERS if parts > 1 else _SHARED_NUMBERS) // (points * (c + k)))
    sums, zeros = _floats(points, c * k), _floats(max(x.shape[-1] * c, columns * k)).zero_()
    strips = threads * side * ((_whole(columns) + kernel - 1) * c + _whole(columns) * k)
    each = tiles * (c + k) + 32
    scratch = _floats(strips + points * (threads * each + parts * c * k if parts > 1 else each))
    compiled().winograd_by_weights(
        side, address(x), n, h, w, c, address(dy), rows, columns, k, address(sums), padding, address(zeros), parts,
        tiles, address(scratch), threads,
    )  # fmt: skip
    gradient = (_transform(kernel).t() @ sums).view(kernel, kernel, c, k).permute(3, 2, 0, 1)
    # Laid out as the weights are, which a fused optimiser takes for granted.
    return torch.empty_like(weight).copy_(gradient)


def _whole(outputs: int) -> int:
    """So many along a side, filled up to whole tiles."""
    return outputs + -outputs % _OUT


@cache
def _transform(kernel: int) -> Tensor:
    """The Kronecker square of G: (points, kernel²)."""
    rows = [[scale * point**power for power in range(kernel)] for point, scale in _POINTS[kernel + _OUT - 1]]
    once = torch.tensor([*rows, [0.0] * (kernel - 1) + [1.0]], dtype=torch.float32, device="cpu")
    return torch.kron(once, once)
