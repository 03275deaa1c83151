"""Whether a network does better than chance: than one that always names the same class."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean

IMBALANCE = 3
"""Classes are imbalanced where the largest has over this many times the images of the smallest."""

_ERRORS = 3
"""How many standard errors an accuracy must lie from another one to count as different."""
_ROUNDING = 1e-12


def is_imbalanced(counts: Sequence[int]) -> bool:
    """Whether the largest class has over IMBALANCE times the images of the smallest, of those that have images."""
    filled = [count for count in counts if count]
    return bool(filled) and max(filled) > IMBALANCE * min(filled)


def at_chance(accuracy: float, n: int, largest_share: float) -> bool | None:
    """Whether an accuracy is no better than that of always naming the largest class.

    Args:
        accuracy: a fraction of 1.
        n: the number of images that it was measured on.
        largest_share: the share of the largest class among these images, a fraction of 1.

    Returns:
        False: it is above the largest class's share by over three standard errors. True: it is not, and it is below
        that of a network with half as many errors by three standard errors. None: the images are too few to tell.
    """
    return _between(accuracy, largest_share, lambda p: math.sqrt(p * (1 - p) / n))


def predicts_at_chance(confusion: Sequence[Sequence[int]]) -> bool | None:
    """Whether predictions are no better than always naming one class; see `at_chance`.

    Where classes are imbalanced, predictions are at chance only if their balanced accuracy is, too: a network that
    finds the rare classes may be right less often than one that always names the largest.

    Args:
        confusion: confusion[true][predicted], counts, with an image or more.

    Returns:
        True or False; None where the images are too few to tell.
    """
    counts = [sum(row) for row in confusion]
    n = sum(counts)
    answer = at_chance(sum(row[i] for i, row in enumerate(confusion)) / n, n, max(counts) / n)
    if answer is False or not is_imbalanced(counts):
        return answer
    predicted = [sum(column) / n for column in zip(*confusion, strict=True)]
    classes = [(count, share) for count, share in zip(counts, predicted, strict=True) if count]
    chance = 1 / len(classes)

    def error(level: float) -> float:
        """Of the mean recall, where every class has the recall `level`, or at chance the share assigned to it."""
        variances = [max(level * (1 - level), share * (1 - share)) / count for count, share in classes]
        return math.sqrt(sum(variances)) / len(classes)

    recalls = [row[i] / count for i, (row, count) in enumerate(zip(confusion, counts, strict=True)) if count]
    balanced = _between(fmean(recalls), chance, error)
    return balanced if balanced is False or answer is True else None


def _between(accuracy: float, chance: float, standard_error: Callable[[float], float]) -> bool | None:
    if accuracy > chance + _ERRORS * standard_error(chance) + _ROUNDING:
        return False
    half = (1 + chance) / 2
    return True if accuracy <= half - _ERRORS * standard_error(half) else None
