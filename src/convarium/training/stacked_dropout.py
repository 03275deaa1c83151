"""Dropout of a stacked model: every member draws the masks that it would draw alone."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def vmapped_structure(
    network: nn.Module, generators: Sequence[torch.Generator], layout: torch.memory_format
) -> nn.Module:
    """The network without its tensors, for `torch.vmap`; its dropout draws each member's masks from its own generator.

    Args:
        network: any member's, in training mode but for what is frozen.
        generators: one per member.
        layout: the memory format of images in which a member alone draws its masks.
    """
    structure = copy.deepcopy(network).to("meta")
    for name, module in list(structure.named_modules()):
        if type(module) is nn.Dropout and 0 < module.p < 1 and module.training:
            structure.set_submodule(name, _MembersDropout(module.p, generators, layout))
    return structure


class _MembersDropout(nn.Module):
    """x · mask / (1 − p), each member's mask from its own generator, drawn in the memory order that it has alone."""

    def __init__(self, p: float, generators: Sequence[torch.Generator], layout: torch.memory_format):
        super().__init__()
        self.p, self.generators, self.layout = p, generators, layout

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _StackedDropout.apply(x, self.p, self.generators, self.layout)  # type: ignore[no-untyped-call]
        return y


class _StackedDropout(torch.autograd.Function):
    """Dropout of all members at once, as a rule for `torch.vmap`, which cannot give each member its own generator.

    A stack never computes outside of `torch.vmap`, where `forward` would be called.
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
            torch.empty_like(part, memory_format=layout).bernoulli_(1 - p, generator=generator)
            for part, generator in zip(x, generators, strict=True)
        ]
        return x * torch.stack(masks).div_(1 - p), 0
