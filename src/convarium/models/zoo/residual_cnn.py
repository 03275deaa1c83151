"""The small residual network of the blog post "【Pytorch】残差神经网络(Residual Networks)": no norm, two blocks.

image ─ conv 5×5, 16 ─ act ─ pool 2 ─ block(16) ─ conv 5×5, 32 ─ act ─ pool 2 ─ block(32) ─ linear ─ classes

The blog has one block at each width. More `blocks` show what happens with depth.
"""

import math

from torch import Tensor, nn

from convarium.models.zoo.layers import RELU, Activation, Init, initialize, output_shape
from convarium.records import ImageSpec, Preset


class ResidualBlock(nn.Module):
    """act(x + F(x)) with F = conv 3×3, act, conv 3×3, both with a bias; without the shortcut act(F(x))."""

    def __init__(self, channels: int, act: Activation, *, residual: bool = True):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), act(), nn.Conv2d(channels, channels, 3, padding=1)
        )
        self.residual = residual
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) → the same shape"""
        y: Tensor = self.act(x + self.body(x) if self.residual else self.body(x))
        return y


def residual_cnn(
    spec: ImageSpec, activation: Activation = RELU, *, residual: bool = True, init: Init = "torch", blocks: int = 1
) -> nn.Sequential:
    """The residual CNN of the residual-blog: two 5×5 convolutions, each with a residual block.

    It has 4·blocks + 3 layers with weights.

    Args:
        spec: images of at least 16 pixels.
        activation: after every convolution but the last of a block, and after the sum.
        residual: False leaves the shortcuts out.
        init: how the weights are initialized; the source keeps PyTorch's default.
        blocks: residual blocks after each of the two 5×5 convolutions; the source has one.
    """
    features = nn.Sequential(
        nn.Conv2d(spec.channels, 16, 5), activation(), nn.MaxPool2d(2),
        *(ResidualBlock(16, activation, residual=residual) for _ in range(blocks)),
        nn.Conv2d(16, 32, 5), activation(), nn.MaxPool2d(2),
        *(ResidualBlock(32, activation, residual=residual) for _ in range(blocks)),
        nn.Flatten(),
    )  # fmt: skip
    flat = math.prod(output_shape(features, spec, name="residual_cnn"))
    network = nn.Sequential(*features, nn.Linear(flat, spec.classes))
    initialize(network, init, activation)
    return network


PRESETS = {
    "residual_cnn@residual-blog": Preset(
        model="residual_cnn(activation='relu', residual=True, init='torch')",
        image=ImageSpec(1, 28, 28, 10),
        source="【Pytorch】残差神经网络(Residual Networks), sections (3) and (4)",
    )
}
