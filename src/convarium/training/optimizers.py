"""The recipe's optimizer over a network's parameters, and its steps."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from convarium.models.zoo.mlp import MemoryBlock
from convarium.recipes.recipe import Recipe

_RATES = "rates"
"""A parameter group's own key: its learning rate in units of the recipe's."""


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over the network's parameters, in PyTorch's fused form: one kernel for all of them.

    Memory blocks that are merged now are to be so in every step, and their matrices move twice as far.
    """
    sums = [block.weight for block in memory_blocks(network) if block.merged]
    others = [parameter for parameter in network.parameters() if all(parameter is not whole for whole in sums)]
    optimizer = optimizer_over(others, recipe)
    if sums:
        optimizer.add_param_group({"params": sums, "weight_decay": 0.0, _RATES: 2.0})
    return optimizer


def memory_blocks(network: nn.Module) -> list[MemoryBlock]:
    """Those of the network that have a memory."""
    return [m for m in network.modules() if isinstance(m, MemoryBlock) and m.memory is not None]


def optimizer_over(parameters: Sequence[Tensor], recipe: Recipe, *, stacked: bool = False) -> torch.optim.Optimizer:
    """`make_optimizer` over these; `stacked` where they have a dimension more, the members of a stack."""
    if recipe.decay_norms_and_biases:
        groups = [{"params": parameters, "weight_decay": recipe.weight_decay}]
    else:
        # Norm weights and biases of every kind have one dimension; whatever multiplies activations has two or more.
        decayed = [p for p in parameters if p.ndim - stacked > 1]
        spared = [p for p in parameters if p.ndim - stacked <= 1]
        groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": spared, "weight_decay": 0.0}]
    rate = recipe.learning_rate
    match recipe.optimizer:
        case "sgd":
            return torch.optim.SGD(groups, rate, recipe.momentum, nesterov=recipe.nesterov, fused=True)
        case "adam":
            return torch.optim.Adam(groups, rate, fused=True)
        case "adamw":
            return torch.optim.AdamW(groups, rate, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets one rate for all parameters, but two for merged ones; in place where a captured step reads it from there."""
    for group in optimizer.param_groups:
        own = rate * group.get(_RATES, 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(own)
        else:
            group["lr"] = own


def make_update(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """A step of one of our optimizers along its parameters' gradients, which are dropped.

    On a CPU its kernels are called as the optimizer itself calls them, once it has set up its state: what it does
    around them takes longer than a small network's kernels.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    alike = {(parameter.device.type, parameter.dtype) for parameter in parameters}
    direct = len(alike) == 1 and next(iter(alike))[0] == "cpu"

    def update() -> None:
        kernels = _kernels(optimizer) if direct else None
        if kernels is None:
            optimizer.step()
        else:
            with torch.no_grad():
                for kernel in kernels:
                    kernel()
        for parameter in parameters:
            parameter.grad = None

    return update


def _kernels(optimizer: torch.optim.Optimizer) -> list[Callable[[], None]] | None:
    """The calls, group by group; None where a parameter that has a gradient has no state yet."""
    kernels: list[Callable[[], None]] = []
    for group in optimizer.param_groups:
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        gradients = [parameter.grad for parameter in parameters]
        stateless = not group.get("momentum", True)
        states = [] if stateless else [optimizer.state[p] for p in parameters if p in optimizer.state]
        if not stateless and len(states) < len(parameters):
            return None
        if parameters:
            kernel = _sgd if "momentum" in group else _adam
            kernels.append(partial(kernel, group, parameters, gradients, states))
    return kernels


def _sgd(
    group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor], states: list[dict[str, Any]]
) -> None:
    torch._fused_sgd_(
        parameters,
        gradients,
        [state["momentum_buffer"] for state in states],
        weight_decay=group["weight_decay"],
        momentum=group["momentum"],
        lr=group["lr"],
        dampening=group["dampening"],
        nesterov=group["nesterov"],
        maximize=group["maximize"],
        is_first_step=False,
    )


def _adam(
    group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor], states: list[dict[str, Any]]
) -> None:
    means, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
    beta1, beta2 = group["betas"]
    torch._foreach_add_(steps, 1)
    compute = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
    compute(
        parameters,
        gradients,
        means,
        squares,
        [],
        steps,
        lr=group["lr"],
        beta1=beta1,
        beta2=beta2,
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        amsgrad=group["amsgrad"],
        maximize=group["maximize"],
    )
