"""Whether one network fails to train more often than another, and whether a network fails more often than not.

scipy is imported by the functions that use it: a list of claims is printed without it.
"""

from convarium.errors import ConvariumError
from convarium.intervals import LEVEL

_MOST = 1_000
"""Larger numbers of runs are not searched."""


def fisher_test(failed: int, runs: int, other_failed: int, other_runs: int) -> float:
    """Returns the two-sided p-value of Fisher's exact test of two groups of runs, some of which failed.

    Args:
        failed, runs: of the first group.
        other_failed, other_runs: of the second.

    Raises:
        ConvariumError: more runs failed than there are, or a number is negative.
    """
    for some, of in ((failed, runs), (other_failed, other_runs)):
        if not 0 <= some <= of:
            raise ConvariumError("failed is out of range", expected=f"0 to {of}, the number of runs", received=some)
    import numpy as np
    from scipy import stats

    table = np.array([[failed, runs - failed], [other_failed, other_runs - other_failed]])
    return float(stats.fisher_exact(table).pvalue)


def settles_half(failed: int, runs: int, *, level: float = LEVEL) -> bool | None:
    """Whether more than half of endlessly many runs would fail, by an exact binomial test in each direction.

    Returns:
        True: more than half would. False: fewer than half would. None: the runs do not settle it.
    """
    if not runs:
        return None
    from scipy import stats

    if stats.binomtest(failed, runs, 0.5, alternative="greater").pvalue <= 1 - level:
        return True
    return False if stats.binomtest(failed, runs, 0.5, alternative="less").pvalue <= 1 - level else None


def runs_to_settle_half(*, level: float = LEVEL) -> int:
    """Returns the least number of runs of which all must fail to show that more than half of all would."""
    return next(n for n in range(1, _MOST) if settles_half(n, n, level=level))
