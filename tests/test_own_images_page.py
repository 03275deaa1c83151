"""docs/own-images.md: its commands run as printed, in their order, and its tables are those of the records."""

import io
import json
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from convarium.cli import main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "own-images.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for language, block in BLOCKS if language == "sh" for line in block.splitlines()]
# The commands run as printed but for the words added here, with the name of a run in place of RUN.
SHORTER = {
    "--recommend": ["lenet", "memory_mlp", "--seeds", "1", "--epochs", "2"],
    "--name seeds": ["--seeds", "2", "--epochs", "1"],
    "--name started": ["--seeds", "2", "--epochs", "1"],
    "folder:plants": ["--epochs", "1"],
}


def draw(file, label, rng):
    """A flower of so many petals, of a color of its own."""
    y, x = np.mgrid[:28, :28] - 13.5 + rng.normal(size=(2, 1, 1))
    petals = np.hypot(x, y) < 6 + 5 * np.cos((label + 2) * np.arctan2(y, x))
    pixels = rng.normal(60, 20, (28, 28, 3)) + petals[..., None] * np.eye(3)[label] * 150
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a reader of the page has: photos of three classes, new and later ones, other photos, and a checkpoint."""
    path, rng = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    for label, name in enumerate(("daisy", "rose", "tulip")):
        for number in range(1, 171):  # of which 34 of each are for the test: --unknown needs 100
            draw(path / "photos" / name / f"{number}.jpg", label, rng)
        for number in range(1, 41):
            draw(path / "later" / name / f"{number}.jpg", label, rng)
            draw(path / "plants" / f"new {name}" / f"{number}.jpg", label, rng)
        draw(path / "new" / f"{label}.jpg", label, rng)
    return path


def run_in(folder):
    """The name of the run of LeNet that the recommendation has trained."""
    return next(run.name for run in sorted((folder / "runs").glob("photos-lenet-s0-*")))


def checkpoint_in(folder):
    """As a tutorial's script saves it, with the weights one level down and a common prefix."""
    weights = load_file(folder / "runs" / run_in(folder) / "weights.safetensors")
    torch.save({"epoch": 3, "net": {f"module.{name}": value for name, value in weights.items()}}, "checkpoint.pth.tar")


def test_the_commands_run_in_their_order(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    answers = {}
    for command in COMMANDS:
        if "checkpoint.pth.tar" in command:
            checkpoint_in(folder)
        added = next((extra for part, extra in SHORTER.items() if part in command), [])
        paths, bar, piped = command.rpartition(" | ")
        words = [run_in(folder) if word == "RUN" else word for word in shlex.split(piped)[1:]]
        if bar:
            found = subprocess.run(shlex.split(paths), capture_output=True, check=True).stdout
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(found)))
        assert main(words + added) == 0, f"{command}: {capsys.readouterr().err}"
        answers[command] = capsys.readouterr().out
    (table,) = (answer for command, answer in answers.items() if "--csv" in command)
    assert [line.partition(",")[0] for line in table.splitlines()[1:]] == [f"new/{n}.jpg" for n in range(3)]
    (one,) = (answer for command, answer in answers.items() if "predict" in command and "--json" in command)
    assert {image["image"] for image in json.loads(one)["predictions"]} == {f"new/{n}.jpg" for n in range(3)}
    assert {"sheet.png", "photos.onnx", "photos-int8.onnx"} <= {file.name for file in folder.iterdir()}


def test_the_python_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (code,) = (block for language, block in BLOCKS if language == "python" and "import convarium" in block)
    exec(code.replace("RUN", run_in(folder)), {})
    assert capsys.readouterr().out.splitlines()[-1] in ("daisy", "rose", "tulip")


def test_the_page_goes_the_whole_way():
    verbs = [command.rpartition("convarium ")[2].split()[0] for command in COMMANDS]
    way = ["data", "compare", "results", "report", "predict", "export", "train", "evaluate"]
    assert list(dict.fromkeys(verbs)) == way
