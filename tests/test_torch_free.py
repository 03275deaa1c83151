"""Reading needs no PyTorch: what lists, reads a store or checks a recipe imports none of the heavy libraries."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "pandas", "altair", "statsmodels", "sklearn", "scipy", "tensorboard")

LIGHT = [
    "convarium",
    "convarium.analysis.claims",
    "convarium.analysis.comparison",
    "convarium.analysis.statistics",
    "convarium.benchmark.speed_page",
    "convarium.errors",
    "convarium.spec",
    "convarium.records",
    "convarium.seeding",
    "convarium.models",
    "convarium.models.index",
    "convarium.models.factories",
    "convarium.data",
    "convarium.data.download",
    "convarium.data.folders",
    "convarium.data.published",
    "convarium.data.test_split",
    "convarium.data.transforms",
    "convarium.recipes.presets",
    "convarium.recipes.recipe",
    "convarium.recipes.schedules",
    "convarium.runs.environment",
    "convarium.runs.files",
    "convarium.runs.store",
]


def in_new_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("used", ["", "; convarium.Recipe(augment='flip', normalize='none', model='resnet@uva').key()"])
def test_light_modules_import_no_heavy_library(used):
    code = f"import sys, {', '.join(LIGHT)}{used}; print([name for name in {HEAVY} if name in sys.modules])"
    assert in_new_process(code).strip() == "[]"
