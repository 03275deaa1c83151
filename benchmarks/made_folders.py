"""Folders of made images, for measurements that need many."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image


def make_folder(path: Path, n: int, *, side: int = 32, classes: int = 10, ending: str = "png") -> Path:
    """Writes n RGB images, one folder a class. Each class has a color of its own, under noise.

    Args:
        path: of the folder, which is made.
        n: images.
        side: of an image in pixels.
        classes: folders, with an equal number of images each.
        ending: of the files, png or jpg.
    """
    colors = np.random.default_rng(0).integers(60, 196, (classes, 3))
    for label in range(classes):
        (path / f"class{label}").mkdir(parents=True)

    def write(number: int) -> None:
        label = number % classes
        noise = np.random.default_rng(number).integers(-60, 60, (side, side, 3))
        pixels = (colors[label] + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path / f"class{label}" / f"{number:06}.{ending}")

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(write, range(n)):
            pass
    return path
