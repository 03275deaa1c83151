"""From the arguments of the verbs to recipes, studies, images and command lines."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convarium.errors import SpecError
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
        command = chosen.command or f"convarium run {shlex.quote(str(study))}"
        chosen = dataclasses.replace(chosen, command=command)
    else:
        chosen = study
    if seeds is not None and chosen.command is not None:
        chosen = dataclasses.replace(chosen, command=f"{chosen.command} --seeds {seeds}")
    chosen = reduced(chosen) if quick else chosen
    return chosen if seeds is None else reseeded(chosen, seeds)


def compare_command(
    models: Sequence[str], *, seeds: int, preset: str | None, baseline: str | None, name: str | None, fields: Any
) -> str:
    """The command line that makes the same comparison."""
    words = ["convarium", "compare", *models, "--seeds", str(seeds)]
    for flag, value in {"preset": preset, "baseline": baseline, "name": name, **fields}.items():
        flag = flag.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            words += [f"--{flag}", str(value)]
    return shlex.join(words)


def message_event(study: Study, text: str) -> StudyEvent:
    """The event that says what comes next, before the first run of a study."""
    from convarium.studies.events import StudyEvent

    return StudyEvent(0, len(study.recipes), study.recipes[0], message=text)
