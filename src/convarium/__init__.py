"""Trains the classic convolutional networks side by side, fairly and fast, and says which differences are real."""

import os

# Idle OpenMP threads spin by default; where another process wants the core, each barrier then waits for a time slice,
# and training becomes twenty times slower (docs/log.md). The variable is read once, when PyTorch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from convarium.building import build_model
from convarium.comparison import Comparison, compare_runs
from convarium.data import load_data
from convarium.describe import describe
from convarium.errors import ConvariumError
from convarium.recipe import Recipe
from convarium.recipe_presets import recipe_preset
from convarium.records import ImageSpec, Outcome, Scores
from convarium.running import run
from convarium.store import Store
from convarium.study import Study, grid
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
    "describe",
    "fit",
    "grid",
    "load_data",
    "recipe_preset",
    "run",
]
