"""The mistakes of which one network was most confident, with the images where they are given."""

from dataclasses import dataclass

import numpy as np

from convarium.pages.disagreements import TestImages
from convarium.pages.pictures import thumbnail
from convarium.pages.predictions import Predictions

MOST_MISTAKES = 12
"""Number of mistakes that are shown of a network."""


@dataclass(frozen=True)
class Mistake:
    """A test image that a run classifies wrongly.

    Attributes:
        number: its index in the split.
        true, said: its class, and the class that the run predicts.
        true_probability, said_probability: what the run gives these classes, such as "98.2 %".
        source: the image as a data URI; None if the test images are not given.
    """

    number: int
    true: str
    said: str
    true_probability: str
    said_probability: str
    source: str | None


@dataclass(frozen=True)
class NetworkMistakes:
    """The mistakes of one run of a network.

    Attributes:
        label, seed: the network's row, and the seed of its first trained run, whose mistakes these are.
        wrong, images: how many images the run classifies wrongly, of how many.
        mistakes: those of which it was most confident, the most confident first.
    """

    label: str
    seed: int
    wrong: int
    images: int
    mistakes: tuple[Mistake, ...]


def confident_mistakes(
    predictions: Predictions | None, test_images: TestImages | None = None
) -> tuple[NetworkMistakes, ...]:
    """The most confident mistakes of the first trained run of each network.

    Args:
        predictions: the predictions of the runs; None: there are none.
        test_images: pixels and labels of the split that the runs were scored on.
    """
    if predictions is None:
        return ()
    names, labels = predictions.class_names, predictions.labels
    found = []
    for label, predicted in predictions.predicted.items():
        said, confidence = predicted[0], predictions.confidence[label][0]
        wrong = np.flatnonzero((said != labels) & np.isfinite(confidence))
        most = wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST_MISTAKES]
        mistakes = tuple(
            Mistake(
                number=int(i),
                true=names[labels[i]],
                said=names[said[i]],
                true_probability=probability(float(predictions.true_confidence[label][0][i])),
                said_probability=probability(float(confidence[i])),
                source=None if test_images is None else thumbnail(test_images[0][i]),
            )
            for i in most
        )
        found.append(NetworkMistakes(label, predictions.seeds[label][0], len(wrong), len(labels), mistakes))
    return tuple(found)


def probability(value: float) -> str:
    """A probability in per cent, never rounded to certainty: "98.2 %", "over 99.9 %", "under 0.1 %"."""
    if value >= 0.9995:
        return "over 99.9 %"
    return "under 0.1 %" if value < 0.0005 else f"{100 * value:.1f} %"
