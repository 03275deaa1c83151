"""AlexNet: A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet classification with deep convolutional neural
networks", 2012, without its local response norm and its division between two GPUs.

    image ─ stem, 96 ─ act ─ pool ─ conv 5×5, 256 ─ act ─ pool ─ conv 3×3, 384 ─ act ─ conv 3×3, 384 ─ act
          ─ conv 3×3, 256 ─ act ─ pool ─ hidden ─ act ─ dropout ─ hidden ─ act ─ dropout ─ classes

Pools are 3×3, stride 2, overlapping as in the paper. The stem is the paper's 11×11 of stride 4 for images of 224
pixels, or a 3×3 of stride 1, with which the network takes images of 28 and 32 pixels without resizing: enlarging 28 to
224 for the 11×11 costs four times the work and adds no information.
"""

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

WIDTHS = (96, 256, 384, 384, 256)
LARGEST_MAP = 6
"""Height and width of the last feature maps in the paper."""


def alexnet(
    spec: ImageSpec,
    activation: Activation = RELU,
    *,
    stem: Literal["3x3", "11x11"] = "3x3",
    norm: bool = True,
    hidden: int = 1024,
    dropout: float = 0.5,
    width_divisor: int = 1,
    init: Init = "kaiming_normal_fan_in",
) -> nn.Sequential:
    """AlexNet (Krizhevsky et al. 2012) for small images, with batch norm.

    With stem '11x11', norm=False and hidden=4096 it is the network for 224 pixels.

    Args:
        spec: images of at least 15 pixels (65 with stem '11x11'). Feature maps of more than 6×6 are averaged to the
            6×6 of the paper, so that the head does not grow beyond it.
        activation: after every convolution and hidden linear layer.
        stem: first convolution: "3x3", stride 1, or "11x11", stride 4, padded by 1 as in d2l.ai.
        norm: batch norm after every convolution, which then has no bias.
        hidden: width of both hidden linear layers; 4096 in the paper.
        dropout: fraction of the hidden units that are zeroed in training.
        width_divisor: divides the channels of all convolutions.
        init: how the weights are initialized, see `layers.initialize`.
    """
    a, b, c, d, e = narrowed("alexnet", WIDTHS, width_divisor)
    kernel, stride = (3, 1) if stem == "3x3" else (11, 4)
    layers = [
        *conv_act(spec.channels, a, kernel, activation, norm=norm, stride=stride, padding=1), nn.MaxPool2d(3, 2),
        *conv_act(a, b, 5, activation, norm=norm), nn.MaxPool2d(3, 2),
        *conv_act(b, c, 3, activation, norm=norm),
        *conv_act(c, d, 3, activation, norm=norm),
        *conv_act(d, e, 3, activation, norm=norm), nn.MaxPool2d(3, 2),
    ]  # fmt: skip
    _, height, width = output_shape(nn.Sequential(*layers), spec, name="alexnet")
    if max(height, width) > LARGEST_MAP:
        height, width = min(height, LARGEST_MAP), min(width, LARGEST_MAP)
        layers.append(nn.AdaptiveAvgPool2d((height, width)))
    head = hidden_head(e * height * width, spec.classes, hidden=hidden, act=activation, dropout=dropout)
    network = nn.Sequential(*layers, nn.Flatten(), *head)
    initialize(network, init, activation)
    return network


PRESETS = {
    "alexnet@d2l": Preset(
        model="alexnet(stem='11x11', norm=False, hidden=4096, dropout=0.5, init='xavier_uniform')",
        image=ImageSpec(1, 224, 224, 10),
        source="d2l.ai, chapter 'Deep Convolutional Neural Networks (AlexNet)'; course notes, day 19 (2024)",
        note="Padding 1 in the stem leaves 54×54 maps, where the paper has 55×55; no local response norm, one GPU.",
    )
}
