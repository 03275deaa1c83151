"""An interval, and how far the accuracy of one network holds for other images of their kind."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convarium.errors import ConvariumError

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """The numbers from `low` to `high`, both included."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def accuracy_interval(accuracy: float, n: int) -> Interval:
    """How far the accuracy of one network holds for other images of their kind: Clopper and Pearson's exact interval.

    Args:
        accuracy: a fraction of 1.
        n: the number of images.
    """
    from scipy.special import betaincinv  # scipy.stats has the interval, and takes half a second to import

    right, tail = round(accuracy * n), (1 - LEVEL) / 2
    low = betaincinv(right, n - right + 1, tail) if right else 0.0
    high = betaincinv(right + 1, n - right, 1 - tail) if right < n else 1.0
    return Interval(float(low), float(high))


def finite(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Returns the values as an array (n,), n ≥ 1.

    Raises:
        ConvariumError: there are no values, or one is not finite; the message calls the values `name`.
    """
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or not len(x):
        raise ConvariumError(f"{name} is not a list of numbers", expected="at least one number", received=x.shape)
    if not np.isfinite(x).all():
        raise ConvariumError(
            f"{name} has a number that is not finite",
            received=x[~np.isfinite(x)].tolist(),
            hint="leave out the runs that diverged and count them as failed",
        )
    return x
