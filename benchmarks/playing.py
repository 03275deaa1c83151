"""How `convarium play` answers: beside PyTorch, in time for a stroke, and where digits are drawn."""

import base64
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from playwright.sync_api import Page, sync_playwright

import convarium
from convarium.data import load_data
from convarium.inference.playground.encoding import rounded
from convarium.inference.playground.players import MOST_PARAMETERS
from convarium.inference.playground.program import read_program
from convarium.inference.playground.reference import run_logits
from convarium.inference.trained import load_trained
from convarium.models.index import NETWORKS

TEN = (
    "memory_mlp(hidden=64)", "lenet", "lenet(activation='tanh')", "lenet(activation='sigmoid')", "residual_cnn",
    "mnist_resnet", "plain(depth=8)", "resnet(depth=8)", "preact_resnet(depth=8)", "densenet(depth=10)",
)  # fmt: skip
"""Ten small networks, which answer each stroke."""
IMAGES, OF_LARGE = 1_000, 50
"""Images on which answers are compared: of networks that play by themselves, and of those that need --all."""
DIGITS_DRAWN = 500
SHIFT = 4
TURNS = 40

_ANSWERS = """async ([member, data]) => {
  const pixels = Interpreter.bytesOf(data), [form] = Play.forms, size = form.channels * form.height * form.width;
  const inputs = Array.from({ length: pixels.length / size },
    (_, i) => Preprocess.normalized(pixels.subarray(i * size, (i + 1) * size), form));
  return (await Engine.many(member, inputs)).map((logits) => Array.from(logits));
}"""
_STROKE = """async (lines) => {
  const times = [];
  for (const points of lines) {
    Drawing.clear();
    const begin = performance.now();
    Drawing.set([points]);
    const { pixels } = Drawing.read();
    await Answers.ask(Play.forms.map((form) => Preprocess.normalized(pixels, form)), null);
    times.push(performance.now() - begin);
  }
  return times;
}"""
_DRAWN = """async ([drawings, isCentered]) => {
  document.getElementById("center").checked = isCentered;
  const said = [];
  for (const lines of drawings) {
    Drawing.set(lines);
    const { pixels } = Drawing.read(), one = [];
    for (const network of Play.networks) {
      const logits = await Engine.logits(network.members[0], Preprocess.normalized(pixels, Play.forms[network.form]));
      one.push(logits.indexOf(Math.max(...logits)));
    }
    said.push(one);
  }
  return said;
}"""


def answers() -> list[dict[str, Any]]:
    """Every network of the zoo after an epoch of the digits: the page's logits beside PyTorch's, in both precisions."""
    test = load_data("digits").test
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        rows = []
        for name in NETWORKS:
            study = name.replace("_", "-")
            result = convarium.compare([name], dataset="digits", seeds=1, epochs=1, name=study, store=store)
            run = result.comparison.rows[0].runs[0]
            trained = load_trained(run)
            n = IMAGES if (run.outcome.cost and run.outcome.cost.parameters <= MOST_PARAMETERS) else OF_LARGE
            images = test.images[np.resize(np.arange(len(test)), n)]
            shape = trained.preprocessing.image
            program = read_program(trained.network, (shape.channels, shape.height, shape.width), model=name)
            halved = rounded(program)
            with torch.inference_mode():
                batches = [trained.normalize(batch) for batch in images.split(OF_LARGE)]
                original = torch.cat([trained(batch) for batch in batches])
                halves = torch.cat([run_logits(halved, batch) for batch in batches])
            row: dict[str, Any] = {"network": name, "images": n}
            for precision, expected in (("float16", halves), ("float32", original)):
                page = convarium.play(
                    study, all_networks=True, float32=precision == "float32", out=store / "p.html", store=store
                )
                with opened(page.path) as browser:
                    received = torch.tensor(browser.evaluate(_ANSWERS, [0, _text(images)]))
                row[f"largest difference, {precision}"] = float(
                    (received - expected).abs().max() / expected.abs().max()
                )
                if precision == "float16":
                    row["by rounding"] = float((received - original).abs().max() / original.abs().max())
                    row["same class, %"] = 100 * float((received.argmax(1) == original.argmax(1)).float().mean())
            rows.append(row)
    return rows


def strokes() -> list[dict[str, Any]]:
    """Milliseconds from a stroke to the last answer, in headless Chromium."""
    rows, store = [], mnist_study()
    for study, what in (("ten", "ten small networks, 28×28"), ("twenty", "ResNet-20, 32×32")):
        done = convarium.play(study, out=store / "p.html", store=store)
        rng = np.random.default_rng(0)
        lines = rng.uniform(4, 24, size=(TURNS + 5, 12, 2)).tolist()
        with opened(done.path) as browser:
            times = sorted(browser.evaluate(_STROKE, lines)[5:])
        rows.append(
            {
                "networks": what,
                "strokes": TURNS,
                "median, ms": statistics.median(times),
                "fastest, ms": times[0],
                "19 of 20 below, ms": times[int(0.95 * len(times))],
                "file, MB": done.bytes / 1e6,
            }
        )
    return rows


