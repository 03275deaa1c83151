"""Which test images one network classifies correctly and the other does not, with the images where they are given."""

from dataclasses import dataclass

import numpy as np

from convarium.analysis.comparison import Comparison
from convarium.errors import ConvariumError
from convarium.pages.pictures import thumbnail
from convarium.pages.predictions import Predictions

TestImages = tuple[np.ndarray, np.ndarray]
"""(n, c, h, w) uint8 pixels and (n,) integer labels of a test split."""


@dataclass(frozen=True)
class Shares:
    """How often a network and the baseline are correct on the same images, as fractions of 1 that sum to 1.

    Each share is the mean over all pairs of one run of the network and one run of the baseline.

    Attributes:
        label: the row that is compared with the baseline.
        images: indices of the test images on which the two differ most, in favor of the network and of the baseline.
    """

    label: str
    both: float
    only_this: float
    only_baseline: float
    neither: float
    images: tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class ContestedImage:
    """A test image that two networks classify differently.

    Attributes:
        number: its index in the test split.
        true: its class.
        this, baseline: what the runs of each network predict: "7 in 4 of 5, 1 in 1 of 5".
        source: the image as a data URI; None if the test images are not given.
    """

    number: int
    true: str
    this: str
    baseline: str
    source: str | None


@dataclass(frozen=True)
class Disagreement:
    """A network against the baseline: the shares, and the images in favor of the network and of the baseline."""

    shares: Shares
    for_this: tuple[ContestedImage, ...]
    for_baseline: tuple[ContestedImage, ...]


def disagreements(
    comparison: Comparison, predictions: Predictions | None, test_images: TestImages | None = None
) -> tuple[Disagreement, ...]:
    """Compares the predictions of every row with those of the baseline.

    Args:
        comparison: the comparison whose baseline is used.
        predictions: the predictions of its runs.
        test_images: pixels and labels of the test split that the runs were scored on.

    Returns:
        One entry for each row but the baseline; empty without predictions or without a baseline.

    Raises:
        ConvariumError: `test_images` are not the images that the runs were scored on.
    """
    if predictions is None or comparison.baseline is None:
        return ()
    if test_images is not None and not np.array_equal(test_images[1], predictions.labels):
        raise ConvariumError(
            "test_images are not the test images that these runs were scored on",
            expected=f"{len(predictions.labels)} images with the labels of the stored predictions",
            received=f"{len(test_images[1])} images",
            hint=f"give the test split of {comparison.dataset}",
        )
    baseline = comparison.baseline

    def contested_image(label: str, number: int) -> ContestedImage:
        return ContestedImage(
            number=number,
            true=predictions.class_names[predictions.labels[number]],
            this=_predicted(predictions, label, number),
            baseline=_predicted(predictions, baseline, number),
            source=None if test_images is None else thumbnail(test_images[0][number]),
        )

    return tuple(
        Disagreement(shares, *(tuple(contested_image(shares.label, i) for i in side) for side in shares.images))
        for shares in shares_correct(predictions, baseline, most_images=12 if len(predictions.predicted) <= 6 else 6)
    )


def shares_correct(predictions: Predictions, baseline: str, *, most_images: int = 12) -> tuple[Shares, ...]:
    """Compares every other row with the baseline, and picks at most `most_images` images in favor of each side."""
    if baseline not in predictions.predicted:
        return ()
    other = predictions.share_correct(baseline)
    shares = []
    for label in predictions.predicted:
        if label == baseline:
            continue
        this = predictions.share_correct(label)
        lead = this - other
        order = np.argsort(-lead, kind="stable")
        ahead = tuple(int(i) for i in order[:most_images] if lead[i] > 0)
        behind = tuple(int(i) for i in order[::-1][:most_images] if lead[i] < 0)
        both, first, second = (float(s.mean()) for s in (this * other, this * (1 - other), (1 - this) * other))
        shares.append(Shares(label, both, first, second, 1 - both - first - second, (ahead, behind)))
    return tuple(shares)


def _predicted(predictions: Predictions, label: str, image: int) -> str:
    """The classes that a row's runs predict for an image, the most frequent first, two at most."""
    classes, counts = np.unique(predictions.predicted[label][:, image], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    runs = int(counts.sum())
    if runs == 1:
        return predictions.class_names[int(classes[0])]
    return ", ".join(f"{predictions.class_names[int(classes[i])]} in {counts[i]} of {runs}" for i in order[:2])
