"""Winograd's convolution for PyTorch's autograd."""

import math
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from convarium.kernels.compiling import address, compiled, library


@dataclass(frozen=True, eq=False)
class _Filter:
    """One of the filters of `tiles.h`, with its place there and the points along a side of a tile."""

    number: int
    points: int
    polynomials: tuple[tuple[float, float], ...]
    """Where they are evaluated, and the taps' scale there; then ∞."""


_PAIRS = ((0, 1 / 2), (1, -1 / 2), (-1, -1 / 6), (2, 1 / 6))
_THREE = _Filter(0, 6, ((0, 1 / 4), (1, -1 / 6), (-1, -1 / 6), (2, 1 / 24), (-2, 1 / 24)))
_FIVE = _Filter(
    1, 8, ((0, 1), (1, -2 / 9), (-1, -2 / 9), (2, 1 / 90), (-2, 1 / 90), (1 / 2, 32 / 45), (-1 / 2, 32 / 45))
)
_DOWN, _UP = _Filter(2, 9, _PAIRS), _Filter(3, 9, _PAIRS)
_TILES, _MANY_TILES = 12, 48
"""At once, of a convolution: few, so that what lies between its transforms stays in a core's caches, and many where the
weights do not, so that these are read less often.
"""
_MANY_WEIGHTS = 2**16
"""Input times output channels; at each point so many weights are 256 kB. With a stride half as many are too many:
PyTorch's convolution is faster then.
"""
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
    channels = layer.in_channels, layer.out_channels
    plain = layer.dilation == (1, 1) and layer.groups == 1 and layer.padding_mode == "zeros"
    match layer.kernel_size, layer.stride, layer.padding:
        case ((3, 3) | (5, 5)) as size, (1, 1), (int(rows), int(columns)):
            known = 0 <= rows == columns < size[0]
        case (3, 3), (2, 2), (1, 1):
            known = math.prod(channels) < _MANY_WEIGHTS // 2
        case _:
            known = False
    filled = math.prod(channels) / math.prod(c + -c % found.lanes() for c in channels)
    return plain and known and filled >= _FILLED


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """A convolution that `convolves` knows: (n, c, h, w) float32, channels-last, → (n, k, h', w') likewise.

    Its rounding errors are about ten times those of a sum of products: 1e-6 of the result with 3×3, 4e-6 with 5×5.
    """
    k, c, *_ = weight.shape
    more_c, more_k = (-channels % compiled().lanes() for channels in (c, k))
    if more_c:
        x = F.pad(x, (0, 0, 0, 0, 0, more_c)).contiguous(memory_format=torch.channels_last)
    if more_c or more_k:
        weight = F.pad(weight, (0, 0, 0, 0, 0, more_c, 0, more_k))
        bias = None if bias is None else F.pad(bias, (0, more_k))
    y: Tensor = _Convolution.apply(x, weight, bias, stride, padding)  # type: ignore[no-untyped-call]
    return y[:, :k].contiguous(memory_format=torch.channels_last) if more_k else y


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.filter = _DOWN if stride == 2 else _THREE if weight.shape[-1] == 3 else _FIVE
        ctx.padding, ctx.biased = padding, bias is not None
        rows, columns = ((side + 2 * padding - weight.shape[-1]) // stride + 1 for side in x.shape[-2:])
        transformed = _transform(ctx.filter) @ weight.permute(2, 3, 1, 0).flatten(2).flatten(0, 1)
        return _convolved(ctx.filter, x, transformed, bias, padding, (len(weight), rows, columns))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dy = gradient.contiguous(memory_format=torch.channels_last)
        by_x, by_weight, by_bias, *_ = ctx.needs_input_grad
        back, padding = (_UP, 0) if ctx.filter is _DOWN else (ctx.filter, weight.shape[-1] - 1 - ctx.padding)
        dx = None
        if by_x:
            turned = _transform(back, turned=True) @ weight.permute(2, 3, 0, 1).flatten(2).flatten(0, 1)
            dx = _convolved(back, dy, turned, None, padding, x.shape[1:])
        return (
            dx,
            _by_weight(ctx.filter, x, dy, weight, ctx.padding) if by_weight else None,
            dy.sum((0, 2, 3)) if ctx.biased and by_bias else None,
            None,
            None,
        )


def _convolved(
    how: _Filter, x: Tensor, transformed: Tensor, bias: Tensor | None, padding: int, shape: tuple[int, ...]
) -> Tensor:
    """Images (n, c, h, w) and transformed weights (kinds², c·k) → images of `shape` (k, h', w')."""
    (n, c, h, w), (k, rows, columns) = x.shape, shape
    y = _floats((n, *shape), memory_format=torch.channels_last)
    threads, zeros = torch.get_num_threads(), _floats(max(w * c, k)).zero_()
    tiles = _TILES if c * k < _MANY_WEIGHTS else _MANY_TILES
    scratch = _floats(compiled().winograd_convolve_scratch(how.number, c, columns, k, tiles, threads))
    compiled().winograd_convolve(
        how.number, address(x), n, h, w, c, address(transformed), address(zeros if bias is None else bias), address(y),
        rows, columns, k, padding, address(zeros), tiles, address(scratch), threads,
    )  # fmt: skip
    return y


def _by_weight(how: _Filter, x: Tensor, dy: Tensor, weight: Tensor, padding: int) -> Tensor:
    (n, c, h, w), (_, k, rows, columns), kernel = x.shape, dy.shape, weight.shape[-1]
    threads, parts = torch.get_num_threads(), _PARTS if c * k <= _SMALL else 1
    tiles = max(64, (_NUMBERS if parts > 1 else _SHARED_NUMBERS) // (how.points**2 * (c + k)))
    transform = _transform(how)
    sums, zeros = _floats(len(transform), c * k), _floats(max(w * c, columns * k)).zero_()
    scratch = _floats(compiled().winograd_by_weights_scratch(how.number, c, columns, k, parts, tiles, threads))
    compiled().winograd_by_weights(
        how.number, address(x), n, h, w, c, address(dy), rows, columns, k, address(sums), padding, address(zeros),
        parts, tiles, address(scratch), threads,
    )  # fmt: skip
    gradient = (transform.t() @ sums).view(kernel, kernel, c, k).permute(3, 2, 0, 1)
    # Laid out as the weights are, which a fused optimizer takes for granted.
    return torch.empty_like(weight).copy_(gradient)


@cache
def _transform(how: _Filter, *, turned: bool = False) -> Tensor:
    """From a kernel to what products are taken with: (kinds², kernel²) of `tiles.h`, the Kronecker square of G;
    `turned`: from the kernel turned by 180°, as the gradient by the input wants it.
    """
    if how in (_THREE, _FIVE):
        side = 3 if how is _THREE else 5
        rows = [[scale * point**power for power in range(side)] for point, scale in how.polynomials]
        rows += [[0.0] * (side - 1) + [1.0]]
    else:
        rows = [[scale, 0.0, scale * point] for point, scale in how.polynomials]
        rows += [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    once = torch.tensor(rows, dtype=torch.float32, device="cpu")
    both = torch.kron(once, once)
    return both.flip(1) if turned else both
