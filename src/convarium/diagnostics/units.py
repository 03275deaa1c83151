"""Units that pass no gradient on: dead behind a ReLU, saturated behind a sigmoid or tanh."""

import torch
from torch import Tensor, nn

from convarium.diagnostics.results import UnitActivity
from convarium.diagnostics.samples import forward_once
from convarium.models.zoo.layers import ACTIVATIONS, IDENTITY

INACTIVE_SLOPE = 0.01
"""An output is inactive where the slope of the activation is below this share of its steepest slope."""

_NAMES: dict[type[nn.Module], str] = {type(a.module()): a.name for a in ACTIVATIONS.values() if a is not IDENTITY}
_STEEPEST = {"sigmoid": 0.25}
"""The steepest slope of an activation where it is not 1."""
_BOUNDED = ("sigmoid", "tanh")


def unit_activity(network: nn.Module, images: Tensor) -> tuple[UnitActivity, ...]:
    """Counts the units that pass no gradient on, activation by activation in the order of the forward pass.

    An output is inactive where the slope of the activation is below a hundredth of its steepest slope: behind a ReLU
    where the output is 0, behind a sigmoid below 0.0025 or above 0.9975, behind tanh beyond ±0.995; never behind a
    leaky ReLU. Only modules of the kinds in `convarium list activations` are counted, not functions in a `forward`.

    Args:
        network: runs in evaluation mode and is left unchanged.
        images: (n, c, h, w), normalized.
    """
    activity: list[UnitActivity] = []

    def record(name: str, module: nn.Module, before: Tensor) -> None:
        inactive = _slope(module, before) < INACTIVE_SLOPE * _STEEPEST.get(_NAMES[type(module)], 1.0)
        by_unit = inactive.transpose(0, 1).flatten(1)
        activation = _NAMES[type(module)]
        activity.append(
            UnitActivity(
                depth=len(activity) + 1,
                name=name,
                activation=activation,
                units=len(by_unit),
                inactive_units=int(by_unit.all(1).sum()),
                inactive_outputs=float(inactive.cpu().double().mean()),
                kind="saturated" if activation in _BOUNDED else "dead",
            )
        )

    hooks = [
        module.register_forward_pre_hook(lambda m, inputs, name=name: record(name, m, inputs[0]))
        for name, module in activations_of(network).items()
    ]
    forward_once(network, images, hooks)
    return tuple(activity)


def activations_of(network: nn.Module) -> dict[str, nn.Module]:
    """The network's activation modules by name, of the kinds in `convarium list activations`."""
    return {name: module for name, module in network.named_modules() if type(module) in _NAMES}


def _slope(module: nn.Module, before: Tensor) -> Tensor:
    """The absolute slope of the activation at each of its inputs."""
    with torch.enable_grad():
        inputs = before.detach().requires_grad_()
        # A copy, because a ReLU may work in place; `forward`, because calling the module would call the hooks again.
        outputs = module.forward(inputs.clone())
        return torch.autograd.grad(outputs.sum(), inputs)[0].abs()
