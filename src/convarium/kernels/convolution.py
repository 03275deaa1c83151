"""Convolutions in training: by Winograd's filtering in float32, by dot products of pairs in bfloat16."""

import torch
from torch import Tensor, nn

from convarium.kernels import direct, winograd
from convarium.kernels.checks import check_dtype, check_images, check_vector
from convarium.kernels.loading import is_available


def supports_conv2d(layer: nn.Conv2d, dtype: torch.dtype = torch.float32) -> bool:
    """True if `conv2d` can compute this layer on images of `dtype`, and faster than PyTorch."""
    plain = layer.dilation == (1, 1) and layer.groups == 1 and layer.padding_mode == "zeros"
    square = len({*layer.kernel_size}) == len({*layer.stride}) == len({*layer.padding}) == 1
    if not is_available() or not plain or not square or layer.weight.dtype != torch.float32:
        return False
    window = layer.kernel_size[0], layer.stride[0], layer.padding[0]
    if isinstance(window[2], str):  # padding="same"
        return False
    channels = layer.in_channels, layer.out_channels
    method = {torch.float32: winograd, torch.bfloat16: direct}.get(dtype)
    return method is not None and method.supports(*window) and method.is_faster(*channels)


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: int = 1, padding: int = 0) -> Tensor:
    """A convolution for training, with zeros around the images.

    In float32 the rounding errors are about ten times those of a plain sum of products, 1e-6 of the result. In bfloat16
    weights are rounded and sums are float32, as with autocast; the bias, which autocast rounds, is not, nor is the
    gradient by the weights.

    Args:
        x: (n, c, h, w) on the CPU, channels-last. float32 takes 3×3 kernels with stride 1, bfloat16 takes square
            kernels up to 11×11 with strides up to 11.
        weight: (k, c, side, side) float32.
        bias: (k,) float32, or None.
        stride: of both dimensions.
        padding: of both dimensions, less than `side`.

    Returns:
        (n, k, h', w') of x's type, channels-last.

    Raises:
        TypeError: a tensor has another type.
        ValueError: a tensor has another device, layout or shape, or the kernels do not compute this convolution.
        RuntimeError: the kernels are not compiled here; see `is_available`.
    """
    if not is_available():
        raise RuntimeError("the kernels are not compiled here; use torch.nn.functional.conv2d")
    check_dtype("weight", weight, (torch.float32,))
    if weight.ndim != 4 or weight.shape[2] != weight.shape[3] or not weight.numel():
        raise ValueError(f"weight must have shape (k, c, side, side) and not be empty; it has {tuple(weight.shape)}")
    k, c, side, _ = weight.shape
    check_images("x", x, c, (torch.float32, torch.bfloat16))
    if bias is not None:
        check_vector("bias", bias, k)
    method = winograd if x.dtype == torch.float32 else direct
    if not method.supports(side, stride, padding) or min(x.shape[2:]) + 2 * padding < side:
        raise ValueError(
            f"conv2d does not compute {side}×{side} kernels with stride {stride} and padding {padding} on {x.dtype} "
            f"images of shape {tuple(x.shape)}; use torch.nn.functional.conv2d"
        )
    y: Tensor = method.convolve(x, weight, bias, stride=stride, padding=padding)
    return y
