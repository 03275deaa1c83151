"""Units that learn nothing: dead behind a ReLU, saturated behind a sigmoid or tanh."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from convarium.diagnostics.sample import show
from convarium.models.zoo.layers import ACTIVATIONS, IDENTITY

FLAT = 0.01
"""An output is flat where less than this share of the gradient passes that passes at the activation's steepest."""

_NAMES: dict[type[nn.Module], str] = {type(a.module()): a.name for a in ACTIVATIONS.values() if a is not IDENTITY}
_STEEPEST = {"sigmoid": 0.25}
_BOUNDED = ("sigmoid", "tanh")


@dataclass(frozen=True)
class UnitActivity:
    """What an activation does on a sample of images. A unit is a channel, or a number of a flat layer.

    Attributes:
        depth: counts the activations from the image, from 1.
        name: of the module.
        activation: its kind: relu, sigmoid, …
        units: how many pass through it.
        idle: units that are flat on every image, at every place in it: dead ones, or saturated ones.
        flat: share of all outputs that are flat, of 1.
        kind: what a flat output is called there.
    """

    depth: int
    name: str
    activation: str
    units: int
    idle: int
    flat: float
    kind: Literal["dead", "saturated"]


def unit_activity(network: nn.Module, images: Tensor) -> tuple[UnitActivity, ...]:
    """Which units pass no gradient on, activation by activation in the order in which the images reach them.

    Flat is an output where the activation's slope is less than a hundredth of its steepest: behind a ReLU where it is
    0, behind a sigmoid below 0.0025 or above 0.9975, behind tanh beyond ±0.995; never behind a leaky ReLU. Known are
    the activations of `convarium list activations`, as modules; of others, and of functions, nothing is told.

    Args:
        network: is looked at in evaluation mode and left as it was.
        images: (n, c, h, w), preprocessed.
    """
    found: list[UnitActivity] = []

    def look(name: str, module: nn.Module, before: Tensor) -> None:
        flat = _slope(module, before) < FLAT * _STEEPEST.get(_NAMES[type(module)], 1.0)
        by_unit = flat.transpose(0, 1).flatten(1)
        activation = _NAMES[type(module)]
        found.append(
            UnitActivity(
                depth=len(found) + 1,
                name=name,
                activation=activation,
                units=len(by_unit),
                idle=int(by_unit.all(1).sum()),
                flat=float(flat.double().mean()),
                kind="saturated" if activation in _BOUNDED else "dead",
            )
        )

    hooks = [
        module.register_forward_pre_hook(lambda m, inputs, name=name: look(name, m, inputs[0]))
        for name, module in activations_of(network).items()
    ]
    show(network, images, hooks)
    return tuple(found)


def activations_of(network: nn.Module) -> dict[str, nn.Module]:
    """The network's activation modules of a known kind, by name."""
    return {name: module for name, module in network.named_modules() if type(module) in _NAMES}


def _slope(module: nn.Module, before: Tensor) -> Tensor:
    """The activation's slope at each of its inputs, in absolute value."""
    with torch.enable_grad():
        at = before.detach().requires_grad_()
        after = module.forward(at.clone())  # a copy, since a ReLU works in place; past the hooks, which call this
        return torch.autograd.grad(after.sum(), at)[0].abs()
