"""Batch norm in training, with the ReLU after it, for PyTorch's autograd."""

import ctypes
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convarium.kernels.checks import check_images, check_vector
from convarium.kernels.loading import address, is_available, library
from convarium.kernels.second_order import differentiable_gradients

_MOST_CHANNELS = 2**13
"""The kernel keeps about a hundred bytes a channel on a thread's stack."""


def supports_batch_norm(layer: nn.BatchNorm2d) -> bool:
    """True if `batch_norm` can compute this layer in training mode."""
    batches = layer.num_batches_tracked
    counted = batches is not None and batches.dtype == torch.int64 and batches.device.type == "cpu"
    tracked = layer.affine and layer.running_mean is not None and layer.momentum is not None and counted
    few = layer.num_features <= _MOST_CHANNELS
    return is_available() and tracked and few and 4 * layer.num_features % library().lanes() == 0


def batch_norm(x: Tensor, layer: nn.BatchNorm2d, *, relu: bool = False) -> Tensor:
    """Batch norm over a batch of images, then ReLU if `relu`; updates the layer's running statistics in place.

    Args:
        x: (n, c, h, w) float32 or bfloat16 on the CPU, channels-last, with n·h·w a multiple of 4.
        layer: in float32, with `supports_batch_norm(layer)`.
        relu: whether ReLU follows.

    Returns:
        (n, c, h, w), of x's type and layout.

    Raises:
        TypeError: x or one of the layer's tensors has another type.
        ValueError: x or the layer has another device, layout or shape, or the layer is not supported.
    """
    if not supports_batch_norm(layer):
        raise ValueError(f"batch_norm does not support {layer}; call the layer itself")
    check_images("x", x, layer.num_features, (torch.float32, torch.bfloat16))
    if x.numel() // layer.num_features % 4:
        raise ValueError(f"batch_norm needs n·h·w to be a multiple of 4; x has shape {tuple(x.shape)}")
    vectors = {name: getattr(layer, name) for name in ("weight", "bias", "running_mean", "running_var")}
    for name, vector in vectors.items():
        check_vector(name, vector, layer.num_features)
    y: Tensor = _BatchNorm.apply(  # type: ignore[no-untyped-call]
        x, *vectors.values(), layer.num_batches_tracked, layer.eps, layer.momentum, relu
    )
    return y


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        batches: Tensor,
        eps: float,
        momentum: float,
        relu: bool,
    ) -> Tensor:
        n, c, h, w = x.shape
        y, mean, inverse, scratch = torch.empty_like(x), *(weight.new_empty(size) for size in (c, c, 256 * c))
        ctx.save_for_backward(x, weight, bias, mean, inverse)
        ctx.relu, ctx.eps = relu, eps
        library().norm_forward(
            x.dtype == torch.bfloat16, relu, address(x), address(y), ctypes.c_size_t(n * h * w), c, address(weight),
            address(bias), ctypes.c_float(eps), ctypes.c_float(momentum), address(running_mean), address(running_var),
            address(batches), address(mean), address(inverse), address(scratch), torch.get_num_threads(),
        )  # fmt: skip
        return y

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, inverse = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True

            def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
                y = F.batch_norm(x, None, None, weight, bias, training=True, eps=ctx.eps)
                return F.relu(y) if ctx.relu else y

            needed = ctx.needs_input_grad[:3]
            return *differentiable_gradients(norm, (x, weight, bias), needed, grad_output.to(x.dtype)), *[None] * 6
        n, c, h, w = x.shape
        dy = grad_output.to(x.dtype).contiguous(memory_format=torch.channels_last)
        grad_input = torch.empty_like(x)
        grad_weight, grad_bias, scratch = (weight.new_empty(size) for size in (c, c, 256 * c))
        library().norm_backward(
            x.dtype == torch.bfloat16, ctx.relu, address(x), address(dy), address(grad_input),
            ctypes.c_size_t(n * h * w), c, address(weight), address(bias), address(mean), address(inverse),
            address(grad_weight), address(grad_bias), address(scratch), torch.get_num_threads(),
        )  # fmt: skip
        return grad_input, grad_weight, grad_bias, *[None] * 6
