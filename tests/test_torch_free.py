"""Reading needs no PyTorch: what lists, reads a store or checks a recipe imports none of the heavy libraries."""

import importlib
import subprocess
import sys
from pathlib import Path

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
    "convarium.data.folder_splits",
    "convarium.data.published",
    "convarium.data.arrays",
    "convarium.data.transforms",
    "convarium.recipes.presets",
    "convarium.recipes.recipe",
    "convarium.recipes.schedules",
    "convarium.runs.environment",
    "convarium.runs.files",
    "convarium.runs.store",
]

RESULTS = Path(__file__).parents[1] / "results"
STUDIES = sorted(path.stem for path in (RESULTS / "studies").glob("*.json"))


def in_new_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("used", ["", "; convarium.Recipe(augment='flip', normalize='none', model='resnet@uva').key()"])
def test_light_modules_import_no_heavy_library(used):
    code = f"import sys, {', '.join(LIGHT)}{used}; print([name for name in {HEAVY} if name in sys.modules])"
    assert in_new_process(code).strip() == "[]"


BLOCKED = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "tensorboard"):
            raise ImportError(f"{name} must not be imported here")

sys.meta_path.insert(0, Block())
import convarium
"""


def without_torch(code: str) -> str:
    """Runs code in a process in which importing PyTorch fails."""
    return in_new_process(BLOCKED + code)


def test_pytorch_is_blocked_in_these_processes():
    assert without_torch("try:\n import torch\nexcept ImportError as e: print(e)").startswith("torch must not")


def test_every_recorded_study_is_compared_without_pytorch():
    assert len(STUDIES) >= 9
    code = f"print([len(convarium.results(name, store={str(RESULTS)!r}).rows) for name in {STUDIES}])"
    assert all(int(rows) >= 1 for rows in without_torch(code).strip("[]\n").split(","))


@pytest.mark.parametrize("study", ["activations", "memory_vs_residual", "residual_cnn"])
def test_the_page_of_a_recorded_study_is_drawn_without_pytorch(tmp_path, study):
    """With the layers of every network, and the test images where the data set is on this machine."""
    page = tmp_path / "page.html"
    without_torch(f"convarium.report({study!r}, store={str(RESULTS)!r}, out={str(page)!r})")
    text = page.read_text("utf-8")
    section = text[text.index("Networks, layer by layer") :]
    assert "Linear" in section
    assert "Not shown:" not in section


PACKAGES = (
    "benchmark", "data", "diagnostics", "inference", "inference.playground", "models", "pages", "recipes", "runs",
    "studies", "training", "workspace",
)  # fmt: skip


@pytest.mark.parametrize("package", ["convarium", *(f"convarium.{name}" for name in PACKAGES)])
def test_every_public_name_of_a_package_loads_and_no_other(package):
    module = importlib.import_module(package)
    assert len(set(module.__all__)) == len(module.__all__) > 0
    assert all(getattr(module, name) is not None for name in module.__all__)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'no_such_name'"):
        module.no_such_name  # noqa: B018
