"""The two sides of the race, and whether they learn as much."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from convarium.benchmark import reference
from convarium.benchmark.machine import synchronize
from convarium.benchmark.reference import JOBS, Job
from convarium.data import load_data
from convarium.data.images import ImageData, Splits
from convarium.errors import ConvariumError
from convarium.recipe import Recipe
from convarium.recipe_presets import recipe_preset
from convarium.spec import unknown
from convarium.training import Progress, fit
from convarium.training.scoring import pick_device

Side = Callable[[int, int], tuple[int, float]]
"""(steps to warm up, steps to time) → (images trained in the timed steps, their seconds)."""


def job_of(name: str) -> Job:
    """The job of that name.

    Raises:
        SpecError: there is none.
    """
    if name not in JOBS:
        raise unknown("job", name, JOBS)
    return JOBS[name]


def recipe_of(job: Job, precision: Literal["float32", "bfloat16"]) -> Recipe:
    """The source's recipe, with more epochs than a timing lasts and no looks at other splits between them."""
    recipe = recipe_preset(job.tag, job.model)
    return dataclasses.replace(recipe, epochs=10**6, watch_test=False, select="last", precision=precision)


def splits_of(job: Job, recipe: Recipe, data_dir: Path | str | None) -> Splits:
    """The recipe's training and test splits; what it holds out is left out, for nobody looks at it here."""
    splits = load_data(job.dataset, data_dir=data_dir, validation=recipe.validation, resize=recipe.resize)
    return dataclasses.replace(splits, validation=splits.validation.take(torch.arange(0)))


def reference_side(job: Job, train: ImageData, device: torch.device) -> Side:
    """The source's loop. Every stretch has workers of its own, which end with it: idle ones would load on."""
    network = job.network().to(device)
    optimizer = reference.optimizer_of(job, network)
    batches = reference.loader(job, *_arrays(train), device=str(device))

    def run(warm_up: int, timed: int) -> tuple[int, float]:
        done = images = 0
        began = math.nan
        while True:
            for size, _ in reference.train(network, optimizer, batches, device=str(device)):
                if done >= warm_up:
                    images += size
                done += 1
                if done == warm_up:
                    synchronize(device)
                    began = time.perf_counter()
                if done == warm_up + timed:
                    synchronize(device)
                    return images, time.perf_counter() - began

    return run


class _Enough(Exception):  # noqa: N818 - it ends a stretch, nothing is wrong
    pass


def convarium_side(recipe: Recipe, splits: Splits, device: torch.device) -> Side:
    """`fit` itself, watched through its `progress` and ended by it.

    Its run raises ConvariumError where the training ends by itself: a diverged one is no measure of speed.
    """

    def run(warm_up: int, timed: int) -> tuple[int, float]:
        done, began, seconds = 0, math.nan, math.nan

        def watch(progress: Progress) -> None:
            nonlocal done, began, seconds
            if progress.history is not None:
                return
            done += 1
            if done in (warm_up, warm_up + timed):
                synchronize(device)
                now = time.perf_counter()
                began, seconds = (now, seconds) if done == warm_up else (began, now - began)
            if done == warm_up + timed:
                raise _Enough

        with contextlib.suppress(_Enough):
            fit(recipe, splits, device=device, progress=watch)
        if math.isnan(seconds):
            raise ConvariumError(f"{recipe.model} diverged before its timing ended", hint="time it for fewer seconds")
        return _images(recipe, len(splits.train), warm_up, timed), seconds

    return run


def equal_accuracy(
    job: str,
    *,
    images: int,
    seeds: Sequence[int] = (0, 1, 2),
    test_images: int = 2000,
    data_dir: Path | str | None = None,
    device: torch.device | str | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> list[tuple[float, float]]:
    """That what is faster learns as much: test accuracies (reference, Convarium) after one pass over the same images.

    Args:
        job: a name of JOBS.
        images: training images, the first of the split.
        seeds: one pair each; only the images are the same for both sides, orders and initial weights are not.
        test_images: the first of the test split.
        data_dir: as in `bench`.
        device: as in `bench`.
        precision: as in `bench`.

    Raises:
        SpecError: no such job.
        DataError: the data are missing.
    """
    known, chosen = job_of(job), pick_device(device)
    recipe = dataclasses.replace(recipe_of(known, precision), epochs=1, schedule="constant")
    splits = splits_of(known, recipe, data_dir)
    first = dataclasses.replace(splits, train=_first(splits.train, images), test=_first(splits.test, test_images))
    pairs = []
    for seed in seeds:
        torch.manual_seed(seed)
        network = known.network().to(chosen)
        batches = reference.loader(known, *_arrays(first.train), device=str(chosen))
        for _ in reference.train(network, reference.optimizer_of(known, network), batches, device=str(chosen)):
            pass
        unseen = reference.loader(known, *_arrays(first.test), device=str(chosen), training=False)
        theirs = reference.accuracy(network, unseen, device=str(chosen))
        outcome = fit(dataclasses.replace(recipe, seed=seed), first, device=chosen)
        pairs.append((theirs, outcome.test.accuracy if outcome.test else math.nan))
    return pairs


def _first(data: ImageData, n: int) -> ImageData:
    return data.take(torch.arange(min(n, len(data))))


def _arrays(data: ImageData) -> tuple[np.ndarray, np.ndarray]:
    """(n, h, w) or (n, h, w, 3) uint8 as Pillow has it, and labels."""
    pixels = data.images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels, data.labels.cpu().numpy()


def _images(recipe: Recipe, n: int, first: int, steps: int) -> int:
    """Images in `steps` steps from step number `first` on; an epoch's last batch may be smaller."""
    sizes = [recipe.batch_size] * (n // recipe.batch_size)
    sizes += [n % recipe.batch_size] if n % recipe.batch_size and not recipe.drop_last else []
    return sum(sizes[step % len(sizes)] for step in range(first, first + steps))
