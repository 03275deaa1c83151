"""Compares the first losses of both loops, which stands for equal accuracy where a training takes days."""

import dataclasses
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convarium.benchmark import reference
from convarium.benchmark.contestants import Precision, arrays_of, recipe_of
from convarium.benchmark.reference import Job
from convarium.data.splits import ImageData, Splits
from convarium.errors import ConvariumError
from convarium.models.build import build_model
from convarium.training.accelerate import accelerate
from convarium.training.loop import make_step
from convarium.training.numerics import exact_arithmetic, is_channels_last, set_memory_format
from convarium.training.optimizers import make_optimizer

LOSSES = 20
NEAR = torch.finfo(torch.bfloat16).eps
"""bfloat16's relative error: the distance from 1 to the next number, 1/128."""


@dataclass(frozen=True)
class FirstLosses:
    """The losses of both loops' first steps from equal weights on equal batches, without dropout.

    Attributes:
        reference, convarium: the losses; None for a loss that is not finite.
        apart: the largest difference, relative to the reference's loss; None if a loss is not finite.
        agree: whether `apart` is at most NEAR.
        verdict: the result as a sentence.
    """

    job: str
    precision: Precision
    reference: tuple[float | None, ...]
    convarium: tuple[float | None, ...]
    apart: float | None
    agree: bool
    verdict: str


def first_losses(
    name: str, job: Job, splits: Splits, *, precisions: Sequence[Precision], device: torch.device
) -> list[FirstLosses]:
    """Compares the first LOSSES losses of both loops from equal weights on equal batches, one result per precision.

    Dropout is left out of both, because equal masks drop different units if the memory layout differs.
    """
    torch.manual_seed(0)
    network = _without_dropout(job.network().to(device))
    copies = {
        precision: _without_dropout(build_model(job.model, splits.train.spec).to(device)) for precision in precisions
    }
    for copied in copies.values():
        copy_weights(network, copied)
    batches = list(_batches(job, splits.train, device))
    optimizer = reference.optimizer_of(job, network)
    expected = torch.tensor(list(_losses(network, optimizer, batches)))
    results = []
    for precision, copied in copies.items():
        recipe = recipe_of(job, precision)
        set_memory_format(copied, recipe, device)
        layout = torch.channels_last if is_channels_last(copied) else torch.contiguous_format
        accelerated = accelerate(copied, recipe, device)
        step = make_step(accelerated, make_optimizer(accelerated, recipe), recipe)
        with exact_arithmetic(device):
            losses = torch.stack([step(images.contiguous(memory_format=layout), y)[0].cpu() for images, y in batches])
        apart = _finite(float((losses / expected - 1).abs().max()))
        agree = apart is not None and apart <= NEAR
        distance = "one is not finite" if apart is None else f"{apart:.2g} apart"
        verdict = (
            f"the first {len(losses)} losses of {name} in {precision} {'agree' if agree else 'do not agree'} with the "
            f"reference's within bfloat16's error ({distance}, {NEAR:.2g} allowed)"
        )
        figures = tuple(tuple(map(_finite, each.tolist())) for each in (expected, losses))
        results.append(FirstLosses(name, precision, figures[0], figures[1], apart, agree, verdict))
    return results


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copies weights shape by shape in the order of registration, since sources and presets name modules differently.

    Raises:
        ConvariumError: the networks do not have tensors of the same shapes.
    """
    tensors = defaultdict(list)
    for tensor in source.state_dict().values():
        tensors[tuple(tensor.shape)].append(tensor)
    with torch.no_grad():
        for name, tensor in target.state_dict().items():
            if not tensors[tuple(tensor.shape)]:
                raise ConvariumError(f"there are no weights for {name}", received=tuple(tensor.shape))
            tensor.copy_(tensors[tuple(tensor.shape)].pop(0))
    if any(tensors.values()):
        raise ConvariumError("there are weights left over", received=[shape for shape, left in tensors.items() if left])


def _without_dropout(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network.train()


def _batches(job: Job, train: ImageData, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    loaded = reference.loader(dataclasses.replace(job, workers=0), *arrays_of(train), device=str(device))
    for images, labels in itertools.islice(itertools.cycle(loaded), LOSSES):
        yield images.to(device), labels.to(device)


def _losses(
    network: nn.Module, optimizer: torch.optim.Optimizer, batches: Sequence[tuple[Tensor, Tensor]]
) -> Iterator[float]:
    for images, labels in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield loss.item()


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None
