"""Average pooling of a sigmoid, and max pooling of a ReLU, for PyTorch's autograd."""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from convarium.kernels.compiling import address, compiled

_MOST_NUMBERS = 2**14
"""Of a line, of which sums lie on a thread's stack."""


def averages(x: Tensor) -> bool:
    """Whether `average_sigmoid` can do its work on (n, c, h, w) float32 or bfloat16, channels-last."""
    _, c, h, w = x.shape
    return h % 2 == w % 2 == 0 and 2 * compiled().lanes() <= w * c <= _MOST_NUMBERS


def average_sigmoid(x: Tensor) -> Tensor:
    """The means of 2×2 pixels of sigmoid(x), which `averages`: (n, c, h, w) → (n, c, h/2, w/2)."""
    y: Tensor = _AverageSigmoid.apply(x)  # type: ignore[no-untyped-call]
    return y


def maximizes(x: Tensor) -> bool:
    """Whether `maximize_relu` can do its work on (n, c, h, w) float32 or bfloat16, channels-last."""
    _, c, h, w = x.shape
    return h % 2 == w % 2 == 0 and bool(c >= compiled().lanes())


def maximize_relu(x: Tensor) -> Tensor:
    """The largest of 2×2 pixels of relu(x), which `maximizes`: (n, c, h, w) → (n, c, h/2, w/2)."""
    y: Tensor = _MaximizeReLU.apply(x)  # type: ignore[no-untyped-call]
    return y


class _AverageSigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        y = _halved(x)
        compiled().sigmoid_means(x.dtype == torch.bfloat16, address(x), address(y), *_lines(x))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        [x] = ctx.saved_tensors
        dx, dy = torch.empty_like(x), gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        compiled().sigmoid_means_back(x.dtype == torch.bfloat16, address(x), address(dy), address(dx), *_lines(x))
        return dx


class _MaximizeReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        y = _halved(x)
        compiled().relu_maxima(x.dtype == torch.bfloat16, address(x), None, address(y), *_lines(x))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        [x] = ctx.saved_tensors
        dx, dy = torch.empty_like(x), gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        compiled().relu_maxima(x.dtype == torch.bfloat16, address(x), address(dy), address(dx), *_lines(x))
        return dx


def _halved(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return torch.empty((n, c, h // 2, w // 2), dtype=x.dtype, device="cpu", memory_format=torch.channels_last)


def _lines(x: Tensor) -> tuple[ctypes.c_size_t, int, int, int]:
    n, c, h, w = x.shape
    return ctypes.c_size_t(n * h // 2), w, c, torch.get_num_threads()
