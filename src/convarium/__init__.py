"""Trains the classic convolutional networks side by side, fairly and fast, and says which differences are real."""

import importlib
import os
from typing import TYPE_CHECKING, Any

# Idle OpenMP threads spin for milliseconds before they sleep; where another process wants the core, each barrier then
# waits for a time slice. This lasts for the gap between two operations and not much longer (docs/log.md has the
# figures). GNU's OpenMP reads the variable once, when PyTorch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

if TYPE_CHECKING:
    from convarium.analysis.comparison import Comparison, compare_runs
    from convarium.data import load_data
    from convarium.errors import ConvariumError
    from convarium.models.build import build_model
    from convarium.recipes.presets import recipe_preset
    from convarium.recipes.recipe import Recipe
    from convarium.records import ImageSpec, Outcome, Scores
    from convarium.runs.store import Store
    from convarium.studies.run import run
    from convarium.studies.study import Study, grid
    from convarium.training import fit

__all__ = [
    "Comparison",
    "ConvariumError",
    "ImageSpec",
    "Outcome",
    "Recipe",
    "Scores",
    "Store",
    "Study",
    "build_model",
    "compare_runs",
    "fit",
    "grid",
    "load_data",
    "recipe_preset",
    "run",
]

_HOMES = {
    "analysis.comparison": ("Comparison", "compare_runs"),
    "data": ("load_data",),
    "errors": ("ConvariumError",),
    "models.build": ("build_model",),
    "recipes.presets": ("recipe_preset",),
    "recipes.recipe": ("Recipe",),
    "records": ("ImageSpec", "Outcome", "Scores"),
    "runs.store": ("Store",),
    "studies.run": ("run",),
    "studies.study": ("Study", "grid"),
    "training": ("fit",),
}


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first asked for: PyTorch takes seconds, and Ctrl-C must be heard meanwhile."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"convarium.{module}"), name)
    raise AttributeError(f"module 'convarium' has no attribute {name!r}")
