"""The loss surface around a solution: H. Li, Z. Xu, G. Taylor, C. Studer, T. Goldstein, "Visualizing the loss landscape
of neural nets", 2018, arXiv 1712.09913.

    L(a, b) = loss(θ + a·δ + b·η),    a, b from −1 to 1

δ and η are random directions. Each of their filters is scaled to the norm of the filter of θ that it moves, so that
networks whose weights differ in scale can be compared.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convarium.diagnostics.results import LossSurface
from convarium.errors import ConvariumError
from convarium.models.modes import evaluating
from convarium.seeding import derive_seed

SIZE = 15
"""Number of points along each side of the grid."""


def loss_surface(
    network: nn.Module, images: Tensor, labels: Tensor, *, size: int = SIZE, reach: float = 1.0, seed: int = 0
) -> LossSurface:
    """The loss on a grid around the network's weights; the network is left unchanged.

    As in the paper, biases and the parameters of normalization layers stay fixed, and normalization uses its running
    statistics. Networks with the same layers get the same random numbers from one seed.

    Args:
        network: a network with its trained weights.
        images: (n, c, h, w), normalized; the network evaluates all of them size² times.
        labels: (n,).
        size: number of points along each side, odd.
        reach: distance from the center to each side, in lengths of the filters.
        seed: seed of the two directions.

    Raises:
        ConvariumError: the size is even, or less than 3.
    """
    check_size(size)
    weights = {name: parameter.detach() for name, parameter in network.named_parameters()}
    first, second = (filter_normalized(weights, seed=derive_seed(seed, "surface", i)) for i in range(2))
    offsets = np.linspace(-reach, reach, size)
    offsets[size // 2] = 0.0
    losses = np.empty((size, size))
    with evaluating(network), torch.inference_mode():
        for i, a in enumerate(offsets):
            for j, b in enumerate(offsets):
                moved = {name: weights[name] + a * first[name] + b * second[name] for name in first}
                logits = torch.func.functional_call(network, moved, (images,))
                losses[i, j] = float(F.cross_entropy(logits.float(), labels))
    return LossSurface(offsets, losses, len(labels))


def check_size(size: int) -> None:
    """Checks that the grid has a point in the middle, where the weights themselves are.

    Raises:
        ConvariumError: the size is even, or less than 3.
    """
    if size < 3 or size % 2 == 0:
        raise ConvariumError(f"size={size} of a loss surface", expected="an odd number from 3", hint=f"use size={SIZE}")


def filter_normalized(weights: Mapping[str, Tensor], *, seed: int) -> dict[str, Tensor]:
    """A random direction whose filters have the norms of the filters of `weights`.

    A filter is a slice along the first dimension: the weights of one output channel, or a row of a linear layer.
    Parameters of fewer than two dimensions (biases, normalization layers) are left out of the direction.

    Args:
        weights: a network's parameters by name.
        seed: seed of the direction.

    Returns:
        One tensor, of the same shape, for each parameter of two dimensions or more.
    """
    generator = torch.Generator().manual_seed(seed)
    direction = {}
    for name, weight in weights.items():
        if weight.ndim > 1:
            drawn = torch.randn(weight.shape, generator=generator).to(weight)
            lengths = [t.flatten(1).norm(dim=1).clamp(min=1e-10) for t in (weight, drawn)]
            direction[name] = drawn * (lengths[0] / lengths[1]).reshape(-1, *[1] * (weight.ndim - 1))
    return direction
