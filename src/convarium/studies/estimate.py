"""How long a run will take, from another seed of it or from a timed start."""

import contextlib
import dataclasses
import time

import torch

from convarium.analysis.comparison.run_facts import hardware_label
from convarium.data.splits import Splits
from convarium.models.index import resolve
from convarium.recipes.recipe import Recipe
from convarium.runs.environment import environment, synchronize
from convarium.runs.store import StoredRun
from convarium.training import StartWeights, TrainingEvent, fit

TIMED_SECONDS = 2.0
"""The first epoch of each network is timed for at most this long."""


def run_seconds(
    recipe: Recipe,
    splits: Splits,
    device: torch.device,
    *,
    start: StartWeights | None = None,
    like: StoredRun | None = None,
    timed_seconds: float = TIMED_SECONDS,
) -> float | None:
    """The seconds that a run will take; None if the network fails in training.

    Args:
        recipe: of the run.
        splits: of its data set.
        device: on which it trains.
        start: the weights that it starts from.
        like: another seed of the run. If it was trained on this hardware, its time is the answer; otherwise the start
            of the first epoch is timed.
        timed_seconds: for at most this long; three steps are timed in any case.
    """
    if (
        like is not None
        and like.outcome.cost
        and not like.is_mixed
        and hardware_label(like.outcome.environment) == hardware_label(environment(device))
    ):
        return max(like.outcome.cost.total_seconds, like.outcome.cost.train_seconds)
    try:
        step, steps = _first_steps(recipe, splits, device, start=start, timed_seconds=timed_seconds)
    except Exception as error:  # whatever a user's own network raises, which training will report
        if not isinstance(error, (RuntimeError, MemoryError)) and not resolve(recipe.model).is_custom:
            raise
        return None
    scored = len(splits.validation) + (len(splits.test) if recipe.watch_test else 0)
    scoring = step / recipe.batch_size / 3 * scored  # a forward pass alone costs about a third of a step
    return recipe.epochs * (step * steps + scoring)


class _EnoughError(Exception):
    """The first epoch has been timed for long enough."""


def _first_steps(
    recipe: Recipe, splits: Splits, device: torch.device, *, start: StartWeights | None, timed_seconds: float
) -> tuple[float, int]:
    """The seconds that a step takes, without the first step if there are others, and the steps of an epoch."""
    ends, steps = [time.perf_counter()], 1

    def watch(event: TrainingEvent) -> None:
        nonlocal steps
        if event.history:
            raise _EnoughError
        synchronize(device)
        ends.append(time.perf_counter())
        steps = event.steps_per_epoch
        if len(ends) > 3 and ends[-1] - ends[1] > timed_seconds:
            raise _EnoughError

    with contextlib.suppress(_EnoughError):
        alike = dataclasses.replace(recipe, watch_test=False, select="last")
        fit(alike, splits, device=device, start=start, on_event=watch)
    first = 1 if len(ends) > 2 else 0
    return (ends[-1] - ends[first]) / (len(ends) - 1 - first), steps
