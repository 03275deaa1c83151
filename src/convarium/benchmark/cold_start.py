"""The time of a training from the start of a fresh process: to the first step, of all steps, and to the end."""

import dataclasses
import time
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from convarium.benchmark.contestants import Precision, job_of
from convarium.data import load_data
from convarium.errors import ConvariumError
from convarium.recipes.presets import recipe_preset
from convarium.recipes.recipe import Recipe
from convarium.records import Environment
from convarium.runs.environment import environment, synchronize
from convarium.training import TrainingEvent, fit, tune_memory
from convarium.training.interleaved_timing import receive, start_process
from convarium.training.scoring import pick_device


@dataclass(frozen=True)
class ColdStart:
    """One training by its source's recipe, validation included, in a fresh process.

    Attributes:
        images: the number of images in an epoch.
        first_step: seconds from the start of the process to the end of the first step: importing, reading the data,
            building, compiling.
        training: seconds of all steps.
        total: seconds from the start of the process to its end.
        accuracy: test accuracy; None if the training diverged.
    """

    model: str
    precision: str
    epochs: int
    images: int
    first_step: float
    training: float
    total: float
    accuracy: float | None
    environment: Environment


def time_cold_start(
    job: str,
    *,
    epochs: int,
    precision: Precision = "float32",
    data_dir: Path | str | None = None,
    device: torch.device | str | None = None,
) -> ColdStart:
    """Trains a job once in a fresh process.

    Args:
        job: a name in JOBS.
        epochs: the number of epochs.
        precision: the precision of the training.
        data_dir: as in `bench`.
        device: as in `bench`.

    Raises:
        SpecError: there is no such job.
        RecipeError: epochs is out of range.
        DataError: the data are missing.
    """
    known = job_of(job)
    recipe = dataclasses.replace(recipe_preset(known.tag, known.model), epochs=epochs, precision=precision)
    return train_cold(recipe, data_dir=data_dir, device=device)


def train_cold(
    recipe: Recipe, *, data_dir: Path | str | None = None, device: torch.device | str | None = None
) -> ColdStart:
    """Like `time_cold_start`, for any recipe."""
    chosen, context = pick_device(device), get_context("spawn")
    parent, child = context.Pipe()
    process = context.Process(target=_train, args=(recipe, data_dir, chosen, torch.get_num_threads(), child))
    began = time.perf_counter()
    start_process(process)
    child.close()
    try:
        receive(parent)
        first_step = time.perf_counter() - began
        images, training, accuracy = receive(parent)
        process.join()
        total = time.perf_counter() - began
    finally:
        process.terminate()
        process.join()
    seconds = first_step, training, total
    return ColdStart(recipe.model, recipe.precision, recipe.epochs, images, *seconds, accuracy, environment(chosen))


def _train(
    recipe: Recipe, data_dir: Path | str | None, device: torch.device, threads: int, connection: Connection
) -> None:
    torch.set_num_threads(threads)
    tune_memory()  # as the command line does

    def watch(event: TrainingEvent) -> None:
        if (event.epoch, event.step) == (0, 1):
            synchronize(device)
            connection.send("first step")

    try:
        splits = load_data(recipe.dataset, data_dir=data_dir, validation=recipe.validation, resize=recipe.resize)
        outcome = fit(recipe, splits, device=device, on_event=watch)
    except ConvariumError as error:
        connection.send(ConvariumError(str(error)))
        return
    assert outcome.cost is not None
    accuracy = outcome.test.accuracy if outcome.test else None
    connection.send((len(splits.train), outcome.cost.train_seconds, accuracy))
