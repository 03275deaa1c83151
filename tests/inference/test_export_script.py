"""The script of docs/own-images.md, which knows nothing of Convarium, answers image files as Convarium does."""

import dataclasses
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convarium.inference.export import KnownImages, export_network
from convarium.inference.trained import TrainedNetwork
from convarium.inference.unknown import probabilities_of
from convarium.models.build import build_model
from convarium.records import ImageSpec, Preprocessing

PAGE = (Path(__file__).parents[2] / "docs" / "own-images.md").read_text("utf-8")
(SCRIPT,) = (block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "onnxruntime" in block)


def test_the_script_is_short_and_needs_no_convarium():
    imported = re.findall(r"^(?:import|from) (.+)$", SCRIPT, re.MULTILINE)
    assert imported == ["json, sys", "numpy as np, onnxruntime", "PIL import Image, ImageOps"]
    assert len(SCRIPT.splitlines()) <= 24


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Image files of the kinds that people have."""
    folder, generator = tmp_path_factory.mktemp("images"), np.random.default_rng(0)

    def drawn(*shape):
        return Image.fromarray(generator.integers(256, size=shape, dtype=np.uint8))

    drawn(40, 30, 3).save(folder / "a name with spaces.png")
    drawn(28, 20).save(folder / "gray.png")
    drawn(33, 50, 4).save(folder / "transparent.png")
    drawn(17, 31, 3).quantize(16).save(folder / "palette.gif", transparency=3)
    turned = Image.Exif()
    turned[0x0112] = 6
    drawn(24, 48, 3).save(folder / "turned.jpg", exif=turned)
    drawn(28, 28, 3).convert("CMYK").save(folder / "cmyk.jpg")
    drawn(20, 20).convert("1").save(folder / "two_levels.png")
    return sorted(folder.iterdir())


@pytest.mark.parametrize(
    ("fit", "channels", "ground"),
    [("stretch", 3, (255, 255, 255)), ("crop", 1, (0, 0, 0)), ("pad", 3, (10, 200, 30)), ("pad", 1, (90, 90, 90))],
)
def test_its_answers_are_those_of_convarium(images, fit, channels, ground, tmp_path, monkeypatch, capsys):
    process = Preprocessing(
        class_names=tuple(f"class_{i}" for i in range(7)),
        channels=channels,
        height=20,
        width=28,
        fit=fit,
        ground=ground,
        white=None,
        resize=None,
        mean=(0.4,) * channels,
        std=(0.05,) * channels,  # logits far apart
    )
    trained = TrainedNetwork(build_model("memory_mlp(hidden=16)", ImageSpec(channels, 20, 28, 7)), process)
    facts = {"model": "memory_mlp(hidden=16)", "dataset": "digits", "preprocessing": dataclasses.asdict(process)}
    pixels = torch.stack([trained.pixels(path) for path in images])
    known = KnownImages("images", np.concatenate([pixels.numpy()] * 2))
    export_network(trained, tmp_path / "net.onnx", format="onnx", facts=facts, known=known)
    (tmp_path / "script.py").write_text(SCRIPT, "utf-8")
    monkeypatch.setattr(sys, "argv", ["script.py", str(tmp_path / "net.onnx"), *map(str, images)])
    runpy.run_path(str(tmp_path / "script.py"), run_name="__main__")
    probabilities = probabilities_of(trained.logits(pixels).numpy())
    answers = capsys.readouterr().out.splitlines()
    assert len(set(probabilities.max(1).round(4))) == len(images), "an answer tells the images apart"
    for path, row, answer in zip(images, probabilities, answers, strict=True):
        name, shown = answer.removeprefix(f"{path} ").split()
        assert name == process.class_names[row.argmax()]
        assert float(shown) == pytest.approx(row.max(), abs=1e-4)
