"""Where few seeds are less sure than Student's t takes them to be, and how much wider intervals are made there.

The t-interval rests on each group's spread, which three or four values show only roughly, and a family of comparisons
goes far into the tails, of which a few values tell nothing. So the error that an interval may have is divided by a
number, its caution: 5 turns 95 % into 99 %. The numbers were found by simulation, as the smallest with which at most
6.5 % of studies tell of a difference that there is not, in families of up to twenty, or of an equivalence that there is
not, in families of up to nine (`python benchmarks/method.py differences rules`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEW, MANY = 5, 10
"""Fewer values than FEW show a spread only roughly; from MANY on they show it well, and a family may be large."""
LARGE, LARGEST = 4, 9
"""A family of more comparisons than LARGE is large; of three values, one of so many is, too. More than LARGEST are very
many: in so far a tail even ten values leave some unlike spreads unseen."""
SEVERAL = 3
"""In a family of so many or more, tests of equivalence take spreads to be unlike sooner than differences do."""


@dataclass(frozen=True)
class Caution:
    """By how much the error of an interval is divided.

    Attributes:
        unlike_from: spreads are unlike where the larger standard deviation is over this many times the smaller one.
        unlike: the divisor where they are unlike.
        alike: the divisor where they are not; above 1 for few values in a large family.
    """

    unlike_from: float
    unlike: int
    alike: int

    def are_unlike(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether one group scatters so much more widely than the other, or one alone does not scatter at all.

        Args:
            x, y: values, (…, n) and (…, m): groups along the last axis.
        """
        a, b = x.std(-1, ddof=1), y.std(-1, ddof=1)
        return np.asarray(np.maximum(a, b) > self.unlike_from * np.minimum(a, b))


def caution(n: int, family: int, *, paired: bool, equivalence: bool = False) -> Caution:
    """Returns the caution for groups of n values, or a larger and a smaller one.

    Args:
        n: the number of values in the smaller group.
        family: the number of simultaneous comparisons.
        paired: whether values are paired by seed: less hangs on the spreads of the groups then.
        equivalence: whether it is for the tests of equivalence. Each goes to one side, where a skewed law has its tail.
    """
    if n <= 3 and family >= LARGE:
        return Caution(1.5, 12, 1) if paired or family == LARGE else Caution(1.5, 20, 20)
    alike, unlike_from = 1, 2 if n < FEW else 2.5 if n < MANY else 3
    if family > LARGE and n < MANY and not paired:
        alike = 3 if family > LARGEST and n <= FEW else 2
    if family > LARGEST and n >= MANY and not paired:
        unlike_from = 2
    if equivalence and family >= SEVERAL:
        unlike_from = 1.6 if n < FEW else 1.8 if n < MANY else 2
    return Caution(unlike_from, 5, alike)
