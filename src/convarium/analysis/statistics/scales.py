"""The scales on which values of one kind lie in intervals: accuracies on the logit, losses on the logarithm.

A mean of 99.9 % has 0.1 points above it and 99.9 below, and a loss cannot fall below 0. On these scales the ends of the
possible range lie at infinity, so that no interval reaches beyond it.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convarium.errors import ConvariumError

Scale = Literal["plain", "logit", "log"]
"""How values lie: "plain" as they are, "logit" for shares such as accuracies, "log" for positive values."""


def to_scale(x: NDArray[np.float64], scale: Scale, images: int | None) -> NDArray[np.float64] | None:
    """Brings values to a scale; None where one of them has no place on it, such as a loss of 0.

    A share a of n images is taken as logit((a · n + ½) / (n + 1)), the empirical logit (Haldane 1956, Annals of Human
    Genetics 20, 309-311), which exists for 0 and for n images, too.

    Args:
        x: the values, (n,).
        scale: how they lie.
        images: the number of images that shares were counted on; None: they are taken as they are.

    Raises:
        ConvariumError: a value of the logit is not a share.
    """
    if scale == "plain":
        return x
    if scale == "log":
        return np.log(x) if bool((x > 0).all()) else None
    if bool(((x < 0) | (x > 1)).any()):
        raise ConvariumError("values has a number that is not a share", expected="0 to 1", received=x.tolist())
    half = _half(images)
    above, below = x + half, 1 - x + half
    return np.log(above / below) if bool((above > 0).all() and (below > 0).all()) else None


def from_scale(y: float, scale: Scale, images: int | None) -> float:
    """Brings a value back. A share that comes to lie within half an image of 0 or 1 is taken for 0 or 1."""
    if scale == "plain":
        return float(y)
    if scale == "log":
        return float(np.exp(y))
    from scipy.special import expit  # scipy is imported where it is used: a list of claims is printed without it

    half = _half(images)
    return float(np.clip(expit(y) * (1 + 2 * half) - half, 0.0, 1.0))


def steepness(x: float, scale: Scale, images: int | None) -> float:
    """The derivative of `to_scale` at a value, by which small distances grow."""
    if scale == "plain":
        return 1.0
    return 1 / x if scale == "log" else 1 / (x + _half(images)) + 1 / (1 - x + _half(images))


def _half(images: int | None) -> float:
    """Half an image, as a share of all."""
    return 0.5 / images if images else 0.0
