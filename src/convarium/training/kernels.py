"""A network whose training steps on a CPU run in Convarium's own kernels, while its layers stay PyTorch's."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from convarium import native
from convarium.recipe import Recipe


@contextmanager
def own_kernels(network: nn.Module, recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Within it `network`, in training, computes convolutions and norms as `convarium.native` does where it can.

    Only `forward` is exchanged: modules, parameters and hooks are what they were. Convolutions in bfloat16 are left to
    the processor's own instructions; a float64 network, or images laid out otherwise, to PyTorch.
    """
    exchanged: list[nn.Module] = []

    def exchange(module: nn.Module, forward: Callable[[Tensor], Tensor]) -> None:
        module.forward = forward
        exchanged.append(module)

    if device.type == "cpu":
        for layer, follower in _followed(network):
            if type(layer) is nn.BatchNorm2d and native.normalizes(layer):
                exchange(layer, partial(_norm, layer, follower))
                if follower is not None:
                    exchange(follower, _unchanged)
            elif type(layer) is nn.Conv2d and recipe.precision == "float32" and native.convolves(layer):
                exchange(layer, partial(_convolution, layer))
    try:
        yield
    finally:
        for module in exchanged:
            del module.forward


def _followed(network: nn.Module) -> list[tuple[nn.Module, nn.ReLU | None]]:
    """Every module, once, and the ReLU that takes what it gives and nothing else: the next in a Sequential."""
    uses = Counter(id(module) for module in _all(network))
    followers: dict[int, nn.ReLU] = {}
    for sequence in network.modules():
        if type(sequence) is nn.Sequential:
            for layer, after in pairwise(_flat(sequence)):
                if type(after) is nn.ReLU and uses[id(layer)] == uses[id(after)] == 1:
                    followers[id(layer)] = after
    return [(module, followers.get(id(module))) for module in network.modules()]


def _all(network: nn.Module) -> Iterator[nn.Module]:
    for _, module in network.named_modules(remove_duplicate=False):
        yield module


def _flat(sequence: nn.Sequential) -> list[nn.Module]:
    """What a Sequential calls one after another, inner ones opened."""
    return [m for child in sequence for m in (_flat(child) if type(child) is nn.Sequential else [child])]


def _unchanged(x: Tensor) -> Tensor:
    return x


def _norm(layer: nn.BatchNorm2d, follower: nn.ReLU | None, x: Tensor) -> Tensor:
    many = x.numel() // max(1, x.shape[1])
    if x.dtype in (torch.float32, torch.bfloat16) and many > 1 and many % 4 == 0 and _ready(layer, x):
        return native.normalize(x, layer, relu=follower is not None)
    y = nn.BatchNorm2d.forward(layer, x)
    return y if follower is None else nn.ReLU.forward(follower, y)


def _convolution(layer: nn.Conv2d, x: Tensor) -> Tensor:
    side, padding = layer.kernel_size[0], int(layer.padding[0])
    if x.dtype == torch.float32 and min(x.shape[-2:]) + 2 * padding >= side and _ready(layer, x):
        return native.convolve(x, layer.weight, layer.bias, padding)
    return nn.Conv2d.forward(layer, x)


def _ready(layer: nn.Module, x: Tensor) -> bool:
    """Whether the layer is being trained in float32, on images that lie as (n, h, w, c)."""
    trained = layer.training and layer.weight.dtype == torch.float32
    return bool(trained and x.numel() and x.is_contiguous(memory_format=torch.channels_last))
