"""Checks of every tensor whose address is handed to C, which itself checks nothing."""

from collections.abc import Sequence

import torch
from torch import Tensor


def check_images(name: str, x: Tensor, channels: int, dtypes: Sequence[torch.dtype]) -> None:
    """Raises unless x is a batch of images that the kernels can read.

    Raises:
        TypeError: x's type is none of `dtypes`.
        ValueError: x is not a dense tensor on the CPU, not (n, channels, h, w), empty, or not channels-last.
    """
    check_dtype(name, x, dtypes)
    if x.ndim != 4 or x.shape[1] != channels or not x.numel():
        raise ValueError(f"{name} must have shape (n, {channels}, h, w) and not be empty; it has {tuple(x.shape)}")
    if not x.is_contiguous(memory_format=torch.channels_last):
        raise ValueError(f"{name} must be channels-last; use x.contiguous(memory_format=torch.channels_last)")


def check_vector(name: str, vector: Tensor, size: int) -> None:
    """Raises unless the tensor is float32, (size,) and contiguous.

    Raises:
        TypeError: it is not float32.
        ValueError: it has another shape, device or stride.
    """
    check_dtype(name, vector, (torch.float32,))
    if vector.shape != (size,) or not vector.is_contiguous():
        raise ValueError(f"{name} must be contiguous and have shape ({size},); it has {tuple(vector.shape)}")


def check_dtype(name: str, tensor: Tensor, dtypes: Sequence[torch.dtype]) -> None:
    """Raises unless the tensor is dense, on the CPU, and of one of these types.

    Raises:
        TypeError: it is of another type.
        ValueError: it is on another device, or sparse.
    """
    if tensor.dtype not in dtypes:
        raise TypeError(f"{name} must be {' or '.join(str(dtype) for dtype in dtypes)}, not {tensor.dtype}")
    if tensor.device.type != "cpu" or tensor.layout != torch.strided:
        raise ValueError(f"{name} must be a dense tensor on the CPU, not {tensor.layout} on {tensor.device}")
