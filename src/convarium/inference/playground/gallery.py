"""Which test images the page shows, and how large and where the figures of a data set are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convarium.metrics import disagreement

IMAGES, SPLIT, QUIZ = 60, 30, 10
"""Test images of the page; how many of them are such that the networks disagree; and questions of the quiz."""
_SAMPLE = 2000
_INK = 51
"""Levels away from the ground from which on a pixel belongs to the figure: a fifth of white."""


@dataclass(frozen=True)
class Frame:
    """How figures lie in the images of a data set, so that drawings can be made alike.

    Attributes:
        box: the longest side of a figure in pixels, the median over images; None for images in color.
        is_dark: whether the ground is dark and the figure light.
        is_centered: whether the figures' centers of mass lie within a pixel of the images' centers, on average.
        brush: the width of a line in pixels.
    """

    box: float | None
    is_dark: bool
    is_centered: bool
    brush: float


def pick_images(predicted: Sequence[np.ndarray], labels: np.ndarray) -> tuple[list[int], int]:
    """Chooses test images: first those that split the networks most, then others, evenly over all.

    Args:
        predicted: (n,) the classes that each network predicts.
        labels: (n,).

    Returns:
        Indices of images, and how many of them, from the first on, split the networks.
    """
    spread = disagreement(predicted)
    order = np.argsort(-spread, kind="stable")
    split = [int(i) for i in order[:SPLIT] if spread[i] > 0]
    others = [i for i in range(len(labels)) if i not in set(split)]
    wanted = min(IMAGES - len(split), len(others))
    return split + [others[k * len(others) // wanted] for k in range(wanted)], len(split)


def frame_of(images: np.ndarray) -> Frame:
    """Measures where figures lie.

    Args:
        images: (n, c, h, w) uint8 of the data set; a part of them is looked at.
    """
    n, channels, height, width = images.shape
    default = Frame(None, is_dark=True, is_centered=False, brush=max(0.5, 2.2 * height / 28))
    if channels != 1 or not n:
        return default
    pixels = images[:: max(1, n // _SAMPLE), 0].astype(np.float32)
    edge = np.concatenate([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], axis=1)
    ground = float(np.median(edge))
    ink = np.abs(pixels - ground)
    is_figure = ink > _INK
    found = is_figure.any(axis=(1, 2))
    if not found.any():
        return default
    ink, is_figure = ink[found], is_figure[found]
    rows, columns = is_figure.any(axis=2), is_figure.any(axis=1)
    tall, wide = (_extent(present) for present in (rows, columns))
    mass = ink.sum(axis=(1, 2))
    y = (ink.sum(axis=2) * (np.arange(height) + 0.5)).sum(axis=1) / mass - height / 2
    x = (ink.sum(axis=1) * (np.arange(width) + 0.5)).sum(axis=1) / mass - width / 2
    area = ink.sum(axis=(1, 2)) / np.abs(255 - ground if ground < 128 else ground)
    outline = np.abs(np.diff(is_figure, axis=1)).sum(axis=(1, 2)) + np.abs(np.diff(is_figure, axis=2)).sum(axis=(1, 2))
    # A line of length l and width w has the area l·w and an outline of 2·l, which steps along pixels make 4/π as long.
    brush = float(np.median(2 * area / np.maximum(outline * np.pi / 4, 1)))
    box = float(np.median(np.maximum(tall, wide)))
    return Frame(
        box=box,
        is_dark=ground < 128,
        is_centered=bool(np.hypot(y, x).mean() < 1),
        brush=float(np.clip(round(4 * min(brush, box / 6)) / 4, 0.5, 6)),
    )


def _extent(present: np.ndarray) -> np.ndarray:
    """From the first to the last true value of each row: (n, size) → (n,)"""
    first = present.argmax(axis=1)
    last = present.shape[1] - present[:, ::-1].argmax(axis=1)
    extent: np.ndarray = last - first
    return extent
