"""The residual-blog's network with any number of its blocks: deep, and without a norm.

image ─ conv 5×5, 16 ─ act ─ pool 2 ─ n blocks of 16 ─ conv 5×5, 32 ─ act ─ pool 2 ─ n blocks of 32 ─ linear ─ classes

With one block each it is `residual_cnn`. This file's content is part of its runs' identity.
"""

import math

from torch import nn

from convarium.models.layers import RELU, Activation, Init, initialise, output_shape
from convarium.models.residual_cnn import ResidualBlock
from convarium.records import ImageSpec


def deep_cnn(
    spec: ImageSpec, activation: Activation = RELU, *, blocks: int = 1, residual: bool = True, init: Init = "torch"
) -> nn.Sequential:
    """The residual CNN with `blocks` blocks after each of its two convolutions: 4·blocks + 3 layers with weights.

    Args:
        spec: images of at least 16 pixels.
        activation: as in `residual_cnn`.
        blocks: of each of the two widths.
        residual: False leaves the shortcuts out.
        init: law of the initial weights; the source keeps PyTorch's own.
    """
    features = nn.Sequential(
        nn.Conv2d(spec.channels, 16, 5), activation(), nn.MaxPool2d(2),
        *(ResidualBlock(16, activation, residual=residual) for _ in range(blocks)),
        nn.Conv2d(16, 32, 5), activation(), nn.MaxPool2d(2),
        *(ResidualBlock(32, activation, residual=residual) for _ in range(blocks)),
        nn.Flatten(),
    )  # fmt: skip
    flat = math.prod(output_shape(features, spec, name="deep_cnn"))
    network = nn.Sequential(*features, nn.Linear(flat, spec.classes))
    initialise(network, init, activation)
    return network
