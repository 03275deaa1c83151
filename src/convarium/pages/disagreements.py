"""What one network gets right and the other wrong, with the very images where they are at hand."""

from dataclasses import dataclass

import numpy as np

from convarium.analysis.comparison import Comparison
from convarium.data.splits import ImageData
from convarium.errors import ConvariumError
from convarium.pages.pictures import data_uri
from convarium.pages.predictions import Contested, Predictions, contested, votes


@dataclass(frozen=True)
class Picture:
    """One test image that divides two networks.

    Attributes:
        number: its index in the test split.
        true: its class.
        this, baseline: what the runs of either take it for: "7 in 4 of 5 runs, 1 in 1".
        source: a data URI; None where the images are not at hand.
    """

    number: int
    true: str
    this: str
    baseline: str
    source: str | None


@dataclass(frozen=True)
class Duel:
    """A row against the baseline: shares of the test images, and the images that favour either side."""

    shares: Contested
    won: tuple[Picture, ...]
    lost: tuple[Picture, ...]


def duels(comparison: Comparison, predictions: Predictions | None, images: ImageData | None = None) -> tuple[Duel, ...]:
    """Every row against the baseline; none where there are no predictions or no baseline.

    Raises:
        ConvariumError: `images` are not those that the runs were scored on.
    """
    if predictions is None or comparison.baseline is None:
        return ()
    if images is not None and not np.array_equal(images.labels.numpy(), predictions.labels):
        raise ConvariumError(
            "images are not the test images that these runs were scored on",
            expected=f"{len(predictions.labels)} images with the labels of the stored predictions",
            received=f"{len(images)} images",
            hint=f"give the test split of {comparison.dataset}",
        )
    baseline = comparison.baseline

    def picture(label: str, number: int) -> Picture:
        true = predictions.class_names[predictions.labels[number]]
        source = None if images is None else data_uri(images.images[number].numpy())
        return Picture(number, true, _told(predictions, label, number), _told(predictions, baseline, number), source)

    return tuple(
        Duel(found, *(tuple(picture(found.label, number) for number in side) for side in found.images))
        for found in contested(predictions, baseline)
    )


def _told(predictions: Predictions, label: str, number: int) -> str:
    found = votes(predictions, label, number)
    runs = sum(count for _, count in found)
    if runs == 1:
        return found[0][0]
    return ", ".join(f"{name} in {count} of {runs}" for name, count in found[:2])
