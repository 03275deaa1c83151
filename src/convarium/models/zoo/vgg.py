"""VGG: K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014,
arXiv 1409.1556, configurations A (11), B (13), D (16) and E (19).

    image ─ five blocks ─ head ─ classes          block: n × (conv 3×3, act), pool 2

The paper has no batch norm (which is of 2015) and a head of two hidden layers with 4,096 units each, made for 7×7 maps
of 224-pixel images. On 32 pixels the last map is 1×1, and what is usually called VGG there has batch norm and a single
linear layer: that is `vgg`; `norm=False, hidden=4096, dropout=0.5` is the paper's.
"""

import math
from typing import Literal

from torch import nn

from convarium.models.zoo.layers import (
    RELU,
    Activation,
    Init,
    conv_act,
    hidden_head,
    initialize,
    narrowed,
    output_shape,
)
from convarium.records import ImageSpec, Preset

WIDTHS = (64, 128, 256, 512, 512)
REPEATS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions of each block by depth; the depth counts the three linear layers of the paper's head."""


def vgg_block(c_in: int, c_out: int, n: int, act: Activation, *, norm: bool, bias: bool) -> nn.Sequential:
    """pool(x after n times act(norm(conv 3×3))): (m, c_in, h, w) → (m, c_out, h / 2, w / 2), rounded up.

    Rounding up changes nothing at 32 or 224 pixels, and allows five blocks at 28 (the maps: 14, 7, 4, 2, 1).
    """
    convs = [conv_act(c_in if i == 0 else c_out, c_out, 3, act, norm=norm, bias=bias) for i in range(n)]
    return nn.Sequential(*(layer for conv in convs for layer in conv), nn.MaxPool2d(2, ceil_mode=True))


def vgg(
    spec: ImageSpec,
    activation: Activation = RELU,
    *,
    depth: Literal[11, 13, 16, 19] = 11,
    norm: bool = True,
    conv_bias: bool = False,
    hidden: int | None = None,
    dropout: float = 0.0,
    width_divisor: int = 1,
    init: Init = "kaiming_normal_fan_in",
) -> nn.Sequential:
    """VGG-11 to VGG-19 (Simonyan and Zisserman 2014) for small images: batch norm, one linear layer.

    Without norm it needs a small learning rate.

    Args:
        spec: images of any size.
        activation: after every convolution and hidden linear layer.
        depth: layers with weights in the paper's count: 11, 13, 16 or 19.
        norm: batch norm after every convolution.
        conv_bias: a bias before the norm too, which cancels it. Without a norm there is always one.
        hidden: width of two hidden linear layers over all positions of the last maps (4096 in the paper); None: the
            mean over the positions and a single linear layer.
        dropout: fraction of the units that are zeroed in training, after each hidden layer, or before the single
            linear layer.
        width_divisor: divides the channels of all convolutions.
        init: how the weights are initialized, see `layers.initialize`.
    """
    widths = narrowed("vgg", WIDTHS, width_divisor)
    plan = zip([spec.channels, *widths[:-1]], widths, REPEATS[depth], strict=True)
    blocks = [vgg_block(c_in, c_out, n, activation, norm=norm, bias=conv_bias) for c_in, c_out, n in plan]
    if hidden is None:
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(widths[-1], spec.classes)]
    else:
        flat = math.prod(output_shape(nn.Sequential(*blocks), spec, name="vgg"))
        head = [nn.Flatten(), *hidden_head(flat, spec.classes, hidden=hidden, act=activation, dropout=dropout)]
    network = nn.Sequential(*blocks, *head)
    initialize(network, init, activation)
    return network


_D2L = "d2l.ai, chapter 'Networks Using Blocks (VGG)'; course notes, day 19 (2024)"
_PYTORCH_CIFAR = "github.com/kuangliu/pytorch-cifar, models/vgg.py"
_IDLE = "The convolutions have biases, which the batch norm behind them makes idle."

PRESETS = {
    "vgg11@d2l": Preset(
        model="vgg(depth=11, norm=False, hidden=4096, dropout=0.5, init='xavier_uniform')",
        image=ImageSpec(1, 224, 224, 10),
        source=_D2L,
    ),
    "vgg11@d2l-small": Preset(
        model="vgg(depth=11, norm=False, hidden=4096, dropout=0.5, width_divisor=4, init='xavier_uniform')",
        image=ImageSpec(1, 224, 224, 10),
        source=_D2L,
        note="The one that is trained there; only the convolutions are narrower, the head stays at 4,096.",
    ),
    "vgg16@pytorch-cifar": Preset(
        model="vgg(depth=16, conv_bias=True, init='torch')",
        image=ImageSpec(3, 32, 32, 10),
        source=_PYTORCH_CIFAR,
        note=_IDLE,
    ),
    "vgg19@pytorch-cifar": Preset(
        model="vgg(depth=19, conv_bias=True, init='torch')",
        image=ImageSpec(3, 32, 32, 10),
        source=_PYTORCH_CIFAR,
        note=_IDLE,
    ),
}
