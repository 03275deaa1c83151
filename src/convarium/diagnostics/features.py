"""What the first layer looks for, and what the layers make of one image."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convarium.diagnostics.activity import activations_of
from convarium.diagnostics.sample import show
from convarium.records import ImageSpec

MOST_FILTERS, MOST_MAPS, LAYERS = 32, 16, 5
_MOST_PIXELS = 4096
"""Of an image whose flat first layer is shown: it is probed with one image a pixel."""


@dataclass(frozen=True, eq=False)
class Filters:
    """The first layer's filters.

    Attributes:
        layer: its name.
        weights: (shown, c, h, w): of a convolution its kernels, of a flat layer an image of weights a unit.
        of: how many the layer has.
    """

    layer: str
    weights: Tensor
    of: int


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """What one layer makes of one image: (shown, h, w), of the `of` channels that it has."""

    layer: str
    maps: Tensor
    of: int


def first_filters(network: nn.Module, image: ImageSpec, *, most: int = MOST_FILTERS) -> Filters | None:
    """The filters of the first layer with weights, the first `most` of them; where several convolutions read the image,
    those of the largest: a shortcut's 1×1 filters show nothing.

    Returns:
        None where that layer is neither a convolution nor flat and linear in the pixels, and where the images are too
        large for it to be probed.
    """
    found: list[tuple[str, nn.Module, Tensor]] = []
    device = next(network.parameters()).device
    layers = [(n, m) for n, m in network.named_modules() if any(p.ndim > 1 for p in m.parameters(recurse=False))]
    hooks = [m.register_forward_pre_hook(lambda m, x, name=name: found.append((name, m, x[0]))) for name, m in layers]
    sample = torch.zeros(1, image.channels, image.height, image.width, device=device)
    show(network, sample, hooks)
    if not found:
        return None
    reading = [f for f in found if isinstance(f[1], nn.Conv2d) and f[2].data_ptr() == sample.data_ptr()]
    name, layer, taken = max(reading, key=_kernel_size, default=found[0])
    if isinstance(layer, nn.Conv2d):
        weights = layer.weight.detach()
    else:
        pixels = image.channels * image.height * image.width
        if taken.shape != (1, pixels) or pixels > _MOST_PIXELS:
            return None
        with torch.no_grad():  # what each pixel adds to each unit: the weights, however the layer stores them
            probe = layer(torch.eye(pixels, device=device)) - layer(torch.zeros(1, pixels, device=device))
        weights = probe.T.reshape(-1, image.channels, image.height, image.width)
    return Filters(name, weights[:most].cpu(), len(weights))


def _kernel_size(read: tuple[str, nn.Module, Tensor]) -> int:
    return math.prod(read[1].kernel_size) if isinstance(read[1], nn.Conv2d) else 0


def feature_maps(
    network: nn.Module, image: Tensor, *, layers: int = LAYERS, most: int = MOST_MAPS
) -> tuple[FeatureMaps, ...]:
    """The first `most` channels behind activations at even steps of depth, the first and the last included.

    Where a network has no activation of a known kind, its convolutions are shown. Layers that do not keep the image's
    rows and columns have no maps: a network without convolutions has none at all.

    Args:
        network: is looked at in evaluation mode and left as it was.
        image: (1, c, h, w), preprocessed.
        layers: how many are shown.
        most: channels of each.
    """
    seen: list[FeatureMaps] = []

    def look(name: str, after: Tensor) -> None:
        if after.ndim == 4 and after.shape[2] * after.shape[3] > 1:
            seen.append(FeatureMaps(name, after[0, :most].detach().float().cpu().clone(), after.shape[1]))

    watched = activations_of(network) or {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    hooks = [m.register_forward_hook(lambda _m, _x, y, name=name: look(name, y)) for name, m in watched.items()]
    show(network, image, hooks)
    if len(seen) <= layers:
        return tuple(seen)
    return tuple(seen[round(i * (len(seen) - 1) / (layers - 1))] for i in range(layers))
