"""DenseNet: G. Huang, Z. Liu, L. van der Maaten, K. Weinberger, "Densely connected convolutional networks", 2017,
arXiv 1608.06993.

    image ─ stem ─ dense block ─ transition ─ dense block ─ transition ─ dense block ─ norm ─ act ─ mean ─ classes

    layer:       x ─┬─ norm ─ act ─ conv 1×1, 4k ─ norm ─ act ─ conv 3×3, k ─┬─ concatenate       k, the growth rate
                    └────────────────────────────────────────────────────────┘
    transition:  norm ─ act ─ conv 1×1, compressed ─ average pool 2

The stem has 2k channels, or the 16 of the paper's basic network where there is neither a bottleneck nor compression.
Dropout, which the paper uses if images are not augmented, is left out. @huang2017 initializes by fan-out
and starts the bias of the classifier at zero, as its code.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from convarium.errors import SpecError
from convarium.models.zoo.layers import (
    RELU,
    Activation,
    ClassifierBias,
    Init,
    assemble,
    classifier,
    conv_norm,
    initialize,
    repeats,
)
from convarium.records import ImageSpec, Preset

Order = Literal["input_first", "new_first"]


class DenseLayer(nn.Module):
    """concatenate(x, H(x)), H = norm, act, conv 1×1, norm, act, conv 3×3; H = norm, act, conv 3×3 without bottleneck.

    Args:
        bottleneck: channels between the two convolutions, as a multiple of the growth rate; None: one convolution.
        order: which comes first in the output, x (the paper, "input_first") or H(x) (UvA, "new_first").
    """

    def __init__(
        self, c_in: int, growth: int, bottleneck: int | None, activation: Activation, order: Order, bias: bool
    ):
        super().__init__()
        inner = c_in if bottleneck is None else bottleneck * growth
        reduce = [] if bottleneck is None else _norm_act_conv(c_in, inner, 1, activation, bias)
        self.composite = nn.Sequential(*reduce, *_norm_act_conv(inner, growth, 3, activation, bias))
        self.new_first = order == "new_first"

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) → (n, c_in + growth, h, w)"""
        new = self.composite(x)
        return torch.cat([new, x] if self.new_first else [x, new], dim=1)


def _norm_act_conv(c_in: int, c_out: int, kernel: int, activation: Activation, bias: bool) -> list[nn.Module]:
    conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=bias)
    return [nn.BatchNorm2d(c_in), activation(), conv]


def densenet(
    spec: ImageSpec,
    activation: Activation = RELU,
    *,
    depth: int | None = None,
    growth: int = 12,
    bottleneck: int | None = 4,
    compression: float = 0.5,
    layers: tuple[int, ...] | None = None,
    order: Order = "input_first",
    stem: Literal["3x3", "7x7"] = "3x3",
    conv_bias: Literal["none", "stem", "all"] = "none",
    init: Init = "kaiming_normal_fan_in",
    classifier_bias: ClassifierBias = "uniform",
) -> nn.Sequential:
    """DenseNet-BC (Huang et al. 2017); without bottleneck and compression the basic DenseNet.

    Args:
        spec: images of at least 4 pixels; 8 with four blocks, 29 with the 7×7 stem besides.
        activation: before every convolution but the stem.
        depth: layers with weights: 6n + 4 with bottleneck, 3n + 4 without; None: 100, or as `layers` gives it.
        growth: the growth rate k, the number of channels that every layer adds.
        bottleneck: width of the 1×1 convolutions as a multiple of `growth`; None leaves them out.
        compression: fraction of the channels that a transition preserves; 1 preserves all.
        layers: layers of each dense block, in place of `depth`.
        order: which comes first when a layer concatenates.
        stem: one 3×3 convolution, or for large images conv 7×7 ↓2, norm, act, max pool 3×3 ↓2.
        conv_bias: which convolutions have a bias.
        init: how the weights are initialized, see `layers.initialize`.
        classifier_bias: how the bias of the last linear layer starts: "uniform" as PyTorch draws it, or "zero".

    Raises:
        SpecError: no network has that depth, compression or layers is out of range, or depth and layers are both set.
    """
    if not 0 < compression <= 1:
        raise SpecError("compression of densenet", expected="0 < θ ≤ 1", received=compression, hint="use 0.5 or 1")
    if layers is None:
        layers = (repeats("densenet", depth or 100, step=3 if bottleneck is None else 6, offset=4),) * 3
    elif depth is not None:
        raise SpecError("densenet has both depth and layers", hint="give one, over a preset's also layers=None")
    elif not layers or min(layers) < 1:
        raise SpecError("layers of densenet", expected="1 or more for each block", received=layers, hint="use (6, 6)")

    stem_bias, bias = conv_bias != "none", conv_bias == "all"
    channels = 16 if bottleneck is None and compression == 1 else 2 * growth
    first: list[nn.Module] = [nn.Conv2d(spec.channels, channels, 3, padding=1, bias=stem_bias)]
    if stem == "7x7":
        first = [*conv_norm(spec.channels, channels, 7, 2, bias=stem_bias), activation(), nn.MaxPool2d(3, 2, padding=1)]
    blocks: list[nn.Module] = []
    for block, count in enumerate(layers):
        if block > 0:
            reduced = max(1, int(compression * channels))
            blocks.append(nn.Sequential(*_norm_act_conv(channels, reduced, 1, activation, bias), nn.AvgPool2d(2)))
            channels = reduced
        widths = range(channels, channels + count * growth, growth)
        blocks.append(nn.Sequential(*(DenseLayer(c, growth, bottleneck, activation, order, bias) for c in widths)))
        channels += count * growth
    head = [nn.BatchNorm2d(channels), activation(), *classifier(channels, spec.classes)]
    network = assemble(first, blocks, head)
    initialize(network, init, activation, classifier_bias=classifier_bias)
    return network


_CIFAR10 = ImageSpec(3, 32, 32, 10)
_BASIC = "bottleneck=None, compression=1"
_BC = "bottleneck=4, compression=0.5"
_TABLE_2 = {
    "densenet40": f"depth=40, growth=12, {_BASIC}",
    "densenet100": f"depth=100, growth=12, {_BASIC}",
    "densenet100_k24": f"depth=100, growth=24, {_BASIC}",
    "densenet_bc100": f"depth=100, growth=12, {_BC}",
    "densenet_bc250": f"depth=250, growth=24, {_BC}",
    "densenet_bc190": f"depth=190, growth=40, {_BC}",
}

PRESETS = {
    "densenet@uva": Preset(
        model="densenet(layers=(6, 6, 6, 6), growth=16, bottleneck=2, order='new_first', conv_bias='stem')",
        image=_CIFAR10,
        source="UvA Deep Learning tutorial 5",
        note="Four blocks at 32 pixels, narrow bottlenecks, new channels in front of the old.",
    ),
    "densenet@d2l": Preset(
        model="densenet(layers=(4, 4, 4, 4), growth=32, bottleneck=None, stem='7x7', conv_bias='all', "
        "init='xavier_uniform')",
        image=ImageSpec(1, 96, 96, 10),
        source="d2l.ai, chapter 'Densely Connected Networks (DenseNet)'",
        note="No bottlenecks, but compression; every convolution has a bias.",
    ),
    **{
        f"{name}@huang2017": Preset(
            model=f"densenet({options}, init='kaiming_normal_fan_out', classifier_bias='zero')",
            image=_CIFAR10,
            source="Huang et al. 2017, arXiv 1608.06993, table 2",
        )
        for name, options in _TABLE_2.items()
    },
}
