"""What the first layer responds to, and what the layers make of one image."""

import math

import torch
from torch import Tensor, nn

from convarium.diagnostics.results import FeatureMaps, Filters
from convarium.diagnostics.samples import forward_once
from convarium.diagnostics.units import activations_of
from convarium.records import ImageSpec

_MOST_PIXELS = 4096
"""Largest number of pixels for which the weights of a linear first layer are read off with one image per pixel."""


def first_filters(network: nn.Module, image: ImageSpec, *, most: int = 32) -> Filters | None:
    """The filters of the first layer that has weights.

    If several convolutions read the image, the one with the largest kernel counts: the 1×1 kernels of a shortcut show
    nothing.

    Args:
        network: runs in evaluation mode and is left unchanged.
        image: size and channels of the images that it takes.
        most: number of filters that are returned at most, the first ones.

    Returns:
        None if that layer is neither a convolution nor linear in the pixels, or if a linear layer has too many inputs.
    """
    calls: list[tuple[str, nn.Module, Tensor]] = []
    device = next(network.parameters()).device
    layers = [(n, m) for n, m in network.named_modules() if any(p.ndim > 1 for p in m.parameters(recurse=False))]
    hooks = [m.register_forward_pre_hook(lambda m, x, name=name: calls.append((name, m, x[0]))) for name, m in layers]
    sample = torch.zeros(1, image.channels, image.height, image.width, device=device)
    forward_once(network, sample, hooks)
    if not calls:
        return None
    reading = [call for call in calls if isinstance(call[1], nn.Conv2d) and call[2].data_ptr() == sample.data_ptr()]
    name, layer, inputs = max(reading, key=_kernel_size, default=calls[0])
    if isinstance(layer, nn.Conv2d):
        weights = layer.weight.detach()
    else:
        pixels = image.channels * image.height * image.width
        if inputs.shape != (1, pixels) or pixels > _MOST_PIXELS:
            return None
        with torch.no_grad():  # What each pixel adds to each unit: the weights, however the layer stores them.
            responses = layer(torch.eye(pixels, device=device)) - layer(torch.zeros(1, pixels, device=device))
        weights = responses.T.reshape(-1, image.channels, image.height, image.width)
    return Filters(name, weights[:most].cpu().numpy(), len(weights))


def _kernel_size(call: tuple[str, nn.Module, Tensor]) -> int:
    return math.prod(call[1].kernel_size) if isinstance(call[1], nn.Conv2d) else 0


def feature_maps(network: nn.Module, image: Tensor, *, layers: int = 5, most: int = 16) -> tuple[FeatureMaps, ...]:
    """The output of some activations for one image, at equal distances in depth from the first to the last.

    A network without an activation of a known kind shows its convolutions. Layers whose output has no rows and columns
    are left out, so that a network without convolutions has no maps.

    Args:
        network: runs in evaluation mode and is left unchanged.
        image: (1, c, h, w), normalized.
        layers: number of layers that are returned at most.
        most: number of channels of each layer that are returned at most, the first ones.
    """
    outputs: list[FeatureMaps] = []

    def record(name: str, output: Tensor) -> None:
        if output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            outputs.append(FeatureMaps(name, output[0, :most].float().cpu().numpy().copy(), output.shape[1]))

    watched = activations_of(network) or {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    hooks = [m.register_forward_hook(lambda _m, _x, y, name=name: record(name, y)) for name, m in watched.items()]
    forward_once(network, image, hooks)
    if len(outputs) <= layers:
        return tuple(outputs)
    return tuple(outputs[round(i * (len(outputs) - 1) / (layers - 1))] for i in range(layers))
