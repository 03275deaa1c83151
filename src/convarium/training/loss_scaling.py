"""Training in float16, whose smallest numbers are too large for many gradients: the loss is multiplied before the
backward pass, and the gradients are divided again in the update (Micikevicius et al. 2018, "Mixed precision training").

PyTorch's `GradScaler` finds the factor: 65,536 at first, halved where a gradient is not finite, doubled after 2,000
steps in which all were. A step with a gradient that is not finite changes no weight; such steps are counted.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from convarium.recipes.recipe import Recipe


class LossScaler:
    """Scales the losses from which one optimizer's gradients come. It never waits for the device.

    Args:
        optimizer: in PyTorch's fused form, before its first step.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        parameters: list[Tensor] = [p for group in optimizer.param_groups for p in group["params"]]
        device = parameters[0].device
        self.optimizer = optimizer
        self.scaler = torch.amp.GradScaler(device.type)
        self.one = torch.ones((), device=device)
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        """The number of steps that changed no weight."""
        if any(group.get("momentum") for group in optimizer.param_groups):
            # Otherwise PyTorch 2.13 leaves the buffers as they are allocated if it skips the first step.
            for parameter in parameters:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    def scale(self, loss: Tensor) -> Tensor:
        """The loss times the factor, for the backward pass."""
        return self.scaler.scale(loss)

    def step(self) -> None:
        """The optimizer's step with the gradients divided by the factor, unless one of them is not finite."""
        before = self.scale(self.one)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.skipped += self.scale(self.one) < before

    def state(self) -> dict[str, Tensor]:
        """What `set_state` takes, on the CPU: the factor, the steps since it last changed, and `skipped`."""
        values = self.scaler.state_dict()
        return {
            "scale": torch.tensor(values["scale"], dtype=torch.float32),
            "unchanged": torch.tensor(values["_growth_tracker"]),
            "skipped": self.skipped.cpu(),
        }

    def set_state(self, state: dict[str, Tensor]) -> None:
        """Sets what `state` returned."""
        values = {"scale": float(state["scale"]), "_growth_tracker": int(state["unchanged"])}
        self.scaler.load_state_dict(self.scaler.state_dict() | values)
        self.skipped.copy_(state["skipped"])


def loss_scalers(recipe: Recipe, optimizers: Iterable[torch.optim.Optimizer]) -> list[LossScaler]:
    """A scaler for each optimizer where the recipe computes in float16; else none."""
    return [LossScaler(optimizer) for optimizer in optimizers] if recipe.precision == "float16" else []
