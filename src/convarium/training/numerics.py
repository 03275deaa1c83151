"""How numbers are stored and computed: memory format, dtype of the loss, deterministic arithmetic."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from convarium.recipes.recipe import Recipe


def set_memory_format(network: nn.Module, recipe: Recipe, device: torch.device) -> None:
    """Converts a network's convolutions to the memory format in which the recipe trains fastest."""
    network.to(memory_format=memory_format(recipe, device))  # type: ignore[call-overload]


def memory_format(recipe: Recipe, device: torch.device) -> torch.memory_format:
    """Channels last on a CPU, and in 16 bits on CUDA; else contiguous.

    On a CPU convolutions then need no reordering between them, and pooling and norms work on whole vectors of channels.
    CUDA's kernels for bfloat16 and float16 are fastest in this format, those for float32 are not.
    """
    faster = device.type == "cpu" or (device.type == "cuda" and recipe.precision != "float32")
    return torch.channels_last if faster else torch.contiguous_format


def is_channels_last(network: nn.Module) -> bool:
    """Whether any convolution's weight is stored as channels last, as its input images should then be."""
    weights = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]
    return any(not w.is_contiguous() and w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def autocast(recipe: Recipe, device_type: str) -> torch.autocast:
    """Inside, layers compute in the recipe's precision; weights, their gradients and the optimizer stay in float32."""
    dtype = torch.float16 if recipe.precision == "float16" else torch.bfloat16
    return torch.autocast(device_type, dtype, enabled=recipe.precision != "float32", cache_enabled=False)


def at_least_float32(logits: Tensor) -> Tensor:
    """Logits in float32, in which a loss is computed, or in float64 if the network is in float64."""
    return logits if logits.dtype == torch.float64 else logits.float()


@contextmanager
def exact_arithmetic(device: torch.device) -> Iterator[None]:
    """Inside, the same recipe in the same environment gives the same bits: deterministic kernels and no TF32.

    Denormal numbers are flushed to zero, because a CPU computes them up to a hundred times slower than others.
    Afterwards all settings are what they were before.
    """
    flushed = _flushes_denormals()
    torch.set_flush_denormal(True)
    try:
        with _deterministic_cuda() if device.type == "cuda" else nullcontext():
            yield
    finally:
        torch.set_flush_denormal(flushed)


def _flushes_denormals() -> bool:
    """Whether this thread flushes denormal numbers to zero; PyTorch sets this and does not return it."""
    smallest = torch.full((1,), torch.finfo(torch.float32).tiny, dtype=torch.float32, device="cpu")
    return float(smallest * 0.5) == 0.0


@contextmanager
def _deterministic_cuda() -> Iterator[None]:
    enabled, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    benchmark, tf32 = torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = benchmark, tf32


def seed_generators(seed: int, device: torch.device) -> None:
    """Seeds PyTorch's global generators of the CPU and of the device, and no other device's."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def default_generators(device: torch.device) -> list[torch.Generator]:
    """The generators of a GPU from which its operations draw; none for the CPU, whose own is `torch.default_generator`.

    That of CUDA is known once CUDA is initialized.
    """
    if device.type == "mps":
        return [torch.mps._get_default_mps_generator()]
    return [torch.cuda.default_generators[device.index or 0]] if device.type == "cuda" else []


@contextmanager
def preserved_generators(device: torch.device) -> Iterator[None]:
    """Inside, PyTorch's global generators of the CPU and of the device may be seeded; afterwards they are restored."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        others = default_generators(device) if device.type == "mps" else []  # which PyTorch's function leaves out
        states = [(generator, generator.get_state()) for generator in others]
        try:
            yield
        finally:
            for generator, state in states:
                generator.set_state(state)
