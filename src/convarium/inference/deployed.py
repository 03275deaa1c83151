"""A trained network as it is deployed: images of 8 bits in, logits out, with all that lies between as one module."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convarium.models.zoo.mlp import MemoryBlock
from convarium.records import Preprocessing

PREPROCESSING = frozenset({"scale", "shift", "rows", "columns"})
"""The buffers of `DeployedNetwork`, by which its preprocessing is known in a graph."""


class DeployedNetwork(nn.Module):
    """network((resize(images) / 255 − mean) / std)

    Resizing from one fixed size to another is linear, so it is a product with a matrix on either side. That is the same
    in every runtime, where an antialiased resize is not.
    """

    scale: Tensor
    shift: Tensor
    rows: Tensor | None
    columns: Tensor | None

    def __init__(self, network: nn.Module, preprocessing: Preprocessing):
        super().__init__()
        self.network = network
        mean, std = (
            torch.tensor(v, dtype=torch.float64).reshape(1, -1, 1, 1) for v in (preprocessing.mean, preprocessing.std)
        )
        self.register_buffer("scale", (1 / (255 * std)).float())
        self.register_buffer("shift", (-mean / std).float())
        side, height, width = preprocessing.resize, preprocessing.height, preprocessing.width
        is_resized = side is not None and (height, width) != (side, side)
        self.register_buffer("rows", _resizing(height, side) if side and is_resized else None)
        self.register_buffer("columns", _resizing(width, side).T.contiguous() if side and is_resized else None)

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) uint8 → (n, classes) float32"""
        pixels = images.to(self.scale.dtype)
        if self.rows is not None and self.columns is not None:
            pixels = self.rows @ pixels @ self.columns
        logits: Tensor = self.network(pixels * self.scale + self.shift)
        return logits


def deployed(network: nn.Module, preprocessing: Preprocessing) -> DeployedNetwork:
    """A copy of a network, in evaluation mode on the CPU, behind its preprocessing.

    A memory block becomes the one matrix that it computes with.

    Args:
        network: with its weights; stays as it is.
        preprocessing: that it was trained with.
    """
    copied = copy.deepcopy(network).cpu().float()
    copied.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for block in copied.modules():
        if isinstance(block, MemoryBlock):
            block.fold()
    whole = DeployedNetwork(copied, preprocessing).eval()
    return whole.requires_grad_(requires_grad=False)


def _resizing(size: int, side: int) -> Tensor:
    """The matrix (side, size) that a column of pixels is multiplied by to be resized, as `data.batches` resizes."""
    identity = torch.eye(size)[None, None]
    return F.interpolate(identity, (side, size), mode="bilinear", antialias=True)[0, 0]
