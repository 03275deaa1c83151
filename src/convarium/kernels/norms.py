"""Batch norm in training, with the ReLU after it, for PyTorch's autograd."""

import ctypes
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from convarium.kernels.compiling import address, compiled, library

_MOST_CHANNELS = 2**13
"""What is kept of a channel lies on a thread's stack, a hundred bytes of it."""


def normalizes(layer: nn.BatchNorm2d) -> bool:
    """Whether `normalize` can do this layer's work in training, on images laid out as (n, h, w, c)."""
    found = library()
    batches = layer.num_batches_tracked
    counted = batches is not None and batches.dtype == torch.int64 and batches.device.type == "cpu"
    kept = layer.affine and layer.running_mean is not None and layer.momentum is not None and counted
    few = layer.num_features <= _MOST_CHANNELS
    return found is not None and kept and few and 4 * layer.num_features % found.lanes() == 0


def normalize(x: Tensor, layer: nn.BatchNorm2d, *, relu: bool) -> Tensor:
    """The batch norm of (n, c, h, w) float32 or bfloat16, channels-last, n·h·w a multiple of 4, and ReLU if wanted.

    It moves the layer's running statistics, as PyTorch's does.
    """
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.num_batches_tracked is not None
    assert layer.momentum is not None
    kept = layer.running_mean, layer.running_var, layer.num_batches_tracked
    y: Tensor = _Norm.apply(x, layer.weight, layer.bias, *kept, layer.eps, layer.momentum, relu)  # type: ignore[no-untyped-call]
    return y


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_variance: Tensor,
        batches: Tensor,
        eps: float,
        momentum: float,
        relu: bool,
    ) -> Tensor:
        n, c, h, w = x.shape
        y, mean, inverse, scratch = torch.empty_like(x), *(weight.new_empty(many) for many in (c, c, 256 * c))
        ctx.save_for_backward(x, weight, bias, mean, inverse)
        ctx.relu = relu
        compiled().norm_forward(
            x.dtype == torch.bfloat16, relu, address(x), address(y), ctypes.c_size_t(n * h * w), c, address(weight),
            address(bias), ctypes.c_float(eps), ctypes.c_float(momentum), address(running_mean),
            address(running_variance), address(batches), address(mean), address(inverse), address(scratch),
            torch.get_num_threads(),
        )  # fmt: skip
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, inverse = ctx.saved_tensors
        n, c, h, w = x.shape
        dy = gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        dx, by_weight, by_bias, scratch = torch.empty_like(x), *(weight.new_empty(many) for many in (c, c, 256 * c))
        compiled().norm_backward(
            x.dtype == torch.bfloat16, ctx.relu, address(x), address(dy), address(dx), ctypes.c_size_t(n * h * w), c,
            address(weight), address(bias), address(mean), address(inverse), address(by_weight), address(by_bias),
            address(scratch), torch.get_num_threads(),
        )  # fmt: skip
        return dx, by_weight, by_bias, *[None] * 6
