"""How long a run will take, from another seed of it or from a timed start; and what follows the last run."""

import contextlib
import dataclasses
import time

import torch

from convarium.analysis.comparison.run_facts import hardware_label
from convarium.data.splits import Splits
from convarium.models.describe import describe_network
from convarium.models.index import resolve
from convarium.recipes.recipe import Recipe
from convarium.runs.environment import environment, synchronize
from convarium.runs.store import StoredRun
from convarium.studies.halving import RunTime
from convarium.training import StartWeights, TrainingEvent
from convarium.training.class_weights import class_weights
from convarium.training.loop import make_step, train
from convarium.training.numerics import exact_arithmetic, preserved_generators
from convarium.training.scoring import EVALUATION_BATCH, split_logits
from convarium.training.trainer import Trainer, prepare_run

TIMED_SECONDS = 2.0
"""The first epoch of each network is timed for at most this long, and its scoring for a tenth of it."""
RECORDING = 0.15
"""Seconds in which a run's folder is begun, and its records, weights and event files are written."""
PAGE = 2.5
"""Seconds for a page's libraries, and for what every page has."""
PAGE_NETWORK = 0.15
PAGE_RUN = 0.02
"""Seconds that a network and a run add to the page."""
WORKERS = 4.0
"""Seconds in which worker processes start."""


def run_seconds(
    recipe: Recipe,
    splits: Splits,
    device: torch.device,
    *,
    start: StartWeights | None = None,
    like: StoredRun | None = None,
) -> float | None:
    """The seconds that a run will take: building, training, scoring and writing. None if the network fails in training.

    Args:
        recipe: of the run.
        splits: of its data set.
        device: on which it trains.
        start: the weights that it starts from.
        like: another seed of the run. If it was trained on this hardware, its time is the answer; otherwise the start
            of the first epoch is timed.
    """
    if (
        like is not None
        and like.outcome.cost
        and not like.is_mixed
        and hardware_label(like.outcome.environment) == hardware_label(environment(device))
    ):
        return max(like.outcome.cost.total_seconds, like.outcome.cost.train_seconds) + RECORDING
    measured = measure_time(recipe, splits, device, start=start)
    return measured.of(recipe.epochs) if measured else None


def measure_time(
    recipe: Recipe,
    splits: Splits,
    device: torch.device,
    *,
    start: StartWeights | None = None,
    timed_seconds: float = TIMED_SECONDS,
) -> RunTime | None:
    """What a run takes, from the start of its first epoch; None if the network fails in training.

    Args:
        recipe: of the run.
        splits: of its data set.
        device: on which it trains.
        start: the weights that it starts from.
        timed_seconds: for which steps are timed at most, but for three of them in any case.
    """
    try:
        with preserved_generators(device):
            began = time.perf_counter()
            trainer = prepare_run(
                dataclasses.replace(recipe, watch_test=False, select="last"), splits, device, start=start
            )
            building = time.perf_counter() - began
            step = _seconds_of_step(trainer, timed_seconds)
            image = _seconds_of_image(trainer, timed_seconds / 10)
    except Exception as error:  # whatever a user's own network raises, which training will report
        if not isinstance(error, (RuntimeError, MemoryError)) and not resolve(recipe.model).is_custom:
            raise
        return None
    began = time.perf_counter()
    describe_network(trainer.runs[0].network, recipe.model, splits.train.spec)  # as every run's record has it
    describing = time.perf_counter() - began
    each_epoch = len(splits.validation) + (len(splits.test) if recipe.watch_test else 0)
    at_the_end = len(splits.train) + len(splits.validation) + len(splits.test)
    return RunTime(
        epoch=step * len(trainer.batches) + image * each_epoch,
        rest=building + image * at_the_end + describing + RECORDING,
    )


def afterwards_seconds(*, networks: int, runs: int, workers: int) -> float:
    """The seconds that a study takes beside its runs: the start of its workers, and its page.

    Args:
        networks: rows of the table.
        runs: all of them, those that the store has included.
        workers: how many train at the same time.
    """
    return PAGE + PAGE_NETWORK * networks + PAGE_RUN * runs + (WORKERS if workers > 1 else 0.0)


class _EnoughError(Exception):
    """The first epoch has been timed for long enough."""


def _seconds_of_step(trainer: Trainer, timed_seconds: float) -> float:
    """The seconds that a step takes, without the first step if there are others."""
    recipe, device = trainer.recipe, trainer.device
    step = make_step(
        trainer.network,
        trainer.optimizers[0],
        recipe,
        trainer.generators,
        scalers=trainer.scalers,
        weights=class_weights(trainer.runs[0]),
    )
    ends = [time.perf_counter()]

    def watch(_: int, event: TrainingEvent) -> None:
        if event.history:
            raise _EnoughError
        synchronize(device)
        ends.append(time.perf_counter())
        if len(ends) > 3 and ends[-1] - ends[1] > timed_seconds:
            raise _EnoughError

    with contextlib.suppress(_EnoughError):
        train(trainer, step, on_event=watch)
    first = 1 if len(ends) > 2 else 0
    return (ends[-1] - ends[first]) / (len(ends) - 1 - first)


def _seconds_of_image(trainer: Trainer, timed_seconds: float) -> float:
    """The seconds in which an image is scored: in a whole batch, if one of the training's size is scored in less."""
    run = trainer.runs[0]
    images = run.splits.train

    def seconds_of(n: int) -> float:
        part = images.take(torch.arange(n))
        began = time.perf_counter()
        split_logits(run, part)
        return (time.perf_counter() - began) / n

    few, many = min(len(images), trainer.recipe.batch_size), min(len(images), EVALUATION_BATCH)
    with exact_arithmetic(trainer.device):
        each = seconds_of(few)  # a first call also prepares the layers
        return seconds_of(many) if each * many < timed_seconds else each
