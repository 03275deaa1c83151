"""How long a page takes from a stroke to the last answer."""

import statistics
from typing import Any

import numpy as np
from playing import FOLDER, HOW, opened, ten_networks

import convarium

TURNS, FIRST = 40, 5
"""Strokes that are timed, and those before them, while the browser still compiles the page's code."""

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


def strokes() -> list[dict[str, Any]]:
    """Milliseconds from a stroke to the last answer, in headless Chromium; and the size of the file."""
    convarium.compare(["resnet"], dataset="digits", resize=32, batch_size=16, name="resnet20", **HOW)
    rows = []
    for study, what in ((ten_networks(), "ten small networks, 28×28"), ("resnet20", "ResNet-20, 32×32")):
        done = convarium.play(study, out=FOLDER / "strokes.html", store=FOLDER)
        rng = np.random.default_rng(0)
        lines = rng.uniform(4, 24, size=(TURNS + FIRST, 12, 2)).tolist()
        with opened(done.path) as browser:
            times = sorted(browser.evaluate(_STROKE, lines)[FIRST:])
        rows.append(
            {
                "networks": what,
                "strokes": TURNS,
                "fastest, ms": times[0],
                "median, ms": statistics.median(times),
                "19 of 20 below, ms": times[int(0.95 * len(times))],
                "slowest, ms": times[-1],
                "file, MB": done.bytes / 1e6,
            }
        )
    return rows
