"""An interval, and how far a mean over test images, such as an accuracy, holds for other images of their kind."""

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


def image_interval(values: ArrayLike, *, level: float = LEVEL, draws: int = 10_000, seed: int = 0) -> Interval | None:
    """Estimates by the percentile bootstrap how far a mean over these test images holds for other images of their kind.

    Images are drawn with replacement. Equal values are drawn by their count, which has the same distribution and takes
    no memory.

    Args:
        values: one number for each image, (n,): right or wrong, the share of seeds that are right, or a difference of
            these between two networks.
        level: the coverage of the interval.
        draws: the number of bootstrap samples.
        seed: the seed of the draws.

    Returns:
        The interval; None for fewer than two images or values that are all equal, where a bootstrap has no width.

    Raises:
        ConvariumError: there are no values, or one is not finite.
    """
    x = finite("values", values)
    distinct, counts = np.unique(x, return_counts=True)
    if len(distinct) < 2:
        return None
    drawn = np.random.default_rng(seed).multinomial(len(x), counts / len(x), size=draws)
    low, high = np.quantile(drawn @ distinct / len(x), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def accuracy_interval(accuracy: float, n: int) -> Interval:
    """How far the accuracy of one network holds for other images of their kind: `image_interval` of right and wrong.

    Where all images are right or all are wrong, and a bootstrap has no width, the exact interval of Clopper and
    Pearson.

    Args:
        accuracy: a fraction of 1.
        n: the number of images.
    """
    right = round(accuracy * n)
    interval = image_interval(np.arange(n) < right)
    if interval is not None:
        return interval
    from scipy.stats import binomtest  # takes half a second

    low, high = binomtest(right, n).proportion_ci(LEVEL)
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
