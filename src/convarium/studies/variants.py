"""A study made larger or smaller: with other seeds, or reduced until it ends within minutes."""

import dataclasses
from collections import Counter

from convarium.studies.study import Study, check_seeds, with_seeds

REDUCED_EPOCHS, REDUCED_SEEDS, REDUCED_SIDE = 2, 2, 96


def reseeded(study: Study, seeds: int) -> Study:
    """The study with seeds 0, 1, … for every recipe.

    Raises:
        RecipeError: no seed at all, or too many.
    """
    check_seeds(seeds)
    bases = dict.fromkeys(dataclasses.replace(recipe, seed=0) for recipe in study.recipes)
    return dataclasses.replace(study, recipes=with_seeds(bases, range(seeds)))


def reduced(study: Study) -> Study:
    """The study made so small that it ends within minutes anywhere: it shows the machinery, and answers nothing.

    The 1,797 real digits take the place of its data set, 2 epochs and 2 seeds that of its own, and 96 pixels that of
    anything larger.
    """
    small = tuple(
        dataclasses.replace(
            recipe,
            dataset="digits",
            epochs=min(recipe.epochs, REDUCED_EPOCHS),
            batch_size=min(recipe.batch_size, 64),
            warmup=min(recipe.warmup, 1),
            normalize="none" if recipe.normalize == "none" else "dataset",
            resize=recipe.resize and min(recipe.resize, REDUCED_SIDE),
            validation=0 if recipe.validation == 0 else None,
        )
        for recipe in study.recipes
    )
    seeds = min(REDUCED_SEEDS, max(Counter(getattr(recipe, study.compare) for recipe in study.recipes).values()))
    command = study.command and f"{study.command} --quick"
    named = dataclasses.replace(study, name=f"{study.name}-quick", recipes=small, command=command)
    return reseeded(named, seeds)


def describe_reduction(study: Study) -> str:
    """What a reduced study is, in a line for the person who reads its answer."""
    seeds, epochs = len({recipe.seed for recipe in study.recipes}), max(recipe.epochs for recipe in study.recipes)
    size = f"{epochs} epoch{'s' * (epochs > 1)}, {seeds} seed{'s' * (seeds > 1)}"
    return f"digits instead of the study's own images, {size}: this shows how the study works and answers nothing"
