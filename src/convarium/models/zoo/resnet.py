"""Residual networks for small images: K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition",
2015, arXiv 1512.03385, section 4.2.

    image ─ conv 3×3, 16 ─ norm ─ act ─ n blocks of 16 ─ n of 32, ↓2 ─ n of 64, ↓2 ─ mean ─ classes      depth 6n + 2

    block:  x ─┬─ conv 3×3 (↓2) ─ norm ─ act ─ conv 3×3 ─ norm ─ + ─ act ─
               └────────────────────── shortcut ─────────────────┘

Weights are initialized as in "Delving deep into rectifiers" (arXiv 1502.01852), which derives fan-in and fan-out and
trains with fan-in, as do the @he2015 presets. The default is fan-out, as in the authors' later Torch code and in @uva.
No norm starts at zero: that practice is younger than the paper.
"""

from typing import Literal

from torch import Tensor, nn

from convarium.models.zoo.layers import (
    RELU,
    Activation,
    Init,
    PaddedIdentity,
    assemble,
    classifier,
    conv_norm,
    initialize,
    repeats,
    stages,
)
from convarium.records import ImageSpec, Preset

Shortcut = Literal["A", "B", "conv"]


class ResidualBlock(nn.Module):
    """act(shortcut(x) + F(x)), F = conv 3×3, norm, act, conv 3×3, norm; without a shortcut act(F(x)).

    The shortcut is the identity; where the shape changes it is "A", every second pixel and channels of zeros, or "B",
    conv 1×1, norm, or "conv", conv 1×1 with a bias and without norm.
    """

    def __init__(self, c_in: int, c_out: int, stride: int, activation: Activation, shortcut: Shortcut | None):
        super().__init__()
        self.residual = nn.Sequential(*conv_norm(c_in, c_out, stride=stride), activation(), *conv_norm(c_out, c_out))
        self.shortcut: nn.Module | None
        if shortcut is None:
            self.shortcut = None
        elif (c_in, stride) == (c_out, 1):
            self.shortcut = nn.Identity()
        elif shortcut == "A":
            self.shortcut = PaddedIdentity(c_in, c_out, stride)
        elif shortcut == "B":
            self.shortcut = conv_norm(c_in, c_out, kernel=1, stride=stride)
        else:
            self.shortcut = nn.Conv2d(c_in, c_out, 1, stride)
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) → (n, c_out, h / stride, w / stride), rounded up."""
        f = self.residual(x)
        y: Tensor = self.activation(f if self.shortcut is None else self.shortcut(x) + f)
        return y


def resnet(
    spec: ImageSpec,
    activation: Activation = RELU,
    *,
    depth: int = 20,
    shortcut: Shortcut = "B",
    init: Init = "kaiming_normal_fan_out",
) -> nn.Sequential:
    """ResNet for CIFAR-10 (He et al. 2015), depth 6n + 2.

    Args:
        spec: images of any size.
        activation: between the convolutions and after the additions.
        depth: layers with weights, 6n + 2: 20, 32, 44, 56, 110 and 1202 in the paper.
        shortcut: where the shape changes, see `ResidualBlock`. The paper uses "A" here, which has no parameters.
        init: how the weights are initialized, see `layers.initialize`.

    Raises:
        SpecError: depth is not 6n + 2.
    """
    return _network(spec, activation, repeats("resnet", depth, step=6, offset=2), shortcut, init)


def plain(
    spec: ImageSpec, activation: Activation = RELU, *, depth: int = 20, init: Init = "kaiming_normal_fan_out"
) -> nn.Sequential:
    """ResNet for CIFAR-10 without its shortcuts (He et al. 2015).

    Its weights have the names, shapes and initialization of those in `resnet` at the same depth, and with one seed the
    same values as with option A.

    Raises:
        SpecError: depth is not 6n + 2.
    """
    return _network(spec, activation, repeats("plain", depth, step=6, offset=2), None, init)


def _network(spec: ImageSpec, activation: Activation, n: int, shortcut: Shortcut | None, init: Init) -> nn.Sequential:
    stem = [*conv_norm(spec.channels, 16), activation()]
    blocks = [ResidualBlock(*shape, activation, shortcut) for shape in stages((16, 32, 64), (n, n, n), c_in=16)]
    network = assemble(stem, blocks, classifier(64, spec.classes))
    initialize(network, init, activation)
    return network


_CIFAR10 = ImageSpec(3, 32, 32, 10)
_PAPER = "He et al. 2015, arXiv 1512.03385, section 4.2"

PRESETS = {
    "resnet@uva": Preset(
        model="resnet(depth=20, shortcut='conv')",
        image=_CIFAR10,
        source="UvA Deep Learning tutorial 5",
        note="The shortcut that halves the image is a 1×1 convolution with a bias and without norm.",
    ),
    **{
        f"resnet{depth}@he2015": Preset(
            model=f"resnet(depth={depth}, shortcut='A', init='kaiming_normal_fan_in')", image=_CIFAR10, source=_PAPER
        )
        for depth in (20, 32, 44, 56, 110, 1202)
    },
    **{
        f"plain{depth}@he2015": Preset(
            model=f"plain(depth={depth}, init='kaiming_normal_fan_in')", image=_CIFAR10, source=_PAPER
        )
        for depth in (20, 32, 44, 56, 110)
    },
}
