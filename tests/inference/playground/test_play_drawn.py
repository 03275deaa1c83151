"""Digits that are drawn with the mouse, stroke by stroke, are named as the images that they were taken from."""

import importlib
import sys
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from browsers import browser as browser  # the fixture
from browsers import needs_browser
from convarium import Workspace
from convarium.data import load_data

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
strokes_of = importlib.import_module("digit_strokes").strokes_of
play_drawn = importlib.import_module("play_drawn")

pytestmark = [needs_browser, pytest.mark.data("mnist")]
EACH = 2
"""Images of a digit: one is drawn in the middle, one beside it."""


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """A part of MNIST, large enough for a network that is right on nineteen of twenty, as a file."""
    data = load_data("mnist", validation=0)
    path = tmp_path_factory.mktemp("mnist") / "mnist.npz"
    arrays = {}
    for name, part, n in (("train", data.train, 6_000), ("test", data.test, 500)):
        arrays |= {f"x_{name}": part.images[:n, 0].numpy(), f"y_{name}": part.labels[:n].numpy()}
    np.savez(path, **arrays)
    return path, arrays["x_test"], arrays["y_test"]


def test_drawn_digits_are_named_as_the_originals_wherever_they_are_drawn(browser, mnist, tmp_path):
    path, images, labels = mnist
    workspace = Workspace(tmp_path)
    how = {"seeds": 1, "epochs": 2, "batch_size": 64, "optimizer": "adam", "learning_rate": 0.002}
    workspace.compare(["lenet"], dataset=f"npz:{path}", name="drawn", **how)
    (row,) = workspace.results("drawn").rows
    originals = row.runs[0].predictions()[0].argmax(1)
    chosen = [int(i) for digit in range(10) for i in np.flatnonzero(labels == digit)[:EACH]]
    page = browser.new_page(viewport={"width": 1280, "height": 1600})
    page.goto(workspace.play("drawn").path.as_uri())
    page.wait_for_selector("body[data-answered]")
    page.click("#tab-draw")
    play_drawn.answer_when_asked(page)
    same = []
    for i, shift in zip(chosen, cycle((0, 3)), strict=False):
        play_drawn.draw(page, strokes_of(images[i]), shift=shift)
        pixels = page.evaluate("Array.from(Drawing.read().pixels)")
        answer = page.evaluate(
            """async (pixels) => {
              const input = Preprocess.normalized(Float32Array.from(pixels), Play.forms[0]);
              const logits = await Engine.logits(Play.networks[0].members[0], input);
              return logits.indexOf(Math.max(...logits));
            }""",
            pixels,
        )
        same.append(answer == originals[i])
    assert np.mean(same) >= 0.95
    page.close()
