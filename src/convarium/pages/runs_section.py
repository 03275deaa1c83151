"""What every run was: recipe, seed, environment, how it ended; and every network layer by layer."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convarium.analysis.comparison import Comparison, status
from convarium.analysis.comparison.rows import Row
from convarium.data import DATASETS
from convarium.data.splits import ImageData
from convarium.errors import ConvariumError
from convarium.models.layers import known_description
from convarium.recipes.recipe import Recipe
from convarium.records import Description, Environment, ImageSpec
from convarium.runs.store import StoredRun


@dataclass(frozen=True)
class RunLine:
    """One run in the list of all runs; `place` is the number of its environment, counted from 1."""

    label: str
    run: StoredRun
    status: str
    place: int


@dataclass(frozen=True)
class RunLists:
    """All runs, what they share and where they differ.

    Attributes:
        shared: recipe fields that all runs have alike.
        differing: recipe fields that differ between the rows, beside the seed and what is compared: label → field →
            value.
        environments: each kind once; starting times are those of the runs.
        failures: (label, seed, sentence) of every run that failed.
    """

    lines: tuple[RunLine, ...]
    shared: Mapping[str, Any]
    differing: Mapping[str, Mapping[str, Any]]
    environments: tuple[Environment, ...]
    failures: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True)
class Layers:
    """A network layer by layer, or the reason why it is not shown."""

    label: str
    description: Description | None
    missing: str | None = None


def run_lists(comparison: Comparison) -> RunLists:
    """What every run of a comparison was."""
    places: dict[Environment, int] = {}
    lines, failures = [], []
    for row in comparison.rows:
        for run in row.runs:
            kind = dataclasses.replace(run.outcome.environment, started="", stack=())
            ended = status(run)
            lines.append(RunLine(row.label, run, ended, places.setdefault(kind, len(places) + 1)))
            if ended != "trained":
                failures.append((row.label, run.recipe.seed, _told(run, ended)))
    recipes = {row.label: _settings(row.runs[0].recipe, comparison.by) for row in comparison.rows}
    first = next(iter(recipes.values()), {})
    shared = {name: value for name, value in first.items() if all(r[name] == value for r in recipes.values())}
    differing = {
        label: {name: value for name, value in recipe.items() if name not in shared}
        for label, recipe in recipes.items()
    }
    return RunLists(tuple(lines), shared, differing, tuple(places), tuple(failures))


def layers(comparison: Comparison, images: ImageData | None = None) -> tuple[Layers, ...]:
    """Every network of the comparison once, on the images of its data set.

    Args:
        comparison: whose networks.
        images: of the data set; asked where the runs are too old to tell, and the data set is not a published one.
    """
    found: dict[str, Layers] = {}
    for row in comparison.rows:
        recipe = row.runs[0].recipe
        if recipe.model in found:
            continue
        image = _image(row, images)
        recorded = next(filter(None, (run.network() for run in row.runs)), None)
        if recorded is not None:
            found[recipe.model] = Layers(recipe.model, recorded)
            continue
        if image is None:
            found[recipe.model] = Layers(recipe.model, None, "the size of the images is not known from the runs")
            continue
        try:
            found[recipe.model] = Layers(recipe.model, _description(recipe.model, image))
        except ConvariumError as error:  # a user's factory that is not here any more
            found[recipe.model] = Layers(recipe.model, None, str(error))
    return tuple(found.values())


def _description(model: str, image: ImageSpec) -> Description:
    """Of a run that is older than `network.json`: read if it is known, else the network is built."""
    known = known_description(model, image)
    if known is not None:
        return known
    from convarium.models.describe import describe  # imports PyTorch, which the rest of the page does not need

    return describe(model, image)


def _image(row: Row, images: ImageData | None) -> ImageSpec | None:
    recorded = next((run.outcome.image for run in row.runs if run.outcome.image is not None), None)
    if recorded is not None:
        return recorded
    recipe = row.runs[0].recipe
    known = images.spec if images is not None else None
    if recipe.dataset in DATASETS:
        known = DATASETS[recipe.dataset].spec
    if known is None or recipe.resize is None:
        return known
    return dataclasses.replace(known, height=recipe.resize, width=recipe.resize)


def _settings(recipe: Recipe, by: str) -> dict[str, Any]:
    return {name: value for name, value in recipe.to_json().items() if name not in ("seed", by)}


def _told(run: StoredRun, ended: str) -> str:
    outcome, epochs = run.outcome, len(run.outcome.history)
    message = f": {outcome.message}" if outcome.message else ""
    if ended == "at chance":
        scores = outcome.validation if outcome.validation and outcome.validation.n else outcome.test
        return f"ended at chance, {scores.accuracy:.1%} right" if scores else "ended at chance"
    return f"{ended} after {epochs} of {run.recipe.epochs} epochs{message}"
