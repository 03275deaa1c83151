"""What the diagnostics measure, as numbers and arrays. A page is drawn from these without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class LayerGradient:
    """The gradient of one layer's weights.

    Attributes:
        depth: number of the layer, counted from the image, from 1.
        name: name of the layer's module.
        norm: Euclidean norm of the gradient.
        rms: root mean square of the gradient over the layer's weights.
    """

    depth: int
    name: str
    norm: float
    rms: float


@dataclass(frozen=True)
class UnitActivity:
    """How many units behind one activation pass no gradient on. A unit is a channel, or a feature of a linear layer.

    Attributes:
        depth: number of the activation, counted from the image, from 1.
        name: name of the activation's module.
        activation: its kind: relu, sigmoid, …
        units: number of units that pass through it.
        inactive_units: number of units that are inactive on every image, at every position.
        inactive_outputs: share of all outputs that are inactive, as a fraction of 1.
        kind: what an inactive unit of this activation is called.
    """

    depth: int
    name: str
    activation: str
    units: int
    inactive_units: int
    inactive_outputs: float
    kind: Literal["dead", "saturated"]


@dataclass(frozen=True, eq=False)
class LossSurface:
    """The mean cross-entropy, in nats, on a square of the plane that two directions span through the weights.

    Attributes:
        offsets: (size,), offsets along either direction in lengths of the filters; the middle one is 0, the weights.
        losses: (size, size): losses[i, j] is at offsets[i] along the first and offsets[j] along the second direction.
        image_count: number of images that each loss is the mean over.
    """

    offsets: np.ndarray
    losses: np.ndarray
    image_count: int

    @property
    def center(self) -> float:
        """The loss at the weights themselves."""
        middle = len(self.offsets) // 2
        return float(self.losses[middle, middle])


@dataclass(frozen=True, eq=False)
class Filters:
    """The filters of a network's first layer.

    Attributes:
        layer: name of the layer.
        weights: (shown, c, h, w): a convolution's kernels, or a linear layer's weights as one image for each unit.
        total: number of filters that the layer has.
    """

    layer: str
    weights: np.ndarray
    total: int


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """The output of one layer for one image.

    Attributes:
        layer: name of the layer.
        maps: (shown, h, w), the first channels.
        total: number of channels that the layer has.
    """

    layer: str
    maps: np.ndarray
    total: int


@dataclass(frozen=True, eq=False)
class AugmentedImages:
    """A few training images before and after augmentation.

    Attributes:
        augment: the recipe's `augment`.
        images: (n, c, h, w) uint8, the images without augmentation.
        augmented: (n, times, c, h, w) uint8, each image as training may show it in different epochs.
    """

    augment: str
    images: np.ndarray
    augmented: np.ndarray


Method = Literal["saliency", "grad_cam", "occlusion"]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which pixels of an image the logit or the probability of a class depends on, by one method.

    Attributes:
        method: see `explain`.
        target: number of the class.
        layer: of Grad-CAM, the path of the convolution; None elsewhere.
        heat: (h, w), 0 or more; of Grad-CAM in the size of the convolution's output.
    """

    method: Method
    target: int
    layer: str | None
    heat: np.ndarray

    @property
    def limits(self) -> str:
        """What the method does not show, in a sentence."""
        return LIMITS[self.method]


LIMITS: dict[Method, str] = {
    "saliency": "It does not show whether a pixel speaks for the class or against it, nor what large changes would do.",
    "grad_cam": "It does not show what lowers the logit, nor details smaller than this layer's pixels.",
    "occlusion": "It does not show what two places do together; the square itself is something new to the network.",
}


@dataclass(frozen=True, eq=False)
class ExplainedImage:
    """A test image, what a network answers, and for which pixels.

    Attributes:
        number: its index in the split that the network was scored on.
        image: (c, h, w) uint8.
        true, answer: its class, and the class with the largest logit, which is explained.
        explanations: one by each method that the network has.
    """

    number: int
    image: np.ndarray
    true: str
    answer: str
    explanations: tuple[Explanation, ...]


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The diagnostics of one run.

    Attributes:
        label: label of the comparison's row that the run represents.
        seed: the run's seed.
        initial, final: the gradients at the initial weights, empty where the run started from others than random ones,
            and at the stored weights.
        activity: inactive units at the stored weights.
        surface: the loss around the stored weights.
        filters: the filters of the first layer; None if they cannot be drawn.
        image: (c, h, w) uint8, the training image that `maps` are computed from.
        maps: feature maps of some layers; empty if no layer keeps rows and columns.
        augmented: None if the recipe does not augment.
        image_count: number of training images that gradients and units are measured on.
        explained: test images, the same for all networks that are diagnosed together, those on which they disagree
            first.
    """

    label: str
    seed: int
    initial: tuple[LayerGradient, ...]
    final: tuple[LayerGradient, ...]
    activity: tuple[UnitActivity, ...]
    surface: LossSurface
    filters: Filters | None
    image: np.ndarray
    maps: tuple[FeatureMaps, ...]
    augmented: AugmentedImages | None
    image_count: int
    explained: tuple[ExplainedImage, ...] = ()


@dataclass(frozen=True)
class MissingDiagnosis:
    """A row without diagnostics, and the reason as a sentence without its full stop."""

    label: str
    reason: str


Diagnoses = Sequence[Diagnosis | MissingDiagnosis]
"""What `diagnose` returns: one entry for each row of a comparison."""
