"""The sides of the race: the source's loop, Lightning's Trainer, Convarium's `fit`, and `fit_stack`."""

import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from convarium.benchmark import reference
from convarium.benchmark.racing import Side, Tick
from convarium.benchmark.reference import JOBS, Job
from convarium.benchmark.trainer import train_in_lightning
from convarium.data import load_data
from convarium.data.images import ImageData, Splits
from convarium.errors import ConvariumError
from convarium.recipes.presets import recipe_preset
from convarium.recipes.recipe import Recipe
from convarium.spec import unknown
from convarium.training import TrainingEvent, fit, fit_stack

Precision = Literal["float32", "bfloat16"]


def job_of(name: str) -> Job:
    """The job of that name.

    Raises:
        SpecError: there is none.
    """
    if name not in JOBS:
        raise unknown("job", name, JOBS)
    return JOBS[name]


def recipe_of(job: Job, precision: Precision) -> Recipe:
    """The source's recipe, with more epochs than a timing lasts and no looks at other splits between them."""
    recipe = recipe_preset(job.tag, job.model)
    return dataclasses.replace(recipe, epochs=10**6, watch_test=False, select="last", precision=precision)


def splits_of(job: Job, recipe: Recipe, data_dir: Path | str | None) -> Splits:
    """The recipe's training and test splits; what it holds out is left out, for nobody looks at it here."""
    splits = load_data(job.dataset, data_dir=data_dir, validation=recipe.validation, resize=recipe.resize)
    return dataclasses.replace(splits, validation=splits.validation.take(torch.arange(0)))


def reference_side(job: Job, train: ImageData, device: torch.device) -> Side:
    """The source's loop."""
    return partial(_reference, job, arrays_of(train), str(device))


def lightning_side(job: Job, train: ImageData, device: torch.device) -> Side:
    """The same through Lightning's Trainer."""
    return partial(train_in_lightning, job, arrays_of(train), str(device))


def convarium_side(recipe: Recipe, splits: Splits, device: torch.device, *, members: int = 1) -> Side:
    """`fit` itself, or `fit_stack` of `members` recipes that differ in their seeds, watched through `progress`.

    It raises ConvariumError where the training ends by itself: a diverged one is no measure of speed.
    """
    recipes = [dataclasses.replace(recipe, seed=recipe.seed + member) for member in range(members)]
    return partial(_convarium, recipes, splits, device)


def arrays_of(data: ImageData) -> tuple[np.ndarray, np.ndarray]:
    """(n, h, w) or (n, h, w, 3) uint8 as Pillow has it, and labels."""
    pixels = data.images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels, data.labels.cpu().numpy()


def _reference(job: Job, arrays: tuple[np.ndarray, np.ndarray], device: str, tick: Tick) -> None:
    network = job.network().to(device)
    optimizer = reference.optimizer_of(job, network)
    batches = reference.loader(job, *arrays, device=device)
    while True:
        for images, _ in reference.train(network, optimizer, batches, device=device):
            tick(images)


def _convarium(recipes: Sequence[Recipe], splits: Splits, device: torch.device, tick: Tick) -> None:
    first, n = recipes[0], len(splits.train)

    def watch(progress: TrainingEvent) -> None:
        if progress.history is None:
            last = progress.step == math.ceil(n / first.batch_size)
            tick(n - (progress.step - 1) * first.batch_size if last else first.batch_size)

    if len(recipes) == 1:
        fit(first, splits, device=device, on_event=watch)
    else:
        fit_stack(recipes, splits, device=device, on_event=lambda _, progress: watch(progress))
    raise ConvariumError(f"{first.model} diverged before its timing ended", hint="time it for fewer seconds")
