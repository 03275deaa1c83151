"""When a network answers 'unknown': a threshold on its largest probability, by split conformal prediction.

An image is answered if its largest probability is at least the k-th smallest of n calibration images, with
k = ⌊(n + 1)(1 − coverage)⌋. If the image and the calibration images come from the same source, in any order equally
likely, it is answered with a probability of at least `coverage` (Vovk, Gammerman and Shafer, Algorithmic Learning in a
Random World, 2005, chapter 4; Angelopoulos and Bates, A Gentle Introduction to Conformal Prediction, 2021). Of images
of other classes the rule promises nothing: a network may be sure of a stranger.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convarium.errors import ConvariumError

LEAST_IMAGES = 100
"""Calibration images without which there is no threshold."""

SPLITS = 500
"""Random halves over which the coverage is measured."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class UnknownRule:
    """When an image is answered, and when it is 'unknown'.

    Attributes:
        threshold: the largest probability from which on an image is answered.
        coverage: the share of images of the known classes that is to be answered.
        n: calibration images.
        measured: the share of calibration images that was answered, on average over 500 random halves of them, when the
            threshold came from the other half.
        low, high: between which nine in ten of these halves lay.
        source: which images these were: "test images".
    """

    threshold: float
    coverage: float
    n: int
    measured: float
    low: float
    high: float
    source: str = "test images"

    def answers(self, probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """Whether images are answered: (n, classes) → (n,)."""
        known: npt.NDArray[np.bool_] = probabilities.max(axis=1) >= self.threshold
        return known


def probabilities_of(logits: npt.NDArray[np.floating]) -> Floats:
    """Softmax in float64, so that two sure answers are still told apart: (n, classes) → (n, classes)."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def check_coverage(coverage: float) -> None:
    """Checks the share of images that is to be answered.

    Raises:
        ConvariumError: it is not between ½ and 1.
    """
    if not 0.5 <= coverage < 1:
        raise ConvariumError(
            f"coverage={coverage:g} is out of range", expected="0.5 to 0.999", hint="use --coverage 0.95"
        )


def calibrate(probabilities: npt.NDArray[np.floating], coverage: float = 0.95, *, source: str) -> UnknownRule:
    """The rule by which at least `coverage` of the images of the known classes are answered.

    Args:
        probabilities: (n, classes), of images that neither trained nor selected the network.
        coverage: the share of them that is to be answered, 0.5 to below 1.
        source: which images they are, in the plural: "test images".

    Raises:
        ConvariumError: there are fewer than 100 images, or too few for this coverage.
    """
    check_coverage(coverage)
    n = len(probabilities)
    if n < LEAST_IMAGES:
        raise ConvariumError(
            f"--unknown cannot be calibrated on {n} {source}",
            expected=f"at least {LEAST_IMAGES} that selected nothing",
            hint="leave --unknown out, and judge by the probabilities",
        )
    if _rank(n, coverage) < 1:
        most = n / (n + 1)
        raise ConvariumError(
            f"coverage={coverage:g} cannot be promised from {n} {source}",
            expected=f"at most {math.floor(most * 1000) / 1000:g}",
            hint="use a lower --coverage",
        )
    confidences = probabilities.max(axis=1).astype(np.float64)
    shares = coverages(confidences, coverage)
    low, high = np.quantile(shares, [0.05, 0.95])
    threshold = threshold_of(confidences, coverage)
    return UnknownRule(threshold, coverage, n, float(shares.mean()), float(low), float(high), source)


def threshold_of(confidences: Floats, coverage: float) -> float:
    """The largest probability from which on images are answered; minus infinity where there are too few to say.

    Args:
        confidences: (n,), the largest probability of each calibration image.
        coverage: the share of images that is to be answered.
    """
    rank = _rank(len(confidences), coverage)
    return float(np.partition(confidences, rank - 1)[rank - 1]) if rank else -math.inf


def coverages(confidences: Floats, coverage: float, *, splits: int = SPLITS) -> Floats:
    """The share of one half of the images that is answered, when the threshold comes from the other half.

    Args:
        confidences: (n,), the largest probability of each image.
        coverage: the share of images that is to be answered.
        splits: how often the images are divided at random, always in the same way.

    Returns:
        (splits,)
    """
    generator, half = np.random.default_rng(0), len(confidences) // 2
    shares = np.empty(splits)
    for number in range(splits):
        mixed = generator.permutation(confidences)
        shares[number] = (mixed[half:] >= threshold_of(mixed[:half], coverage)).mean()
    return shares


def _rank(n: int, coverage: float) -> int:
    """Returns k = ⌊(n + 1)(1 − coverage)⌋; (99 + 1)(1 − 0.95) is 5, although 1 − 0.95 is more than 0.05 in float64."""
    return math.floor(round((n + 1) * (1 - coverage), 9))
