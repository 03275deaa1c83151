"""From the arguments of the verbs to recipes, studies, images and command lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convarium.characters import command_line, shell_word
from convarium.errors import RecipeError, SpecError
from convarium.models.index import native_image
from convarium.records import ImageSpec
from convarium.spec import parse, unknown

if TYPE_CHECKING:
    from convarium.recipes.recipe import Recipe
    from convarium.studies.events import StudyEvent
    from convarium.studies.study import Study


def image_of(model: str, *, dataset: str | None = None, resize: int | None = None) -> ImageSpec:
    """The images that a network is described on: those of a data set, or those that the network was made for.

    Raises:
        SpecError: no such network, or a size that is out of range.
        DataError: a folder of images that cannot be read.
    """
    image = native_image(model) if dataset is None else _image_of_dataset(dataset)
    if resize is None:
        return image
    if not 1 <= resize <= 1024:
        raise SpecError(f"resize={resize} is out of range", expected="1 to 1024 pixels")
    return dataclasses.replace(image, height=resize, width=resize)


def _image_of_dataset(dataset: str) -> ImageSpec:
    from convarium.data import DATASETS, load_data

    return DATASETS[dataset].spec if dataset in DATASETS else load_data(dataset).train.spec


def planned_recipe(model: str | Recipe, preset: str | None, fields: Mapping[str, Any]) -> Recipe:
    """The recipe of a network: a source's or the default one, with these fields replaced.

    Raises:
        ConvariumError: a network, preset, field or value that does not exist.
    """
    from convarium.recipes.presets import recipe_preset
    from convarium.recipes.recipe import Recipe

    names = [field.name for field in dataclasses.fields(Recipe)]
    for name in fields:
        if name not in names:
            raise unknown("recipe field", name, names)
    if isinstance(model, Recipe):
        known = model.to_json()
    else:
        known = recipe_preset(preset, model).to_json() if preset is not None else {"model": model}
    return Recipe(**(known | dict(fields)))


def compared_recipes(models: Sequence[str], preset: str | None, fields: Mapping[str, Any]) -> list[Recipe]:
    """The recipe of each network that is compared; or of one network from each of several weights.

    A start without weights takes no part in freezing: nobody wants random weights frozen.

    Args:
        models: the networks' specs.
        preset: as for `planned_recipe`.
        fields: as for `planned_recipe`, but `start_from` may be a list.

    Raises:
        ConvariumError: as for `planned_recipe`, or several networks from several weights.
    """
    starts = fields.get("start_from")
    if not isinstance(starts, list | tuple):
        return [planned_recipe(model, preset, fields) for model in models]
    if len(starts) > 1 and len(models) > 1:
        raise RecipeError(
            f"{len(models)} networks from {len(starts)} weights cannot be compared at once",
            expected="several networks, or several weights of one",
            hint="compare one network, or give one --start-from",
        )
    recipes = [planned_recipe(models[0], preset, {**fields, "start_from": start}) for start in starts]
    if not any(starts):
        return recipes
    return [recipe if recipe.start_from else dataclasses.replace(recipe, freeze=None) for recipe in recipes]


def source_recipe(model: str, dataset: str) -> Recipe:
    """The recipe of the source that a preset network comes from, if it is of this data set; else the defaults."""
    from convarium.recipes.presets import RECIPES, recipe_preset
    from convarium.recipes.recipe import Recipe

    tag = parse(model).tag
    if tag in RECIPES:
        recipe = recipe_preset(tag, model)
        if recipe.dataset == dataset:
            return recipe
    return Recipe(model=model, dataset=dataset)


def chosen_study(study: Study | Path | str, *, seeds: int | None, quick: bool) -> Study:
    """A study by its name, its file or itself, reduced if it is to be quick, and with other seeds if they are given."""
    from convarium.studies.builtin import find_study
    from convarium.studies.variants import reduced, reseeded

    if isinstance(study, (str, Path)):
        chosen = find_study(str(study))
        command = chosen.command or f"convarium run {shell_word(str(study))}"
        chosen = dataclasses.replace(chosen, command=command)
    else:
        chosen = study
    if seeds is not None and chosen.command is not None:
        chosen = dataclasses.replace(chosen, command=f"{chosen.command} --seeds {seeds}")
    chosen = reduced(chosen) if quick else chosen
    return chosen if seeds is None else reseeded(chosen, seeds)


def compare_command(models: Sequence[str], arguments: Mapping[str, Any]) -> str:
    """The command line that makes the same comparison.

    Args:
        models: the networks' specs.
        arguments: by name; those that are None are left out.
    """
    words = ["convarium", "compare", *models]
    for flag, value in arguments.items():
        flag = flag.replace("_", "-")
        if isinstance(value, list | tuple):
            words += [word for one in value for word in (f"--{flag}", "none" if one is None else str(one))]
        elif isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            words += [f"--{flag}", str(value)]
    return command_line(words)


def message_event(study: Study, text: str) -> StudyEvent:
    """The event that says what comes next, before the first run of a study."""
    from convarium.studies.events import StudyEvent

    return StudyEvent(0, len(study.recipes), study.recipes[0], message=text)
