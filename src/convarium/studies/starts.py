"""The weights that the runs of a study start from, found before they are planned."""

import contextlib
import dataclasses
from collections.abc import Sequence

from convarium.errors import DamageError
from convarium.recipes.recipe import Recipe
from convarium.recipes.starting import split_start
from convarium.studies.resources import Resources
from convarium.studies.study import Study
from convarium.training.starting import StartWeights


def find_start(recipe: Recipe, resources: Resources) -> tuple[Recipe, StartWeights | None]:
    """A recipe with the digest of the weights that it starts from, and the weights.

    Where the recipe has the digest already and its run is stored, they are not needed, and may be gone.

    Raises:
        ConvariumError: there are no such weights, or they do not fit the network, or are not those of the digest.
    """
    if recipe.start_from is None:
        return recipe, None
    if split_start(recipe.start_from)[1] is not None:
        with contextlib.suppress(DamageError):
            run = resources.store.find(recipe, recipe.key(resources.splits(recipe).digest))
            if run is not None and run.outcome.status != "failed":
                return recipe, None
    start = resources.start(recipe)
    return dataclasses.replace(recipe, start_from=start.field), start


def with_starts(study: Study, recipes: Sequence[Recipe]) -> Study:
    """A study whose recipes have the digests of the weights that they start from."""
    value_of = {
        getattr(before, study.compare): getattr(recipe, study.compare)
        for before, recipe in zip(study.recipes, recipes, strict=True)
    }
    baseline = None if study.baseline is None else value_of[study.baseline]
    return dataclasses.replace(study, recipes=tuple(recipes), baseline=baseline)
