"""The recipe's optimizer over a network's parameters, and its learning rate."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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
    others = [parameter for parameter in network.parameters() if all(parameter is not merged for merged in sums)]
    optimizer = optimizer_over(others, recipe)
    if sums:
        optimizer.add_param_group({"params": sums, "weight_decay": 0.0, _RATES: 2.0})
    return optimizer


def memory_blocks(network: nn.Module) -> list[MemoryBlock]:
    """The memory blocks of a network that have a memory."""
    return [m for m in network.modules() if isinstance(m, MemoryBlock) and m.memory is not None]


def is_trained_whole(module: nn.Module) -> bool:
    """Whether no parameter of a module is frozen."""
    return all(parameter.requires_grad for parameter in module.parameters())


@contextmanager
def merged_memory(network: nn.Module, recipe: Recipe) -> Iterator[None]:
    """Inside, every memory block is one matrix, unless weight decay or freezing would then train it differently."""
    blocks = [] if recipe.weight_decay else [block for block in memory_blocks(network) if is_trained_whole(block)]
    for block in blocks:
        block.merge()
    try:
        yield
    finally:
        for block in blocks:
            block.split()


def optimizer_over(parameters: Sequence[Tensor], recipe: Recipe, *, stacked: bool = False) -> torch.optim.Optimizer:
    """The recipe's optimizer over these parameters, in PyTorch's fused form.

    Args:
        parameters: of a network, or those of a stack.
        recipe: its optimizer, learning rate, weight decay and momentum are used.
        stacked: whether the parameters have one dimension more, the members of a stack.
    """
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
