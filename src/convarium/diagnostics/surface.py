"""The loss surface around a solution: H. Li, Z. Xu, G. Taylor, C. Studer, T. Goldstein, "Visualizing the loss landscape
of neural nets", 2018, arXiv 1712.09913.

    L(a, b) = loss(θ + a·δ + b·η),    a, b from −1 to 1

δ and η are random directions, each of whose filters is made as long as the filter of θ that it moves: networks whose
weights differ in scale become comparable.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convarium.errors import ConvariumError
from convarium.models.modes import evaluating
from convarium.seeding import derive_seed

SIZE = 15


@dataclass(frozen=True, eq=False)
class LossSurface:
    """Mean cross-entropy, nats, on a square of the plane through the weights that two directions span.

    Attributes:
        offsets: (size,): a and b, in lengths of the filters; the one in the middle is 0, the weights themselves.
        losses: (size, size): losses[i, j] lies at offsets[i] along the first and offsets[j] along the second direction.
        images: on how many.
    """

    offsets: np.ndarray
    losses: np.ndarray
    images: int

    @property
    def center(self) -> float:
        """The loss of the weights themselves."""
        middle = len(self.offsets) // 2
        return float(self.losses[middle, middle])


def loss_surface(
    network: nn.Module, images: Tensor, labels: Tensor, *, size: int = SIZE, reach: float = 1.0, seed: int = 0
) -> LossSurface:
    """The loss on a grid around the network's weights; the network is left as it was.

    As in the paper, biases and the parameters of norms stay where they are, and norms work with their stored
    statistics. Networks with the same layers get the same random numbers from one seed.

    Args:
        network: with its trained weights.
        images, labels: (n, c, h, w), preprocessed, and (n,); all are looked at size² times.
        size: points a side, odd.
        reach: of the grid on either side, in lengths of the filters.
        seed: of the directions.

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
    """Refuses a grid whose middle is not the solution.

    Raises:
        ConvariumError: the size is even, or less than 3.
    """
    if size < 3 or size % 2 == 0:
        raise ConvariumError(f"size={size} of a loss surface", expected="an odd number from 3", hint=f"use size={SIZE}")


def filter_normalized(weights: Mapping[str, Tensor], *, seed: int) -> dict[str, Tensor]:
    """A random direction, each of whose filters has the norm of the filter of `weights` in the same place.

    A filter is what makes one output channel: the slices along the first dimension, rows of a linear layer included.
    What has less than two dimensions, biases and the parameters of norms, has no part in the direction.
    """
    generator = torch.Generator().manual_seed(seed)
    direction = {}
    for name, weight in weights.items():
        if weight.ndim > 1:
            drawn = torch.randn(weight.shape, generator=generator).to(weight)
            lengths = [t.flatten(1).norm(dim=1).clamp(min=1e-10) for t in (weight, drawn)]
            direction[name] = drawn * (lengths[0] / lengths[1]).reshape(-1, *[1] * (weight.ndim - 1))
    return direction
