"""LeNet: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", 1998,
in the form that d2l.ai teaches: no partial connections, no trainable pooling, a linear layer instead of RBF units.

    image ─ conv 5×5, 6 ─ act ─ pool 2 ─ conv 5×5, 16 ─ act ─ pool 2 ─ 120 ─ act ─ 84 ─ act ─ classes

The first convolution is padded by 2 if the image has 28 pixels or less: the paper centers MNIST's 28 in a field of 32.
"""

import math
from typing import Literal

from torch import nn

from convarium.models.zoo.layers import RELU, Activation, AvgPool2d, Init, initialize, output_shape
from convarium.records import ImageSpec, Preset


def lenet(
    spec: ImageSpec,
    activation: Activation = RELU,
    *,
    pool: Literal["max", "avg"] = "max",
    init: Init = "kaiming_normal_fan_in",
) -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998) as taught today, with ReLU and max pooling.

    The options nearest to the original, with its scaled tanh, are 'tanh' and 'avg'; d2l.ai has 'sigmoid' and 'avg'.

    Args:
        spec: images of at least 12 pixels; the first convolution is padded if they have 28 or less.
        activation: after every convolution and hidden linear layer.
        pool: "max" or "avg", 2×2. It explains more of LeNet's accuracy than batch norm does (d2l-en issue 1660).
        init: how the weights are initialized, see `layers.initialize`.
    """
    pooling = nn.MaxPool2d if pool == "max" else AvgPool2d
    padding = 2 if min(spec.height, spec.width) <= 28 else 0
    features = nn.Sequential(
        nn.Conv2d(spec.channels, 6, 5, padding=padding), activation(), pooling(2),
        nn.Conv2d(6, 16, 5), activation(), pooling(2),
        nn.Flatten(),
    )  # fmt: skip
    flat = math.prod(output_shape(features, spec, name="lenet"))
    network = nn.Sequential(
        *features, nn.Linear(flat, 120), activation(), nn.Linear(120, 84), activation(), nn.Linear(84, spec.classes)
    )
    initialize(network, init, activation)
    return network


PRESETS = {
    "lenet@d2l": Preset(
        model="lenet(activation='sigmoid', pool='avg', init='xavier_uniform')",
        image=ImageSpec(1, 28, 28, 10),
        source="d2l.ai, chapter 'Convolutional Neural Networks (LeNet)'; course notes, day 19 (2024)",
    )
}
