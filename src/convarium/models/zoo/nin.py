"""NiN: M. Lin, Q. Chen, S. Yan, "Network in network", 2013, arXiv 1312.4400, in the shape of AlexNet that d2l.ai gives
it: no linear layer, the class scores are the means of the last maps.

    image ─ block(stem, 96) ─ pool ─ block(5×5, 256) ─ pool ─ block(3×3, 384) ─ pool ─ dropout
          ─ block(3×3, classes) ─ mean over positions ─ classes

Pools are 3×3, stride 2. The stem is AlexNet's 11×11 of stride 4 for images of 224 pixels, or a 3×3 of stride 1 for
images of 28 and 32 pixels without resizing. The original ends in class maps with a ReLU, as in d2l.ai: scores cannot be
negative, and a class whose map dies is lost. `nin` leaves that last activation out. The authors' own network for
CIFAR-10 differs: its blocks, 5×5, 5×5 and 3×3, start with 192 channels, and dropout follows both pools.
"""

from typing import Literal

from torch import nn

from convarium.models.zoo.layers import RELU, Activation, Init, conv_act, initialize, narrowed
from convarium.records import ImageSpec, Preset

WIDTHS = (96, 256, 384)


def nin_block(
    c_in: int, c_out: int, kernel: int, act: Activation, *, norm: bool, stride: int = 1, padding: int | None = None
) -> nn.Sequential:
    """A conv k×k, act, conv 1×1, act, conv 1×1, act: a perceptron of three layers, slid over the patches of k×k."""
    return nn.Sequential(
        *conv_act(c_in, c_out, kernel, act, norm=norm, stride=stride, padding=padding),
        *conv_act(c_out, c_out, 1, act, norm=norm),
        *conv_act(c_out, c_out, 1, act, norm=norm),
    )


def class_maps(c_in: int, classes: int, act: Activation, *, norm: bool, final_relu: bool) -> nn.Sequential:
    """A conv 3×3, act, conv 1×1, act, conv 1×1, the last with a bias and without a norm: one map a class."""
    return nn.Sequential(
        *conv_act(c_in, classes, 3, act, norm=norm),
        *conv_act(classes, classes, 1, act, norm=norm),
        nn.Conv2d(classes, classes, 1),
        *([act()] if final_relu else []),
    )


def nin(
    spec: ImageSpec,
    activation: Activation = RELU,
    *,
    stem: Literal["3x3", "11x11"] = "3x3",
    norm: bool = True,
    final_relu: bool = False,
    dropout: float = 0.5,
    width_divisor: int = 1,
    init: Init = "kaiming_normal_fan_in",
) -> nn.Sequential:
    """NiN (Lin et al. 2013) for small images, with batch norm.

    With stem '11x11' and norm=False it is the network for 224 pixels.

    Args:
        spec: images of at least 15 pixels (67 with stem '11x11').
        activation: after every convolution but the last.
        stem: first convolution: "3x3", stride 1, or "11x11", stride 4, not padded.
        norm: batch norm after every convolution but the last; a convolution with a norm has no bias.
        final_relu: the activation after the last convolution too, as in the source.
        dropout: fraction of the values that are zeroed in training, before the last block.
        width_divisor: divides the channels of all convolutions but the last three.
        init: how the weights are initialized, see `layers.initialize`.
    """
    a, b, c = narrowed("nin", WIDTHS, width_divisor)
    kernel, stride, padding = (3, 1, 1) if stem == "3x3" else (11, 4, 0)
    network = nn.Sequential(
        nin_block(spec.channels, a, kernel, activation, norm=norm, stride=stride, padding=padding), nn.MaxPool2d(3, 2),
        nin_block(a, b, 5, activation, norm=norm), nn.MaxPool2d(3, 2),
        nin_block(b, c, 3, activation, norm=norm), nn.MaxPool2d(3, 2),
        nn.Dropout(dropout),
        class_maps(c, spec.classes, activation, norm=norm, final_relu=final_relu),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    initialize(network, init, activation)
    return network


PRESETS = {
    "nin@d2l": Preset(
        model="nin(stem='11x11', norm=False, final_relu=True, dropout=0.5, init='xavier_uniform')",
        image=ImageSpec(1, 224, 224, 10),
        source="d2l.ai, chapter 'Network in Network (NiN)'; course notes, day 19 (2024)",
        note="ReLU on the class maps: logits are never negative, and a class can die.",
    )
}
