"""The contestants of a timing: the source's loop, Lightning's Trainer, Convarium's `fit`, and `fit_stack`."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from convarium.benchmark import reference
from convarium.benchmark.lightning_reference import train_in_lightning
from convarium.benchmark.reference import JOBS, Job
from convarium.data import load_data
from convarium.data.splits import ImageData, Splits
from convarium.recipes.presets import recipe_preset
from convarium.recipes.recipe import Recipe
from convarium.spec import unknown
from convarium.training.interleaved_timing import Contestant, OnStep
from convarium.training.timed_training import endless

Precision = Literal["float32", "bfloat16"]


def job_of(name: str) -> Job:
    """Returns the job with this name.

    Raises:
        SpecError: there is no such job.
    """
    if name not in JOBS:
        raise unknown("job", name, JOBS)
    return JOBS[name]


def recipe_of(job: Job, precision: Precision) -> Recipe:
    """Returns the source's recipe, with more epochs than a timing lasts and without scoring between them."""
    return dataclasses.replace(endless(recipe_preset(job.tag, job.model)), precision=precision)


def splits_of(job: Job, recipe: Recipe, data_dir: Path | str | None) -> Splits:
    """Loads the recipe's splits."""
    return load_data(job.dataset, data_dir=data_dir, validation=recipe.validation, resize=recipe.resize)


def reference_contestant(job: Job, train: ImageData, device: torch.device) -> Contestant:
    """The source's loop."""
    return partial(_train_reference, job, arrays_of(train), str(device))


def lightning_contestant(job: Job, train: ImageData, device: torch.device) -> Contestant:
    """The same training through Lightning's Trainer."""
    return partial(train_in_lightning, job, arrays_of(train), str(device))


def arrays_of(data: ImageData) -> tuple[np.ndarray, np.ndarray]:
    """Returns images as Pillow takes them, (n, h, w) or (n, h, w, 3) uint8, and labels, (n,)."""
    pixels = data.images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels, data.labels.cpu().numpy()


def _train_reference(job: Job, arrays: tuple[np.ndarray, np.ndarray], device: str, on_step: OnStep) -> None:
    network = job.network().to(device)
    optimizer = reference.optimizer_of(job, network)
    batches = reference.loader(job, *arrays, device=device)
    while True:
        for images, _ in reference.train(network, optimizer, batches, device=device):
            on_step(images)
