"""GoogLeNet: C. Szegedy and others, "Going deeper with convolutions", 2014, arXiv 1409.4842.

               ┌─ conv 1×1 ───────────────────────┐
    inception: ├─ conv 1×1 (reduce) ─ conv 3×3 ───┤
           x ──┤                                  ├─ concatenate
               ├─ conv 1×1 (reduce) ─ conv 5×5 ───┤
               └─ max pool 3×3 ─ conv 1×1 ────────┘

    small:  image ─ conv 3×3, 64 ─ inception ×2 ─ ↓2 ─ ×4 ─ ↓2 ─ ×2 ─ mean ─ classes        UvA tutorial 5, with norms
    paper:  image ─ conv 7×7 ↓2, 64 ─ ↓2 ─ conv 1×1, 64 ─ conv 3×3, 192 ─ ↓2 ─ inception ×2 ─ ↓2 ─ ×5 ─ ↓2 ─ ×2 ─
            mean ─ classes                                                                  as d2l.ai has it

Every convolution is followed by its norm (the paper has none) and an activation. Left out of the paper's network, as in
both sources: local response normalization, the two auxiliary classifiers, dropout 0.4 and rounding up when pooling.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from convarium.models.zoo.layers import RELU, Activation, Init, assemble, classifier, initialize
from convarium.records import ImageSpec, Preset

Unit = Callable[[int, int, int], list[nn.Module]]
Plan = tuple[tuple[int, tuple[int, int], tuple[int, int], int] | None, ...]
"""Channels of the inception blocks: 1×1; reduce, 3×3; reduce, 5×5; pool. None halves the image."""

_SMALL: Plan = (
    (16, (32, 32), (16, 8), 8), (24, (32, 48), (16, 12), 12), None,
    (24, (32, 48), (16, 12), 12), (16, (32, 48), (16, 16), 16), (16, (32, 48), (16, 16), 16),
    (32, (32, 48), (16, 24), 24), None,
    (32, (48, 64), (16, 16), 16), (32, (48, 64), (16, 16), 16),
)  # fmt: skip
_PAPER: Plan = (
    (64, (96, 128), (16, 32), 32), (128, (128, 192), (32, 96), 64), None,
    (192, (96, 208), (16, 48), 64), (160, (112, 224), (24, 64), 64), (128, (128, 256), (24, 64), 64),
    (112, (144, 288), (32, 64), 64), (256, (160, 320), (32, 128), 128), None,
    (256, (160, 320), (32, 128), 128), (384, (192, 384), (48, 128), 128),
)  # fmt: skip


class Inception(nn.Module):
    """concatenate(conv 1×1, conv 3×3 ∘ conv 1×1, conv 5×5 ∘ conv 1×1, conv 1×1 ∘ max pool 3×3)

    Args:
        unit: (c_in, c_out, kernel) → a convolution with what follows it.
    """

    def __init__(self, c_in: int, c_1x1: int, c_3x3: tuple[int, int], c_5x5: tuple[int, int], c_pool: int, unit: Unit):
        super().__init__()
        self.conv_1x1 = nn.Sequential(*unit(c_in, c_1x1, 1))
        self.conv_3x3 = nn.Sequential(*unit(c_in, c_3x3[0], 1), *unit(*c_3x3, 3))
        self.conv_5x5 = nn.Sequential(*unit(c_in, c_5x5[0], 1), *unit(*c_5x5, 5))
        self.max_pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), *unit(c_in, c_pool, 1))
        self.channels = c_1x1 + c_3x3[1] + c_5x5[1] + c_pool

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) → (n, channels, h, w)"""
        return torch.cat([self.conv_1x1(x), self.conv_3x3(x), self.conv_5x5(x), self.max_pool(x)], dim=1)


def googlenet(
    spec: ImageSpec,
    activation: Activation = RELU,
    *,
    plan: Literal["small", "paper"] = "small",
    norm: bool = True,
    conv_bias: bool = False,
    init: Init = "kaiming_normal_fan_in",
) -> nn.Sequential:
    """GoogLeNet (Szegedy et al. 2014): inception blocks, for small images.

    Args:
        spec: images of any size; the paper's plan is for 96 to 224 pixels.
        activation: after every convolution.
        plan: the small or the paper's plan, as drawn above.
        norm: batch norm after every convolution.
        conv_bias: biases before the norms, which cancel them; without norms there are always biases.
        init: how the weights are initialized, see `layers.initialize`.
    """

    def unit(c_in: int, c_out: int, kernel: int, stride: int = 1) -> list[nn.Module]:
        conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=conv_bias or not norm)
        return [conv, nn.BatchNorm2d(c_out), activation()] if norm else [conv, activation()]

    if plan == "small":
        stem, channels, widths = unit(spec.channels, 64, 3), 64, _SMALL
    else:
        stem = [*unit(spec.channels, 64, 7, stride=2), _halve(), *unit(64, 64, 1), *unit(64, 192, 3), _halve()]
        channels, widths = 192, _PAPER
    blocks: list[nn.Module] = []
    for width in widths:
        if width is None:
            blocks.append(_halve())
        else:
            block = Inception(channels, *width, unit)
            blocks.append(block)
            channels = block.channels
    network = assemble(stem, blocks, classifier(channels, spec.classes))
    initialize(network, init, activation)
    return network


def _halve() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, padding=1)


PRESETS = {
    "googlenet@uva": Preset(
        model="googlenet(conv_bias=True)",
        image=ImageSpec(3, 32, 32, 10),
        source="UvA Deep Learning tutorial 5",
        note="Every convolution has a bias that its norm makes idle: 1,312 parameters without effect.",
    ),
    "googlenet@d2l": Preset(
        model="googlenet(plan='paper', norm=False, init='xavier_uniform')",
        image=ImageSpec(1, 96, 96, 10),
        source="d2l.ai, chapter 'Multi-Branch Networks (GoogLeNet)'",
    ),
}
