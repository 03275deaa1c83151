"""The three-block residual network of a course report on recognizing MNIST digits with ResNet modules.

    image ─ block(16) ─ block(32, stride 2) ─ block(64, stride 2) ─ linear ─ classes

The report prints the channels and strides of the blocks, the 1×1 convolution of the shortcut where the shape changes,
and the linear layer over all 7×7 positions. It does not print the inside of a block. The body here is inferred: two
3×3 convolutions, each with batch norm, and a batch norm in the 1×1 shortcut too, without which Adam at learning rate
0.1 stays at chance, where the report has 98.21 %. The biases, the initialization (here PyTorch's default) and the
optimizer are not printed either.
"""

import math

from torch import Tensor, nn

from convarium.models.zoo.layers import RELU, Activation, Init, conv_norm, initialize, output_shape
from convarium.records import ImageSpec, Preset


class ResidualBlock(nn.Module):
    """act(shortcut(x) + F(x)) with F = conv 3×3, norm, act, conv 3×3, norm; without the shortcut act(F(x))."""

    def __init__(self, c_in: int, c_out: int, act: Activation, stride: int, *, residual: bool = True):
        super().__init__()
        self.body = nn.Sequential(conv_norm(c_in, c_out, stride=stride), act(), conv_norm(c_out, c_out))
        self.shortcut: nn.Module | None = None
        if residual:
            same = (c_in, stride) == (c_out, 1)
            self.shortcut = nn.Identity() if same else conv_norm(c_in, c_out, kernel=1, stride=stride)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) → (n, c_out, h / stride, w / stride), rounded up"""
        y: Tensor = self.act(self.body(x) if self.shortcut is None else self.shortcut(x) + self.body(x))
        return y


def mnist_resnet(
    spec: ImageSpec, activation: Activation = RELU, *, residual: bool = True, init: Init = "torch"
) -> nn.Sequential:
    """Three residual blocks and a linear layer: the course report's network, its blocks inferred (see the file).

    Args:
        spec: images of any size, which sets the width of the linear layer.
        activation: inside the blocks and after the sum. The report compares relu, sigmoid and tanh.
        residual: False removes the shortcuts with their 1×1 convolutions, as in the report's closing remark.
        init: how the weights are initialized, see `layers.initialize`.
    """
    plan = ((spec.channels, 16, 1), (16, 32, 2), (32, 64, 2))
    blocks = [ResidualBlock(c_in, c_out, activation, stride, residual=residual) for c_in, c_out, stride in plan]
    features = nn.Sequential(*blocks, nn.Flatten())
    flat = math.prod(output_shape(features, spec, name="mnist_resnet"))
    network = nn.Sequential(*features, nn.Linear(flat, spec.classes))
    initialize(network, init, activation)
    return network


PRESETS = {
    "mnist_resnet@mnist-report": Preset(
        model="mnist_resnet(activation='relu', residual=True, init='torch')",
        image=ImageSpec(1, 28, 28, 10),
        source="course report: a CNN with ResNet modules on MNIST, section 2.2",
        note="The inside of the block is inferred: the report does not print it.",
    )
}
