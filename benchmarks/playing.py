"""What the measurements of `convarium play` share: trained networks, and a page in a browser."""

import base64
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from playwright.sync_api import Page, sync_playwright

import convarium

FOLDER = Path(tempfile.gettempdir()) / "convarium-play"
"""A store, which stays where temporary files are, so that another measurement need not train anew."""
HOW = {"optimizer": "adam", "learning_rate": 0.001, "store": FOLDER, "seeds": 1, "epochs": 1}
TEN = (
    "memory_mlp(hidden=64)", "lenet", "lenet(activation='tanh')", "lenet(activation='sigmoid')", "residual_cnn",
    "mnist_resnet", "plain(depth=8)", "resnet(depth=8)", "preact_resnet(depth=8)", "densenet(depth=10)",
)  # fmt: skip
"""Ten small networks, which answer each stroke."""
ASK = """async ([member, data]) => {
  const pixels = Interpreter.bytesOf(data), form = Play.forms[Play.formOf(member)];
  const size = form.channels * form.height * form.width;
  const inputs = Array.from({ length: pixels.length / size },
    (_, i) => Preprocess.normalized(pixels.subarray(i * size, (i + 1) * size), form));
  return (await Engine.many(member, inputs)).map((logits) => Array.from(logits));
}"""
"""The logits of images, of whose levels the page is given the bytes."""


def ten_networks() -> str:
    """The name of a study of TEN after an epoch of MNIST, through which the rate falls to 0: else some stay far off."""
    how = HOW | {"learning_rate": 0.003, "schedule": "cosine", "batch_size": 128}
    convarium.compare(list(TEN), dataset="mnist", name="ten", **how)
    return "ten"


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


def as_base64(images: torch.Tensor) -> str:
    """The bytes of images (n, c, h, w) uint8."""
    return base64.b64encode(images.contiguous().numpy().tobytes()).decode()
