"""The picture of docs/play.md and the README: ten small networks answer a drawn digit, and one of them is open."""

import io
from pathlib import Path

from PIL import Image
from playing import FOLDER, opened, ten_networks
from playwright.sync_api import Page

import convarium
from convarium.disk import write_file

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "play.png"
WIDTH, HEIGHT = 1200, 720
FACTOR = 1.8
"""The page is this much larger than its picture."""
COLORS = 256
"""Of the PNG, whose size they decide."""

DIGIT = [[(10, 6), (8, 13), (10, 14.5), (18, 14)], [(11, 6), (13, 5.6)], [(18.2, 5.5), (18, 13), (17, 23)]]
"""Between a 4 and a 9, in pixels of MNIST's images."""
LAYOUT = """
  main > header, #inside > p, .sides, .detail > p, #center-why, #answers > .tools, .network footer { display: none; }
  main { max-width: none; padding: 1.25rem 1.5rem 0; } section { margin-top: 1rem; } .bench > section { margin-top: 0; }
  .bench { gap: 1.5rem; } .networks { gap: 0.7rem; } .network { padding: 0.6rem 0.85rem; }
"""
"""What the picture leaves out, so that one screen has the drawing, the answers and the inside."""


def draw_picture() -> None:
    """Writes the picture anew."""
    page = convarium.play(ten_networks(), store=FOLDER).path
    size = {"width": round(WIDTH * FACTOR), "height": round(HEIGHT * FACTOR)}
    with opened(page) as view:
        view.set_viewport_size(size)
        _arrange(view)
        image = Image.open(io.BytesIO(view.screenshot()))
    small = image.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    write_file(
        PICTURE,
        lambda file: small.quantize(COLORS, kmeans=4, dither=Image.Dither.NONE).save(file, "PNG", optimize=True),
    )


def _arrange(view: Page) -> None:
    """Draws the digit, opens a stage of LeNet and points at a pixel of it."""
    view.click("#tab-draw")
    before = view.get_attribute("body", "data-answered")
    view.evaluate("(lines) => Drawing.set(lines)", DIGIT)
    view.wait_for_selector(f"body[data-answered]:not([data-answered='{before}'])")
    view.select_option("#inside-first", label="lenet")
    view.wait_for_selector(".walk h3:text('lenet')")
    view.locator("button.stage", has_text="6 → 16").click()
    canvas = view.locator(".detail .operation canvas[tabindex]").nth(3)
    canvas.focus()
    canvas.press("ArrowUp")
    view.add_style_tag(content=LAYOUT)
    canvas.press("ArrowLeft")
    view.evaluate("scrollTo(0, 0)")
    view.wait_for_timeout(1000)
