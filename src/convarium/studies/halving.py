"""Successive halving within a time: how many networks each rung trains, for how many epochs, and which go on.

Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter optimization": every rung has
the same time, trains what is left of the networks longer than the rung before, and keeps the better half of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FINALISTS = 4
"""The last rung has at most so many networks."""


@dataclass(frozen=True)
class RunTime:
    """What a run of a network takes, in seconds.

    Attributes:
        epoch: one epoch with the scoring at its end.
        rest: all that does not depend on the epochs: building, scoring, writing.
    """

    epoch: float
    rest: float

    def of(self, epochs: int) -> float:
        """The time of a run of so many epochs."""
        return self.rest + epochs * self.epoch


@dataclass(frozen=True)
class Epochs:
    """How long networks are trained.

    Attributes:
        least: epochs of the first rung, where the time allows no more.
        most: epochs of the last rung, where the time allows more.
    """

    least: int
    most: int


def seconds_together(seconds: Sequence[float], workers: int) -> float:
    """The longest that runs take where each of several workers trains the next one as soon as it is free.

    Graham 1966, "Bounds for certain multiprocessing anomalies": the last run begins when no worker was idle before.

    Args:
        seconds: of each run.
        workers: how many runs train at the same time; with one it is the sum.
    """
    return sum(seconds) / workers + (1 - 1 / workers) * max(seconds, default=0.0)


def rung_sizes(networks: int) -> tuple[int, ...]:
    """How many networks each rung trains: 8 → (8, 4), 12 → (12, 6, 3), 3 → (3,)."""
    sizes = [networks]
    while sizes[-1] > FINALISTS:
        sizes.append((sizes[-1] + 1) // 2)
    return tuple(sizes)


def fitting(times: Mapping[str, RunTime], seconds: float, epochs: Epochs, *, workers: int = 1) -> list[str]:
    """The networks that are tried: all, without the slowest ones where the time would not allow the shortest rungs.

    Args:
        times: of each network.
        seconds: that there are for all rungs.
        epochs: of the rungs.
        workers: how many runs train at the same time.

    Returns:
        Networks in the order of `times`; none if not even the fastest one can be trained.
    """
    kept = list(times)
    while kept and _shortest([times[name] for name in kept], epochs, workers) > seconds:
        kept.remove(max(kept, key=lambda name: times[name].of(epochs.least)))
    return kept


def epochs_of_rung(times: Sequence[RunTime], seconds: float, rungs: int, epochs: Epochs, *, workers: int = 1) -> int:
    """The epochs of the rung that comes next: as many as its share of the time allows.

    Args:
        times: of the networks in this rung.
        seconds: that are left for all rungs.
        rungs: how many are left, this one included. A rung before the last is at most half as long as the next.
        epochs: of the rungs.
        workers: how many runs train at the same time.
    """
    share = seconds / rungs - seconds_together([time.rest for time in times], workers)
    possible = int(share / max(seconds_together([time.epoch for time in times], workers), 1e-9))
    most = epochs.most // 2 ** (rungs - 1)
    return max(min(possible, int(most)), epochs.least)


def seeds_that_fit(times: Sequence[RunTime], seconds: float, epochs: int, most: int, *, workers: int = 1) -> int:
    """How many seeds of every finalist can be trained; at least one."""
    each = [time.of(epochs) for time in times]
    fitting = [n for n in range(1, most + 1) if seconds_together(n * each, workers) <= seconds]
    return max(fitting, default=1)


def best_of(scores: Mapping[str, float | None], parameters: Mapping[str, int], keep: int) -> list[str]:
    """The networks that go on: those with the highest scores, and of equal scores the smaller network, best first.

    Args:
        scores: on the validation images; None for a run that failed, which never goes on.
        parameters: of each network.
        keep: how many go on, at most.
    """
    known = {name: score for name, score in scores.items() if score is not None}
    return sorted(known, key=lambda name: (-known[name], parameters[name]))[:keep]


def _shortest(times: Sequence[RunTime], epochs: Epochs, workers: int) -> float:
    """The seconds of the shortest rungs, if the slowest networks are those that go on."""
    total, length = 0.0, epochs.least
    slowest = sorted(times, key=lambda time: -time.epoch)
    for size in rung_sizes(len(times)):
        total += seconds_together([time.of(length) for time in slowest[:size]], workers)
        length = min(2 * length, epochs.most)
    return total
