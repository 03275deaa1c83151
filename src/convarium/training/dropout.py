"""Dropout that draws from its run's own generator, so that runs in one process do not draw each other's numbers."""

import torch
from torch import Tensor, nn


def own_dropout(network: nn.Module, device: torch.device) -> list[torch.Generator]:
    """Makes a network on the CPU draw its dropout masks from a generator of its own, and gives that generator.

    They are the masks that `nn.Dropout` draws from a global generator in the same state. On CUDA nothing is changed
    and the list is empty: there dropout is one kernel, and a graph draws from the device's generator.
    """
    if device.type != "cpu":
        return []
    generator = torch.Generator()
    for name, module in list(network.named_modules()):
        if type(module) is nn.Dropout and 0 < module.p < 1:
            network.set_submodule(name, _OwnDropout(module.p, generator))
    return [generator]


class _OwnDropout(nn.Module):
    def __init__(self, p: float, generator: torch.Generator):
        super().__init__()
        self.p, self.generator = p, generator

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        mask = torch.empty_like(x).bernoulli_(1 - self.p, generator=self.generator)
        return x * mask.div_(1 - self.p)
