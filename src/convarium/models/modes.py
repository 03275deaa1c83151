"""Training and evaluation mode of a network."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; on exit every module is in the mode that it was in, also one that was frozen alone."""
    with modes_restored(network):
        network.eval()
        yield


@contextmanager
def modes_restored(network: nn.Module) -> Iterator[None]:
    """Restores every module's mode, training or evaluation, on exit."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
