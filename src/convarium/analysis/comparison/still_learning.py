"""Whether runs were still learning when they ended: a rule about the loss of their last epochs, fixed beforehand."""

import itertools
import math
from collections.abc import Sequence

from convarium.runs.store import StoredRun

LEAST_DROP = 0.01
"""In nats: a smaller drop of the loss moves no accuracy that could be seen."""
LEAST_SHARE = 0.02
"""As a share of the loss at the end."""
EPOCHS = 3
"""In so many of the last epochs, or in all if there were fewer, the loss must have fallen each time."""


def still_learning(label: str, runs: Sequence[StoredRun]) -> str | None:
    """Says that a row was still learning: "resnet was still learning (its validation loss fell by 0.10 in the last
    epoch)".

    Args:
        label: the row's.
        runs: its trained runs, which share their number of epochs.

    Returns:
        None if it was not, or if it cannot be told, as after a single epoch.
    """
    for column, title in (("validation_loss", "validation loss"), ("train_loss", "training loss")):
        losses = mean_losses(runs, column)
        if losses:
            if not falls_at_the_end(losses):
                return None
            return f"{label} was still learning (its {title} fell by {losses[-2] - losses[-1]:.2f} in the last epoch)"
    return None


def falls_at_the_end(losses: Sequence[float]) -> bool:
    """Whether a curve of losses, one an epoch, was still falling at its end.

    It was if it fell in each of the last three epochs (in all, if there were fewer), ended at its lowest value, and
    fell in the last epoch by at least 0.01 nats and 2 % of what is left. After one epoch nothing can be told.
    """
    if len(losses) < 2 or not all(map(math.isfinite, losses)):
        return False
    end = losses[-(EPOCHS + 1) :]
    falling = all(later < earlier for earlier, later in itertools.pairwise(end))
    drop = losses[-2] - losses[-1]
    return falling and losses[-1] <= min(losses) and drop >= max(LEAST_DROP, LEAST_SHARE * losses[-1])


def mean_losses(runs: Sequence[StoredRun], column: str) -> list[float]:
    """The mean over the runs of a loss after each epoch; empty if a run has not recorded it in every epoch."""
    curves = [[getattr(epoch, column) for epoch in run.outcome.history] for run in runs]
    if not curves or len({len(curve) for curve in curves}) > 1 or any(None in curve for curve in curves):
        return []
    return [sum(values) / len(values) for values in zip(*curves, strict=True)]
