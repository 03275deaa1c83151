"""What an exported network is compared with the original by: its logits and its speed."""

import math
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from convarium.errors import RunError
from convarium.inference.export_formats import Predict

TOLERANCE = 1e-4
"""The largest difference between logits that is accepted, as a share of the largest logit."""
CHECKED_BATCHES = (1, 2, 7)
LATER_BATCHES = 32
IMAGES = sum(CHECKED_BATCHES) + 2 * LATER_BATCHES
"""Images that a network is checked on."""
LATENCY_BATCHES = (1, 32)
_TURNS, _SECONDS = 30, 3.0


@dataclass(frozen=True)
class Agreement:
    """How far an exported network answers as the original does.

    Attributes:
        images: how many were compared, in batches of 1, 2, 7 and more.
        largest_difference: between two logits, as a share of the largest logit.
        other_classes: images for which the two name another class.
    """

    images: int
    largest_difference: float
    other_classes: int


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one batch on this CPU, the median over turns that were taken in alternation.

    Attributes:
        batch: images.
        milliseconds: by the name of what was timed.
    """

    batch: int
    milliseconds: Mapping[str, float]


def check_agreement(network: Predict, exported: Predict, images: np.ndarray, *, name: str) -> Agreement:
    """Compares an exported network with the original, in batches of 1, 2, 7 and then 32 images.

    Args:
        network: the original, in float32 and evaluation mode.
        exported: what was written.
        images: (n, c, h, w) uint8, at least 10.
        name: what an error calls the exported network.

    Raises:
        RunError: a logit differs by more than `TOLERANCE` of the largest one; an image gets another class although the
            original's two largest logits lie further apart than twice that; or logits are not finite.
    """
    pairs = [(network(batch), exported(batch)) for batch in batches_of(images)]
    expected, received = (np.concatenate(logits).astype(np.float64) for logits in zip(*pairs, strict=True))
    if not np.isfinite(expected).all():
        hint = "train again, for example with a smaller learning rate"
        raise RunError("the network's logits are not finite, so there is nothing to export", hint=hint)
    hint = "nothing was written; another --format may do"
    if received.shape != expected.shape or not np.isfinite(received).all():
        wrong = f"{name} does not answer as the network: its logits are not finite or have another shape"
        raise RunError(wrong, expected=f"{expected.shape}", received=received.shape, hint=hint)
    largest, difference = float(np.abs(expected).max()), float(np.abs(received - expected).max())
    allowed = TOLERANCE * largest
    share = difference / largest if largest else math.inf * difference if difference else 0.0
    second, first = (
        np.sort(expected, axis=1)[:, -2:].T if expected.shape[1] > 1 else (expected[:, 0] - 1, expected[:, 0])
    )
    others = received.argmax(1) != expected.argmax(1)
    wrong_classes = int((others & (first - second >= 2 * allowed)).sum())
    if not difference <= allowed or wrong_classes:
        wrong = (
            f"{name} does not answer as the network: on {len(images):,} images a logit differs by {share:.1e} of the "
            f"largest logit, and {int(others.sum()):,} images get another class"
        )
        raise RunError(wrong, expected=f"at most {TOLERANCE:.0e}", hint=hint)
    return Agreement(len(images), share, int(others.sum()))


def measure_latency(contestants: Mapping[str, Predict], images: np.ndarray) -> tuple[Latency, ...]:
    """Times networks on batches of 1 and 32 images, in turns, after a turn that does not count.

    Args:
        contestants: by name.
        images: (n, c, h, w) uint8; they are repeated where there are fewer than 32.
    """
    return tuple(_latency(contestants, np.resize(images, (batch, *images.shape[1:]))) for batch in LATENCY_BATCHES)


def _latency(contestants: Mapping[str, Predict], images: np.ndarray) -> Latency:
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    end = time.perf_counter() + _SECONDS
    for turn in range(_TURNS + 1):
        for name, predict in contestants.items():
            start = time.perf_counter()
            predict(images)
            if turn:
                seconds[name].append(time.perf_counter() - start)
        if turn and time.perf_counter() > end:
            break
    return Latency(len(images), {name: 1000 * statistics.median(times) for name, times in seconds.items()})


def batches_of(images: np.ndarray) -> Iterator[np.ndarray]:
    """The images in batches of 1, 2, 7 and then 32, the last one smaller where they do not divide."""
    start, sizes = 0, iter(CHECKED_BATCHES)
    while start < len(images):
        size = next(sizes, LATER_BATCHES)
        yield images[start : start + size]
        start += size
