"""How the networks of a page name digits that are drawn, where they are drawn, and with centering or without."""

from typing import Any

import numpy as np
from digit_strokes import Line, strokes_of
from playing import ASK, FOLDER, as_base64, opened, ten_networks
from playwright.sync_api import Page

import convarium
from convarium.data import load_data

DIGITS = 100
SHIFT = 4
"""By how many pixels drawings are moved to the right and down: most figures of MNIST have this room."""

_READ = """async () => {
  const { pixels } = Drawing.read(), logits = [];
  for (const network of Play.networks) {
    logits.push(await Engine.logits(network.members[0], Preprocess.normalized(pixels, Play.forms[network.form])));
  }
  return logits.map((values) => values.indexOf(Math.max(...values)));
}"""


def drawn() -> list[dict[str, Any]]:
    """MNIST's test images, drawn with the mouse as they are and shifted, and with centering and without."""
    data = load_data("mnist").test
    chosen = np.arange(0, len(data), len(data) // DIGITS)[:DIGITS]
    images, labels = data.images[chosen], data.labels[chosen].numpy()
    done = convarium.play(ten_networks(), out=FOLDER / "drawn.html", store=FOLDER)
    with opened(done.path) as page:
        names = page.evaluate("Play.networks.map((network) => network.name)")
        data_text = as_base64(images)
        originals = np.array([page.evaluate(ASK, [i, data_text]) for i in range(len(names))]).argmax(2)
        lines = [strokes_of(image) for image in images[:, 0].numpy()]
        page.set_viewport_size({"width": 1280, "height": 1600})  # nothing scrolls while the mouse moves
        page.click("#tab-draw")
        answer_when_asked(page)
        answers = {
            what: np.array([_answers(page, one, shift) for one in lines]).T
            for what, shift, is_centered in (
                ("centered", 0, True),
                (f"shifted by {SHIFT}, centered", SHIFT, True),
                (f"shifted by {SHIFT}, not centered", SHIFT, False),
            )
            if page.set_checked("#center", is_centered) is None
        }
    rows = [(name, slice(i, i + 1)) for i, name in enumerate(names)] + [("all of them", slice(None))]
    return [
        {
            "network": name,
            "digits": DIGITS,
            "right, original, %": _share(originals[which] == labels),
            **{f"right, drawn, {what}, %": _share(found[which] == labels) for what, found in answers.items()},
            "named as the original, %": _share(answers["centered"][which] == originals[which]),
        }
        for name, which in rows
    ]


def answer_when_asked(page: Page) -> None:
    """Has the page answer a drawing when it is asked to, not after every movement of the mouse."""
    page.evaluate("Drawing.listen(() => {})")


def draw(page: Page, lines: list[Line], *, shift: float = 0) -> None:
    """Draws lines, of points in pixels of the data set's images, on the empty pad with the mouse."""
    page.click("#clear")
    box = page.locator("#pad").bounding_box()
    height, width = page.evaluate("[Play.preprocessing.height, Play.preprocessing.width]")
    if box is None:
        raise RuntimeError("the pad is not visible")
    for line in lines:
        for i, (x, y) in enumerate(line):
            place = min(x + shift, width - 0.5) / width, min(y + shift, height - 0.5) / height  # the pad ends there
            page.mouse.move(box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"])
            if not i:
                page.mouse.down()
        page.mouse.up()


def _answers(page: Page, lines: list[Line], shift: float) -> list[int]:
    draw(page, lines, shift=shift)
    found: list[int] = page.evaluate(_READ)
    return found


def _share(is_so: np.ndarray) -> float:
    return 100 * float(is_so.mean())