def drawn() -> list[dict[str, Any]]:
    """MNIST's test images, turned into strokes and drawn, as they are and shifted, with and without centering."""
    data = load_data("mnist").test
    chosen = np.arange(0, len(data), len(data) // DIGITS_DRAWN)[:DIGITS_DRAWN]
    images, labels = data.images[chosen, 0].numpy(), data.labels[chosen].numpy()
    drawings = [strokes_of(image) for image in images]
    shifted = [[[[x + SHIFT, y + SHIFT] for x, y in line] for line in drawing] for drawing in drawings]
    rows, store = [], mnist_study()
    done = convarium.play("ten", out=store / "p.html", store=store)
    with opened(done.path) as browser:
        names = browser.evaluate("Play.networks.map((network) => network.name)")
        originals = np.array(
            [np.array(browser.evaluate(_ANSWERS, [i, _text(data.images[chosen])])).argmax(1) for i in range(len(names))]
        ).T
        said = {
            what: np.array(browser.evaluate(_DRAWN, [lines, is_centered]))
            for what, lines, is_centered in (
                ("drawn", drawings, True),
                (f"shifted by {SHIFT}, centered", shifted, True),
                (f"shifted by {SHIFT}, not centered", shifted, False),
            )
        }
    for i, name in enumerate(names):
        row: dict[str, Any] = {"network": name, "digits": len(labels)}
        row["right, original, %"] = 100 * float((originals[:, i] == labels).mean())
        for what, answers_of in said.items():
            row[f"right, {what}, %"] = 100 * float((answers_of[:, i] == labels).mean())
        row["named as the original, %"] = 100 * float((said["drawn"][:, i] == originals[:, i]).mean())
        rows.append(row)
    return rows


def mnist_study() -> Path:
    """A store with "ten", TEN after an epoch of MNIST, and "twenty", ResNet-20 after an epoch of the digits.

    It stays where temporary files are, so that the second measurement need not train anew.
    """
    store = Path(tempfile.gettempdir()) / "convarium-play"
    how = {"optimizer": "adam", "learning_rate": 0.001, "batch_size": 128, "store": store}
    convarium.compare(list(TEN), dataset="mnist", seeds=1, epochs=1, name="ten", **how)
    convarium.compare(["resnet"], dataset="digits", resize=32, seeds=1, epochs=1, name="twenty", **how)
    return store


@contextmanager
def opened(path: Path) -> Iterator[Page]:
    """A page in headless Chromium, from its file, after its first answers."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = browser.new_page()
        page.set_default_timeout(600_000)
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-answered]")
        yield page
        browser.close()


def strokes_of(image: np.ndarray) -> list[list[list[float]]]:
    """The middle lines of a figure (28, 28) as lines between neighboring pixels."""
    thin = thinned(image > 100)
    points = {(int(y), int(x)) for y, x in np.argwhere(thin)}
    lines = [
        [[x + 0.5, y + 0.5], [x + dx + 0.5, y + dy + 0.5]]
        for y, x in points
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1))
        if (y + dy, x + dx) in points
    ]
    return lines or [[[x + 0.5, y + 0.5]] for y, x in points] or [[[14.0, 14.0]]]


def thinned(figure: np.ndarray) -> np.ndarray:
    """The figure's lines made one pixel wide (T. Zhang and C. Suen, 1984, doi 10.1145/357994.358023)."""
    figure = np.pad(figure, 1).astype(np.int8)
    while True:
        before = figure.sum()
        for second in (False, True):
            n, e, s, w = (np.roll(figure, shift, axis) for shift, axis in ((1, 0), (-1, 1), (-1, 0), (1, 1)))
            ne, se, sw, nw = np.roll(n, -1, 1), np.roll(s, -1, 1), np.roll(s, 1, 1), np.roll(n, 1, 1)
            around = [n, ne, e, se, s, sw, w, nw]
            count = sum(around)
            rises = sum((a == 0) & (b == 1) for a, b in zip(around, [*around[1:], n], strict=True))
            corner = (n * e * w == 0) & (n * s * w == 0) if second else (n * e * s == 0) & (e * s * w == 0)
            figure = figure * ~((figure == 1) & (count >= 2) & (count <= 6) & (rises == 1) & corner)
        if figure.sum() == before:
            return figure[1:-1, 1:-1].astype(bool)


def _text(images: torch.Tensor) -> str:
    return base64.b64encode(images.contiguous().numpy().tobytes()).decode()
