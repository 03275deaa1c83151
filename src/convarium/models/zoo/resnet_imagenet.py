"""The ImageNet plans of the residual networks: K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image
recognition", 2015, arXiv 1512.03385, table 1 and figure 5, here with a stem for small images.

    image ─ stem ─ blocks of 64 ─ blocks of 128, ↓2 ─ blocks of 256, ↓2 ─ blocks of 512, ↓2 ─ mean ─ classes
            18:        2                2                  2                   2       basic
            34:        3                4                  6                   3       basic
            50:        3                4                  6                   3       bottleneck, 4 times as wide

    stem:   "3x3": conv 3×3, norm, act        "7x7": conv 7×7 ↓2, norm, act, max pool 3×3 ↓2, the paper's

Shortcuts that change the shape are projections (option B). The 3×3 of a bottleneck has the stride; in the paper the
1×1 before it has it, and reads one pixel in four.
"""

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from convarium.models.zoo.layers import RELU, Activation, Init, assemble, classifier, conv_norm, initialize, stages
from convarium.records import ImageSpec, Preset

Stem = Literal["3x3", "7x7"]
Residual = Callable[[int, int, int, Activation, bool], nn.Sequential]


def basic(c_in: int, c_out: int, stride: int, activation: Activation, bias: bool) -> nn.Sequential:
    """F = conv 3×3, norm, act, conv 3×3, norm"""
    return nn.Sequential(
        *conv_norm(c_in, c_out, stride=stride, bias=bias), activation(), *conv_norm(c_out, c_out, bias=bias)
    )


def bottleneck(c_in: int, c_out: int, stride: int, activation: Activation, bias: bool) -> nn.Sequential:
    """F = conv 1×1, norm, act, conv 3×3, norm, act, conv 1×1, norm, a quarter as wide inside"""
    inner = c_out // 4
    return nn.Sequential(
        *conv_norm(c_in, inner, kernel=1, bias=bias), activation(),
        *conv_norm(inner, inner, stride=stride, bias=bias), activation(),
        *conv_norm(inner, c_out, kernel=1, bias=bias),
    )  # fmt: skip


class ResidualBlock(nn.Module):
    """act(shortcut(x) + F(x))"""

    def __init__(self, residual: nn.Module, shortcut: nn.Module, activation: Activation):
        super().__init__()
        self.residual, self.shortcut, self.activation = residual, shortcut, activation()

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) → (n, c_out, h / stride, w / stride), rounded up."""
        y: Tensor = self.activation(self.shortcut(x) + self.residual(x))
        return y


def resnet18(
    spec: ImageSpec,
    activation: Activation = RELU,
    *,
    stem: Stem = "3x3",
    conv_bias: bool = False,
    shortcut_norm: bool = True,
    init: Init = "kaiming_normal_fan_out",
) -> nn.Sequential:
    """ResNet-18 (He et al. 2015) with a stem for small images.

    Args:
        spec: images of any size.
        activation: between the convolutions and after the additions.
        stem: "3x3" for small images, "7x7" (the paper's, with pooling) leaves a quarter of the rows and columns.
        conv_bias: biases that the norms cancel, as in d2l.ai.
        shortcut_norm: a norm after the projections; without it they have a bias, as in d2l.ai.
        init: how the weights are initialized, see `layers.initialize`.
    """
    return _network(spec, activation, basic, (2, 2, 2, 2), stem, init, conv_bias, shortcut_norm)


def resnet34(
    spec: ImageSpec, activation: Activation = RELU, *, stem: Stem = "3x3", init: Init = "kaiming_normal_fan_out"
) -> nn.Sequential:
    """ResNet-34 (He et al. 2015) with a stem for small images, see `resnet18`."""
    return _network(spec, activation, basic, (3, 4, 6, 3), stem, init)


def resnet50(
    spec: ImageSpec, activation: Activation = RELU, *, stem: Stem = "3x3", init: Init = "kaiming_normal_fan_out"
) -> nn.Sequential:
    """ResNet-50 (He et al. 2015), of bottlenecks, with a stem for small images, see `resnet18`."""
    return _network(spec, activation, bottleneck, (3, 4, 6, 3), stem, init)


def _network(
    spec: ImageSpec,
    activation: Activation,
    residual: Residual,
    counts: tuple[int, ...],
    stem: Stem,
    init: Init,
    conv_bias: bool = False,
    shortcut_norm: bool = True,
) -> nn.Sequential:
    widths = [(256 if residual is bottleneck else 64) * 2**stage for stage in range(4)]
    blocks = []
    for c_in, c_out, stride in stages(widths, counts, c_in=64):
        shortcut: nn.Module = nn.Identity()
        if (c_in, stride) != (c_out, 1):
            projection = conv_norm(c_in, c_out, kernel=1, stride=stride, bias=conv_bias)
            shortcut = projection if shortcut_norm else nn.Conv2d(c_in, c_out, 1, stride)
        blocks.append(ResidualBlock(residual(c_in, c_out, stride, activation, conv_bias), shortcut, activation))
    if stem == "3x3":
        first = [*conv_norm(spec.channels, 64, bias=conv_bias), activation()]
    else:
        first = [*conv_norm(spec.channels, 64, 7, 2, bias=conv_bias), activation(), nn.MaxPool2d(3, 2, padding=1)]
    network = assemble(first, blocks, classifier(widths[-1], spec.classes))
    initialize(network, init, activation)
    return network


PRESETS = {
    "resnet18@d2l": Preset(
        model="resnet18(stem='7x7', conv_bias=True, shortcut_norm=False, init='xavier_uniform')",
        image=ImageSpec(1, 96, 96, 10),
        source="d2l.ai, chapter 'Residual Networks (ResNet)'",
        note="Every convolution has a bias; the projections have no norm.",
    )
}
