"""Pre-activation residual networks: K. He, X. Zhang, S. Ren, J. Sun, "Identity mappings in deep residual networks",
2016, arXiv 1603.05027.

    image ─ conv 3×3, 16 ─ norm ─ act ─ n blocks of 16 ─ n of 32, ↓2 ─ n of 64, ↓2 ─ norm ─ act ─ mean ─ classes

    basic, 6n + 2:       x ─┬─ norm ─ act ─ conv 3×3 (↓2) ─ norm ─ act ─ conv 3×3 ─ + ─
                            └───────────────────────────────────────────────────────┘
    bottleneck, 9n + 2:  x ─┬─ norm ─ act ─ conv 1×1 (↓2) ─ norm ─ act ─ conv 3×3 ─ norm ─ act ─ conv 1×1 ─ + ─
                            └───────────────────────────────────────────────────────────────────────────────┘

Bottlenecks have 64, 128 and 256 output channels. Both ends follow the appendix: the first block's norm and act come
before its shortcut branches off, and a norm and act follow the last addition. Weights are initialized by fan-out, as in
the authors' code, where the bias of the classifier starts at zero; so it does in the @he2016 presets.
"""

from typing import Literal

from torch import Tensor, nn

from convarium.models.zoo.layers import (
    RELU,
    Activation,
    ClassifierBias,
    Init,
    PaddedIdentity,
    assemble,
    classifier,
    initialize,
    repeats,
    stages,
)
from convarium.records import ImageSpec, Preset

Shortcut = Literal["A", "B", "uva"]


class PreActBlock(nn.Module):
    """shortcut(x) + F(x): nothing follows the addition.

    basic:       F = norm, act, conv 3×3, norm, act, conv 3×3
    bottleneck:  F = norm, act, conv 1×1, norm, act, conv 3×3, norm, act, conv 1×1; a quarter as wide inside
    """

    def __init__(self, residual: nn.Module, shortcut: nn.Module):
        super().__init__()
        self.residual, self.shortcut = residual, shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) → (n, c_out, h / stride, w / stride), rounded up."""
        y: Tensor = self.shortcut(x) + self.residual(x)
        return y


def _block(
    c_in: int, c_out: int, stride: int, activation: Activation, shortcut: Shortcut, bottleneck: bool, activated: bool
) -> nn.Module:
    """A block; with `activated`, x already has the norm and act that F would start with."""

    def conv(c_from: int, c_to: int, kernel: int, stride: int = 1) -> nn.Conv2d:
        return nn.Conv2d(c_from, c_to, kernel, stride, padding=kernel // 2, bias=False)

    def norm_act(channels: int) -> list[nn.Module]:
        return [nn.BatchNorm2d(channels), activation()]

    before = [] if activated else norm_act(c_in)
    if bottleneck:
        inner = c_out // 4
        middle = [*norm_act(inner), conv(inner, inner, 3), *norm_act(inner)]
        after = [conv(c_in, inner, 1, stride), *middle, conv(inner, c_out, 1)]
    else:
        after = [conv(c_in, c_out, 3, stride), *norm_act(c_out), conv(c_out, c_out, 3)]
    if (c_in, stride) == (c_out, 1):
        return PreActBlock(nn.Sequential(*before, *after), nn.Identity())
    if shortcut == "A":
        return PreActBlock(nn.Sequential(*before, *after), PaddedIdentity(c_in, c_out, stride))
    if shortcut == "B":
        return nn.Sequential(*before, PreActBlock(nn.Sequential(*after), conv(c_in, c_out, 1, stride)))
    own = nn.Sequential(*norm_act(c_in), conv(c_in, c_out, 1, stride))
    return PreActBlock(nn.Sequential(*before, *after), own)


def preact_resnet(
    spec: ImageSpec,
    activation: Activation = RELU,
    *,
    depth: int = 20,
    bottleneck: bool = False,
    shortcut: Shortcut = "B",
    activated_ends: bool = True,
    init: Init = "kaiming_normal_fan_out",
    classifier_bias: ClassifierBias = "uniform",
) -> nn.Sequential:
    """Pre-activation ResNet for CIFAR-10 (He et al. 2016).

    @uva differs from the paper, and its published numbers include the difference: no norm and act after the stem and
    after the last block (`activated_ends=False`), and a separate norm and act in the shortcut (`shortcut="uva"`).

    Args:
        spec: images of any size.
        activation: before every convolution but the stem.
        depth: layers with weights: 6n + 2, or 9n + 2 with bottlenecks.
        bottleneck: three convolutions per block instead of two.
        shortcut: where the shape changes: "A", every second pixel of x and channels of zeros; "B", conv 1×1 of the
            act(norm(x)) that the residual branch reads too; "uva", conv 1×1 of a separate act(norm(x)).
        activated_ends: norm and act after the stem and after the last block.
        init: how the weights are initialized, see `layers.initialize`.
        classifier_bias: how the bias of the last linear layer starts: "uniform" as PyTorch draws it, or "zero".

    Raises:
        SpecError: no network has that depth.
    """
    n = repeats("preact_resnet", depth, step=9 if bottleneck else 6, offset=2)
    widths = (64, 128, 256) if bottleneck else (16, 32, 64)
    blocks = [
        _block(*shape, activation, shortcut, bottleneck, activated=activated_ends and i == 0)
        for i, shape in enumerate(stages(widths, (n, n, n), c_in=16))
    ]
    stem: list[nn.Module] = [nn.Conv2d(spec.channels, 16, 3, padding=1, bias=False)]
    head = classifier(widths[-1], spec.classes)
    if activated_ends:
        stem += [nn.BatchNorm2d(16), activation()]
        head = [nn.BatchNorm2d(widths[-1]), activation(), *head]
    network = assemble(stem, blocks, head)
    initialize(network, init, activation, classifier_bias=classifier_bias)
    return network


_CIFAR10 = ImageSpec(3, 32, 32, 10)
_TABLE_3 = {
    "preact_resnet110": "depth=110, shortcut='A'",
    "preact_resnet164": "depth=164, bottleneck=True",
    "preact_resnet1001": "depth=1001, bottleneck=True",
}

PRESETS = {
    "preact_resnet@uva": Preset(
        model="preact_resnet(depth=20, shortcut='uva', activated_ends=False)",
        image=_CIFAR10,
        source="UvA Deep Learning tutorial 5",
        note="No norm and act after the last block; where the image is halved the shortcut has its own.",
    ),
    **{
        f"{name}@he2016": Preset(
            model=f"preact_resnet({options}, classifier_bias='zero')",
            image=_CIFAR10,
            source="He et al. 2016, arXiv 1603.05027, table 3",
        )
        for name, options in _TABLE_3.items()
    },
}
