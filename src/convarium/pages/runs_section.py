"""The sections that list every run (recipe, seed, environment, result) and every network layer by layer."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convarium.analysis.comparison import Comparison, status
from convarium.analysis.comparison.rows import Row
from convarium.data import DATASETS
from convarium.errors import ConvariumError
from convarium.models.layer_tables import known_description
from convarium.pages.disagreements import TestImages
from convarium.recipes.recipe import Recipe
from convarium.records import Description, Environment, ImageSpec
from convarium.runs.store import StoredRun


@dataclass(frozen=True)
class RunLine:
    """One run in the list of all runs; `environment` is the number of its environment, from 1."""

    label: str
    run: StoredRun
    status: str
    environment: int


@dataclass(frozen=True)
class RunsSection:
    """All runs, what they share and where they differ.

    Attributes:
        lines: one entry for each run.
        shared: recipe fields that are the same in all rows.
        differing: recipe fields that differ between the rows, without the seed and the field that is compared:
            label → field → value.
        environments: every environment once.
        failures: (label, seed, sentence) of every run that failed.
    """

    lines: tuple[RunLine, ...]
    shared: Mapping[str, Any]
    differing: Mapping[str, Mapping[str, Any]]
    environments: tuple[Environment, ...]
    failures: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True)
class NetworkLayers:
    """A network layer by layer, or the reason why its layers are not shown."""

    label: str
    description: Description | None
    missing: str | None = None


def runs_section(comparison: Comparison) -> RunsSection:
    """Lists all runs of a comparison with their settings, environments and failures."""
    numbers: dict[Environment, int] = {}
    lines, failures = [], []
    for row in comparison.rows:
        for run in row.runs:
            environment = dataclasses.replace(run.outcome.environment, started="", stack=())
            ended = status(run)
            lines.append(RunLine(row.label, run, ended, numbers.setdefault(environment, len(numbers) + 1)))
            if ended != "trained":
                failures.append((row.label, run.recipe.seed, _failure(run, ended)))
    recipes = {row.label: _settings(row.runs[0].recipe, comparison.by) for row in comparison.rows}
    first = next(iter(recipes.values()), {})
    shared = {name: value for name, value in first.items() if all(r[name] == value for r in recipes.values())}
    differing = {
        label: {name: value for name, value in recipe.items() if name not in shared}
        for label, recipe in recipes.items()
    }
    return RunsSection(tuple(lines), shared, differing, tuple(numbers), tuple(failures))


def network_layers(comparison: Comparison, test_images: TestImages | None = None) -> tuple[NetworkLayers, ...]:
    """The layers of every network of a comparison, each network once.

    Args:
        comparison: the comparison whose networks are described.
        test_images: pixels and labels of its test split. Needed only for runs that did not record the size of their
            images, on a data set of the user's own.
    """
    described: dict[str, NetworkLayers] = {}
    for row in comparison.rows:
        model = row.runs[0].recipe.model
        if model not in described:
            recorded = next(filter(None, (run.network() for run in row.runs)), None)
            if recorded is not None:
                described[model] = NetworkLayers(model, recorded)
            else:
                described[model] = _described_anew(model, _image_spec(row, test_images))
    return tuple(described.values())


def _described_anew(model: str, image: ImageSpec | None) -> NetworkLayers:
    """The layers of a network whose runs were made before runs recorded them."""
    if image is None:
        return NetworkLayers(model, None, "the runs did not record the size of their images")
    known = known_description(model, image)
    if known is not None:
        return NetworkLayers(model, known)
    from convarium.models.describe import describe  # It imports torch, which the rest of the page does not need.

    try:
        return NetworkLayers(model, describe(model, image))
    except ConvariumError as error:  # A user's network may have been moved or changed.
        return NetworkLayers(model, None, str(error))


def _image_spec(row: Row, test_images: TestImages | None) -> ImageSpec | None:
    recorded = next((run.outcome.image for run in row.runs if run.outcome.image is not None), None)
    if recorded is not None:
        return recorded
    recipe = row.runs[0].recipe
    spec = DATASETS[recipe.dataset].spec if recipe.dataset in DATASETS else None
    if spec is None and test_images is not None:
        scores = next((run.result for run in row.trained if run.result is not None), None)
        channels, height, width = test_images[0].shape[1:]
        spec = ImageSpec(channels, height, width, len(scores.per_class)) if scores else None
    if spec is None or recipe.resize is None:
        return spec
    return dataclasses.replace(spec, height=recipe.resize, width=recipe.resize)


def _settings(recipe: Recipe, by: str) -> dict[str, Any]:
    return {name: value for name, value in recipe.to_json().items() if name not in ("seed", by)}


def _failure(run: StoredRun, ended: str) -> str:
    outcome, epochs = run.outcome, len(run.outcome.history)
    message = f": {outcome.message}" if outcome.message else ""
    if ended == "at chance":
        scores = run.outcome.largest_scores
        return f"ended at chance, {100 * scores.accuracy:.1f} % right" if scores else "ended at chance"
    return f"{ended} after {epochs} of {run.recipe.epochs} epochs{message}"
