"""How a training step computes: memory format, merged memory blocks, exact arithmetic."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from convarium.recipes.recipe import Recipe
from convarium.training.optimizers import memory_blocks


@contextmanager
def merged_memory(network: nn.Module, recipe: Recipe) -> Iterator[None]:
    """Every memory block as one matrix, where that trains alike."""
    blocks = [] if recipe.weight_decay else memory_blocks(network)
    for block in blocks:
        block.merge()
    try:
        yield
    finally:
        for block in blocks:
            block.split()


def lay_out(network: nn.Module, recipe: Recipe, device: torch.device) -> None:
    """Lays a network's convolutions out as (n, h, w, c) in memory where that is faster.

    On a CPU it always is: convolutions need no reordering between them, pooling and norms work on whole vectors of
    channels. On CUDA it is what the bfloat16 kernels want, and the float32 ones do not.
    """
    network.to(memory_format=memory_format(recipe, device))  # type: ignore[call-overload]


def memory_format(recipe: Recipe, device: torch.device) -> torch.memory_format:
    """What `lay_out` gives a network."""
    faster = device.type == "cpu" or recipe.precision == "bfloat16"
    return torch.channels_last if faster else torch.contiguous_format


def is_channels_last(network: nn.Module) -> bool:
    """Whether its convolutions lie as (n, h, w, c), and their images should."""
    weights = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]
    return any(not w.is_contiguous() and w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def at_least_float32(logits: Tensor) -> Tensor:
    """A loss is computed in float32, or in float64 where the network is."""
    return logits if logits.dtype == torch.float64 else logits.float()


@contextmanager
def exact_arithmetic(device: torch.device) -> Iterator[None]:
    """Same recipe, same environment, same bits: deterministic kernels, no TF32; denormals, which a CPU computes a
    hundred times slower than it is worth, are flushed to zero.
    """
    deterministic = torch.are_deterministic_algorithms_enabled()
    benchmark, tf32 = torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    torch.set_flush_denormal(True)
    if device.type == "cuda":
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = benchmark, tf32
