"""The two networks of "新的网络结构超越残差网络:记忆网络与残差网络的对比实践" (2024): no convolution, one activation.

    memory_mlp      pixels ─ ·(W + M) ─ act ─ linear ─ ×2 ─ classes
    residual_mlp    pixels ─ linear ─┬─ linear ─ + ─ act ─ linear ─ classes
                                     └───────────┘

As a function, W + M is one matrix. M changes the training: both get the same gradient, so their sum moves twice as far
at the same learning rate, and the doubled output doubles their gradient.
"""

import torch
from torch import Tensor, nn

from convarium.models.zoo.layers import SIGMOID, Activation
from convarium.records import ImageSpec, Preset

_SOURCE = "新的网络结构超越残差网络:记忆网络与残差网络的对比实践 (2024-07-29)"


class MemoryBlock(nn.Module):
    """x·(W + M), where the 'memory' M has the shape of W and both are Xavier-uniform; no bias.

    Attributes:
        merged: whether `weight` holds W + M and `memory` W − M, see `merge`.
    """

    def __init__(self, c_in: int, c_out: int, *, memory: bool = True):
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(c_in, c_out)))
        self.memory = nn.Parameter(nn.init.xavier_uniform_(torch.empty(c_in, c_out))) if memory else None
        self.merged = False

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in) → (n, c_out)"""
        y: Tensor = x @ self.matrix
        return y

    @property
    def matrix(self) -> Tensor:
        """What images are multiplied by, (c_in, c_out)."""
        return self.weight if self.memory is None or self.merged else self.weight + self.memory

    def merge(self) -> None:
        """Holds W + M as one matrix, for training without weight decay: W and M get equal gradients, so their
        difference stays as it is and their sum moves like either, at twice the learning rate. That saves adding them in
        every step and half of the optimizer's work.
        """
        assert self.memory is not None
        self._turn(self.weight + self.memory, self.weight - self.memory)
        self.merged = True

    def split(self) -> None:
        """Undoes `merge`."""
        assert self.memory is not None
        self._turn((self.weight + self.memory) / 2, (self.weight - self.memory) / 2)
        self.merged = False

    def fold(self) -> None:
        """Holds W + M as its only matrix, for a network that is not trained any more."""
        if self.memory is not None:
            self.weight = nn.Parameter(self.matrix.detach())
            self.memory, self.merged = None, False

    @torch.no_grad()
    def _turn(self, weight: Tensor, memory: Tensor) -> None:
        assert self.memory is not None
        self.weight.copy_(weight)
        self.memory.copy_(memory)


class ResidualLinear(nn.Module):
    """x·A + b + x"""

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width) → (n, width)"""
        y: Tensor = self.linear(x) + x
        return y


class Doubled(nn.Module):
    """x + x"""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return x + x


def memory_mlp(
    spec: ImageSpec,
    activation: Activation = SIGMOID,
    *,
    hidden: int | None = None,
    memory: bool = True,
    doubled: bool = True,
) -> nn.Sequential:
    """The memory network of the memory-blog (2024): x·(W + M), sigmoid, linear, doubled.

    The weights are initialized as in the source, for every activation.

    Args:
        spec: images of any size.
        activation: after the memory block.
        hidden: width of the hidden layer; None: one unit per pixel and channel, as in the source. The block then has
            2·(c·h·w)² parameters: set a number for large images.
        memory: False leaves M out.
        doubled: False leaves the doubling out.
    """
    pixels = spec.channels * spec.height * spec.width
    width = pixels if hidden is None else hidden
    output = [Doubled()] if doubled else []
    return nn.Sequential(
        nn.Flatten(), MemoryBlock(pixels, width, memory=memory), activation(), nn.Linear(width, spec.classes), *output
    )


def residual_mlp(
    spec: ImageSpec,
    activation: Activation = SIGMOID,
    *,
    hidden: int | None = None,
    residual: bool = True,
) -> nn.Sequential:
    """The residual network of the memory-blog (2024): linear, linear plus its input, sigmoid, linear.

    The weights have PyTorch's default initialization, as there, for every activation.

    Args:
        spec: images of any size.
        activation: after the sum; there is no activation between the two linear layers.
        hidden: width of the hidden layers; None: one unit per pixel and channel, as in the source.
        residual: False leaves the shortcut out.
    """
    pixels = spec.channels * spec.height * spec.width
    width = pixels if hidden is None else hidden
    second = ResidualLinear(width) if residual else nn.Linear(width, width)
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, width), second, activation(), nn.Linear(width, spec.classes))


PRESETS = {
    "memory_mlp@memory-blog": Preset(
        model="memory_mlp(activation='sigmoid', hidden=None, memory=True, doubled=True)",
        image=ImageSpec(1, 28, 28, 10),
        source=_SOURCE,
        note="The doubled output is the source's; W + M is one matrix to the function, two to the optimizer.",
    ),
    "residual_mlp@memory-blog": Preset(
        model="residual_mlp(activation='sigmoid', hidden=None, residual=True)",
        image=ImageSpec(1, 28, 28, 10),
        source=_SOURCE,
        note="No activation stands between the first two linear layers: together they are one affine map.",
    ),
}
