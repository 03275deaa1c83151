"""Training as a contestant of a timing in turns: `fit`, or `fit_stack`, without end."""

import dataclasses
import math
from collections.abc import Sequence
from functools import partial

import torch

from convarium.data.splits import Splits
from convarium.errors import ConvariumError
from convarium.recipes.recipe import Recipe
from convarium.training.interleaved_timing import Contestant, OnStep
from convarium.training.loop import fit
from convarium.training.memory import tune_memory
from convarium.training.parallel import fit_stack
from convarium.training.state import TrainingEvent


def endless(recipe: Recipe) -> Recipe:
    """Returns the recipe with more epochs than a timing lasts and without scoring between them."""
    return dataclasses.replace(recipe, epochs=10**6, watch_test=False, select="last")


def training_contestant(recipe: Recipe, splits: Splits, device: torch.device, *, members: int = 1) -> Contestant:
    """`fit`, or `fit_stack` with `members` recipes that differ in their seeds.

    It raises ConvariumError if the training ends by itself: a diverged training is no measure of speed.

    Args:
        recipe: from `endless`.
        splits: its data; the validation images are left out, because nothing is scored on them.
        device: on which it trains.
        members: the number of seeds that train at once.
    """
    recipes = [dataclasses.replace(recipe, seed=recipe.seed + member) for member in range(members)]
    without = dataclasses.replace(splits, validation=splits.validation.take(torch.arange(0)))
    return partial(_train, recipes, without, device)


def _train(recipes: Sequence[Recipe], splits: Splits, device: torch.device, on_step: OnStep) -> None:
    first, n = recipes[0], len(splits.train)
    tune_memory()  # as the command line does

    def watch(event: TrainingEvent) -> None:
        if event.history is None:
            last = event.step == math.ceil(n / first.batch_size)
            on_step(n - (event.step - 1) * first.batch_size if last else first.batch_size)

    if len(recipes) == 1:
        fit(first, splits, device=device, on_event=watch)
    else:
        fit_stack(recipes, splits, device=device, on_event=lambda _, event: watch(event))
    raise ConvariumError(f"{first.model} diverged before its timing ended", hint="time it for fewer seconds")
