"""One training step of several networks of one architecture at once: their forward and backward passes are stacked.

Every network's parameters and buffers become parts of stacked tensors, (members, …). What concerns one member alone,
its scores and its weights on disk, goes on using its own network, through which it sees the training.
"""

import copy
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convarium.recipes.recipe import Recipe
from convarium.training.capture import Step, capturing
from convarium.training.optimizers import optimizer_over
from convarium.training.step import at_least_float32, memory_format

MembersOptimizer = tuple[slice, list[nn.Parameter], torch.optim.Optimizer]
"""Neighbouring members, their parts of the stacked parameters, and what updates these."""


def share_memory(networks: Sequence[nn.Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Stacked parameters and buffers by name, (members, …), of which those of the networks become parts."""
    linear = {f"{name}.weight" for name, module in networks[0].named_modules() if isinstance(module, nn.Linear)}
    parameters = _stacked([dict(network.named_parameters()) for network in networks], transposed=linear)
    buffers = _stacked([dict(network.named_buffers()) for network in networks])
    return {name: tensor.requires_grad_() for name, tensor in parameters.items()}, buffers


def separate(networks: Sequence[nn.Module]) -> None:
    """Undoes `share_memory`: every network has its own tensors again, laid out as a network alone has them."""
    for network in networks:
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.data = tensor.detach().clone(memory_format=torch.contiguous_format)


def make_optimizers(parameters: Mapping[str, Tensor], recipes: Sequence[Recipe]) -> list[MembersOptimizer]:
    """An optimizer for each run of neighbours that have equal settings: with eight seeds of one setting it is one.

    Its parameters are parts of the stacked ones, so that it computes for every number what it would for a member alone.
    """
    optimizers, first = [], 0
    for _, neighbours in groupby(recipes, lambda recipe: (recipe.learning_rate, recipe.weight_decay, recipe.momentum)):
        members = slice(first, first + len(list(neighbours)))
        parts = [nn.Parameter(_as_it_lies(tensor.detach())[members]) for tensor in parameters.values()]
        optimizers.append((members, parts, optimizer_over(parts, recipes[first], stacked=True)))
        first = members.stop
    return optimizers


def make_stacked_step(
    network: nn.Module,
    parameters: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    optimizers: Sequence[MembersOptimizer],
    recipe: Recipe,
    device: torch.device,
    dropout: Sequence[torch.Generator],
) -> Step:
    """A training step of all members, the m-th on the m-th images; on CUDA captured, as a single network's.

    It takes images (m, n, c, h, w) and labels (m, n) int64, and gives mean losses (m,) and numbers right (m,).

    Args:
        network: any member's, for its structure.
        parameters, buffers: from `share_memory`.
        optimizers: from `make_optimizers`.
        recipe: any member's; its precision and label smoothing are read.
        device: of parameters and images.
        dropout: each member's source of masks, on `device`. On the CPU they are the masks that the member would draw
            alone from a global generator in the same state.
    """
    half = recipe.precision == "bfloat16"
    structure = _structure(network, dropout, memory_format(recipe, device))

    def call(parameters: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor) -> Tensor:
        logits: Tensor = torch.func.functional_call(structure, (parameters, buffers), (images,))
        return logits

    # Randomness other than nn.Dropout's, in a user's own network, differs from member to member too.
    forward = torch.vmap(call, randomness="different")

    def step(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(device.type, torch.bfloat16, enabled=half, cache_enabled=False):
            logits = forward(dict(parameters), dict(buffers), images)
        every = F.cross_entropy(
            at_least_float32(logits).flatten(0, 1),
            labels.flatten(),
            label_smoothing=recipe.label_smoothing,
            reduction="none",
        )
        losses = every.view(labels.shape).mean(1)
        # The members meet in this sum and nowhere before it, so the gradient of each is that of its own loss.
        gradients: Sequence[Tensor | None] = torch.autograd.grad(
            losses.sum(), list(parameters.values()), allow_unused=True
        )
        for members, parts, optimizer in optimizers:
            for part, gradient, whole in zip(parts, gradients, parameters.values(), strict=True):
                part.grad = None if gradient is None else _as_it_lies(gradient, whole)[members].contiguous()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return losses.detach(), (logits.detach().argmax(2) == labels).sum(1)

    changed = [*parameters.values(), *buffers.values()]
    return capturing(step, changed, [optimizer for _, _, optimizer in optimizers], dropout)


def _as_it_lies(tensor: Tensor, like: Tensor | None = None) -> Tensor:
    """The tensor with the rows and columns of its matrices in the order that `like`, or else itself, has in memory."""
    return tensor if (tensor if like is None else like).is_contiguous() else tensor.mT


def _stacked(members: Sequence[dict[str, Tensor]], *, transposed: Container[str] = ()) -> dict[str, Tensor]:
    """The members' tensors stacked; those `transposed` lie so in memory, as the stacked gradients of linear layers do,
    which saves turning these round for the update.
    """
    stacked = {}
    for name in members[0]:
        parts = [tensors[name].detach() for tensors in members]
        stacked[name] = torch.stack([p.mT for p in parts]).mT if name in transposed else torch.stack(parts)
        for tensors, part in zip(members, stacked[name].unbind(), strict=True):
            tensors[name].data = part
    return stacked


def _structure(network: nn.Module, dropout: Sequence[torch.Generator], layout: torch.memory_format) -> nn.Module:
    """The network without its tensors, whose dropout draws each member's masks from its own generator."""
    structure = copy.deepcopy(network).to("meta").train()
    for name, module in list(structure.named_modules()):
        if type(module) is nn.Dropout and 0 < module.p < 1:
            structure.set_submodule(name, _MembersDropout(module.p, dropout, layout))
    return structure


class _MembersDropout(nn.Module):
    """x · mask / (1 − p), each member's mask from its own generator, drawn in the order of the layout it has alone."""

    def __init__(self, p: float, generators: Sequence[torch.Generator], layout: torch.memory_format):
        super().__init__()
        self.p, self.generators, self.layout = p, generators, layout

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _Dropped.apply(x, self.p, self.generators, self.layout)  # type: ignore[no-untyped-call]
        return y


class _Dropped(torch.autograd.Function):
    """What `torch.vmap` does for all members at once, since it has no generator of its own for each.

    Outside of it, where `forward` would be called, a stack never computes.
    """

    @staticmethod
    def forward(x: Tensor, p: float, generators: Iterable[torch.Generator], layout: torch.memory_format) -> Tensor:
        raise NotImplementedError

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        raise NotImplementedError

    @staticmethod
    def vmap(
        _info: Any,
        in_dims: tuple[int | None, ...],
        x: Tensor,
        p: float,
        generators: Iterable[torch.Generator],
        layout: torch.memory_format,
    ) -> tuple[Tensor, int]:
        x = x.movedim(in_dims[0] or 0, 0)
        layout = layout if x[0].ndim == 4 else torch.contiguous_format
        masks = [
            torch.empty_like(part, memory_format=layout).bernoulli_(1 - p, generator=own)
            for part, own in zip(x, generators, strict=True)
        ]
        return x * torch.stack(masks).div_(1 - p), 0
