"""The kernels are compiled once, are recorded, and give way to PyTorch's."""

import logging
import subprocess

import numpy as np
import pytest
from torch import nn

from convarium import kernels
from convarium.kernels import compiling
from convarium.recipes.recipe import Recipe
from convarium.runs.environment import environment
from convarium.training import fit
from exact import accelerated_modules
from small_networks import few

pytestmark = pytest.mark.usefixtures("compiled")


def test_an_environment_names_its_kernels(monkeypatch):
    assert environment("cpu").kernels == kernels.version() != "torch"
    monkeypatch.setenv("CONVARIUM_KERNELS", "torch")
    assert environment("cpu").kernels == "torch"


def test_the_user_can_have_pytorchs_kernels(monkeypatch):
    splits, recipe = few(64), Recipe(model="mnist_resnet", epochs=1, batch_size=16)
    ours = fit(recipe, splits)
    monkeypatch.setenv("CONVARIUM_KERNELS", "torch")
    theirs = fit(recipe, splits)
    assert (ours.environment.kernels, theirs.environment.kernels) != ("torch", "torch")
    assert (ours.step_loss != theirs.step_loss).any()
    # After two more steps PyTorch itself is 0.5 % away from PyTorch with another number of threads.
    np.testing.assert_allclose(ours.step_loss[:2], theirs.step_loss[:2], rtol=1e-3)


def test_they_are_compiled_once(tmp_path, monkeypatch):
    compiler = compiling.shutil.which("gcc")
    made = compiling._compiled(compiler, tmp_path)
    monkeypatch.setattr(compiling.subprocess, "run", lambda *a, **b: pytest.fail("compiled again"))
    assert compiling._compiled(compiler, tmp_path) == made
    assert list(tmp_path.iterdir()) == [made]


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize("size", [0, 10, 1000, -1])
def test_a_truncated_library_is_compiled_again(tmp_path, monkeypatch, size):
    monkeypatch.setattr(compiling, "user_cache_path", lambda name: tmp_path)
    made = compiling._compiled(compiling.shutil.which("gcc"), tmp_path / "kernels")
    complete = made.read_bytes()
    made.write_bytes(complete[:size])
    assert kernels.version() != "torch"
    assert made.stat().st_size == len(complete)


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [(compiling.shutil, "which", lambda name: None), (compiling.sys, "platform", "darwin")],
    ids=["no compiler", "not Linux"],
)
def test_without_a_compiler_or_linux_pytorch_computes(owner, name, value, monkeypatch, caplog):
    monkeypatch.setattr(owner, name, value)
    with caplog.at_level(logging.INFO):
        assert kernels.version() == "torch"
    assert [record.getMessage() for record in caplog.records] == [
        "training steps use PyTorch's kernels: Convarium's need Linux, gcc and GNU OpenMP"
    ]
    assert accelerated_modules(nn.Sequential(nn.Conv2d(16, 16, 3))) == []


@pytest.mark.usefixtures("anew")
def test_a_compiler_that_fails_is_logged_once_and_pytorch_computes(monkeypatch, caplog, tmp_path):
    def fails(*args, **kwargs):
        raise subprocess.CalledProcessError(1, "gcc", stderr="unknown flag")

    monkeypatch.setattr(compiling, "user_cache_path", lambda name: tmp_path)
    monkeypatch.setattr(compiling.subprocess, "run", fails)
    assert kernels.version() == kernels.version() == "torch"
    assert [record.getMessage() for record in caplog.records] == [
        "training steps use PyTorch's kernels: Convarium's do not compile here: unknown flag"
    ]
