"""The margin of each data set: how large a difference must be to matter."""

from collections.abc import Mapping

MARGINS: Mapping[str, float] = {"mnist": 0.003, "fashion_mnist": 0.01, "cifar10": 0.005}
"""Differences of accuracy that are too small to matter, as fractions of 1; fixed before any study was run."""
OTHER_MARGIN = 0.01
LOSS_MARGIN = 0.2
"""The difference of losses that is too small to matter, as a share of the smaller one."""


def margin_of(dataset: str) -> float:
    """Returns the difference of accuracy that is too small to matter on a data set, as a fraction of 1."""
    return MARGINS.get(dataset, OTHER_MARGIN)
