"""The residual units that K. He, X. Zhang, S. Ren, J. Sun, "Identity mappings in deep residual networks", 2016, arXiv
1603.05027, compare: where norm and activation stand (figure 4, table 2), what the shortcut does (figure 2, table 1).

    image ─ conv 3×3, 16 ─ norm ─ act ─ n units of 16 ─ n of 32, ↓2 ─ n of 64, ↓2 ─ end ─ mean ─ classes    depth 6n + 2

    placement               F(x)                                  after the sum    end          error, %
    original                conv, norm, act, conv, norm           act              -            6.61
    norm_after_addition     conv, norm, act, conv                 norm, act        -            8.17
    act_before_addition     conv, norm, act, conv, norm, act      -                -            7.84
    act_only_preactivation  act, conv, norm, act, conv, norm      -                act          6.71
    full_preactivation      norm, act, conv, norm, act, conv      -                norm, act    6.37

    shortcut                sum; gate g(x) = σ(conv 1×1(x) + b)                    error, %
    identity                x + F(x)                                               6.61
    half                    0.5·x + F(x)                                           fails
    half_both               0.5·x + 0.5·F(x)                                       12.35
    exclusive_gating        (1 − g(x))·x + g(x)·F(x)                               8.70 at b = −6, fails at b = 0
    shortcut_gating         (1 − g(x))·x + F(x)                                    6.91 at b = −6, 12.86 at b = 0
    conv                    norm(conv 1×1(x)) + F(x)                               12.22
    dropout                 dropout(x) + F(x), rate 0.5                            fails

The errors are the paper's on CIFAR-10 at depth 110, the shortcuts' in the original placement. Where the shape changes,
x in the sum is every second pixel of x and channels of zeros (option A). As in the appendix, the first unit of both
pre-activations leaves out what F would begin with, since the stem ends with it.
"""

from typing import Literal, cast

import torch
from torch import Tensor, nn

from convarium.models.zoo.layers import (
    RELU,
    Activation,
    ClassifierBias,
    Init,
    PaddedIdentity,
    assemble,
    classifier,
    conv_norm,
    initialize,
    repeats,
    stages,
)
from convarium.records import ImageSpec

Placement = Literal[
    "original", "norm_after_addition", "act_before_addition", "act_only_preactivation", "full_preactivation"
]
Shortcut = Literal["identity", "half", "half_both", "exclusive_gating", "shortcut_gating", "conv", "dropout"]

_ORDER: dict[Placement, tuple[str, str, str]] = {  # F(x), after the sum, end; c: conv, n: norm, a: act
    "original": ("cnacn", "a", ""),
    "norm_after_addition": ("cnac", "na", ""),
    "act_before_addition": ("cnacna", "", ""),
    "act_only_preactivation": ("acnacn", "", "a"),
    "full_preactivation": ("nacnac", "", "na"),
}


class Sum(nn.Module):
    """x, f → a·h(x) + b·f"""

    def __init__(self, h: nn.Module, a: float = 1.0, b: float = 1.0):
        super().__init__()
        self.h, self.a, self.b = h, a, b

    def forward(self, x: Tensor, f: Tensor) -> Tensor:
        return torch.add(self.h(x) if self.a == 1 else self.a * self.h(x), f, alpha=self.b)


class GatedSum(nn.Module):
    """x, f → (1 − g)·h(x) + g·f, or (1 − g)·h(x) + f if not exclusive; g = σ(conv 1×1(x) + bias)"""

    def __init__(self, h: nn.Module, gate: nn.Conv2d, bias: float, *, exclusive: bool):
        super().__init__()
        self.h, self.gate, self.exclusive = h, gate, exclusive
        nn.init.constant_(cast("Tensor", gate.bias), bias)

    def forward(self, x: Tensor, f: Tensor) -> Tensor:
        g = torch.sigmoid(self.gate(x))
        return torch.add((1 - g) * self.h(x), g * f if self.exclusive else f)


class ResidualUnit(nn.Module):
    """after(sum(x, F(x)))"""

    def __init__(self, residual: nn.Sequential, add: nn.Module, after: nn.Module):
        super().__init__()
        self.residual, self.add, self.after = residual, add, after

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) → (n, c_out, h / stride, w / stride), rounded up."""
        return cast("Tensor", self.after(self.add(x, self.residual(x))))


def _sequence(order: str, c_in: int, c_out: int, stride: int, activation: Activation) -> nn.Sequential:
    modules: list[nn.Module] = []
    for letter in order:
        if letter == "c":
            modules.append(nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False))
            c_in, stride = c_out, 1
        elif letter == "n":
            modules.append(nn.BatchNorm2d(c_in))
        else:  # the sum reads x too, so that the first ReLU must never overwrite it
            modules.append(nn.ReLU() if activation is RELU and not modules else activation())
    return nn.Sequential(*modules)


def _sum(shortcut: Shortcut, gate_bias: float, c_in: int, c_out: int, stride: int) -> nn.Module:
    h = nn.Identity() if (c_in, stride) == (c_out, 1) else PaddedIdentity(c_in, c_out, stride)
    if shortcut in ("exclusive_gating", "shortcut_gating"):
        return GatedSum(h, nn.Conv2d(c_in, c_out, 1, stride), gate_bias, exclusive=shortcut == "exclusive_gating")
    if shortcut == "conv":
        return Sum(conv_norm(c_in, c_out, kernel=1, stride=stride))
    if shortcut == "dropout":
        return Sum(nn.Sequential(h, nn.Dropout(0.5)))
    return Sum(h, a=1.0 if shortcut == "identity" else 0.5, b=0.5 if shortcut == "half_both" else 1.0)


def residual_variant(
    spec: ImageSpec,
    activation: Activation = RELU,
    *,
    depth: int = 20,
    placement: Placement = "original",
    shortcut: Shortcut = "identity",
    gate_bias: float = -6.0,
    init: Init = "kaiming_normal_fan_out",
    classifier_bias: ClassifierBias = "uniform",
) -> nn.Sequential:
    """ResNet with one kind of residual unit from He et al. 2016: placements and shortcuts.

    Args:
        spec, activation: images of any size, and the 'act' of the tables above.
        depth: layers with weights, 6n + 2 (else a SpecError); 110 in the paper.
        placement, shortcut: order of convolution, norm and activation, and how x and F(x) are added, see above.
        gate_bias: b, the initial bias of the gates (only the gated shortcuts have one); the paper tries 0 to −10.
        init: how the weights are initialized, see `layers.initialize`.
        classifier_bias: how the bias of the last linear layer starts: "uniform" as PyTorch draws it, or "zero".
    """
    n = repeats("residual_variant", depth, step=6, offset=2)
    order, after, end = _ORDER[placement]
    units = []
    for i, (c_in, c_out, stride) in enumerate(stages((16, 32, 64), (n, n, n), c_in=16)):
        f = _sequence(order.removeprefix(end) if i == 0 else order, c_in, c_out, stride, activation)
        add = _sum(shortcut, gate_bias, c_in, c_out, stride)
        units.append(ResidualUnit(f, add, _sequence(after, c_out, c_out, 1, activation)))
    head = [*_sequence(end, 64, 64, 1, activation), *classifier(64, spec.classes)]
    network = assemble([*conv_norm(spec.channels, 16), activation()], units, head)
    initialize(network, init, activation, classifier_bias=classifier_bias)
    return network
