"""The test images on which all networks of a study are asked why, and what each method says of them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from convarium.data.batches import Batches
from convarium.data.splits import Splits
from convarium.data.transforms import normalization
from convarium.diagnostics.explanations import METHODS, explain
from convarium.diagnostics.results import ExplainedImage
from convarium.errors import ConvariumError
from convarium.metrics import disagreement
from convarium.recipes.recipe import Recipe
from convarium.runs.stored_run import StoredRun

_MOST_IMAGES, _MOST_ROWS = 4, 60
"""Images of a page, and images times networks, which bound its size."""
_MOST_FLOPS = 4e12
"""FLOPs of one network's explanations, unless there is one image: about a minute on a few cores."""
_SQUARES_A_SIDE = 5.6
"""Sides of a square for occlusion in the side of an image: 5 pixels of 28."""
_PASSES = 2 * (2 * _SQUARES_A_SIDE + 1) ** 2
"""About as many forward passes as the three methods take for an image: squares lie half a side apart."""


def pick_images(runs: Sequence[StoredRun]) -> tuple[int, ...]:
    """Chooses test images for all networks: those on which they disagree most, then the first ones.

    Args:
        runs: one of each network.

    Returns:
        Indices of the images, of which large networks get fewer; none unless all runs were scored on the same images
        and have their predictions.
    """
    try:
        stored = [run.predictions() for run in runs]
    except ConvariumError:  # A damaged file is named where it is read as such.
        return ()
    pairs = [pair for pair in stored if pair is not None]
    if not runs or len(pairs) < len(runs) or len({run.recipe.dataset for run in runs}) > 1:
        return ()
    labels = pairs[0][1]
    if any(not np.array_equal(labels, others) for _, others in pairs):
        return ()
    flops = max((run.outcome.cost.flops for run in runs if run.outcome.cost), default=1)
    n = min(_MOST_IMAGES, _MOST_ROWS // len(runs), int(_MOST_FLOPS / (_PASSES * max(1, flops))))
    spread = disagreement([logits.argmax(axis=1) for logits, _ in pairs])
    return tuple(int(i) for i in np.argsort(-spread, kind="stable")[: max(1, n)])


def explain_images(
    network: nn.Module, recipe: Recipe, splits: Splits, numbers: Sequence[int]
) -> tuple[ExplainedImage, ...]:
    """Asks a network for which pixels of each image it gives its answer, by every method that it has.

    Args:
        network: trained; it is left unchanged.
        recipe: decides the normalization.
        splits: the recipe's data.
        numbers: indices of images of the test split, or of the validation split where there is none.
    """
    if not numbers:
        return ()
    scored = splits.test if len(splits.test) else splits.validation
    mean, std = normalization(recipe.normalize, splits)
    data = scored.take(torch.tensor(numbers))
    images, labels = next(iter(Batches(data, batch_size=len(numbers), mean=mean, std=std).epoch(0)))
    scale, offset = (torch.tensor(v).reshape(-1, 1, 1) for v in (std, mean))
    has_convolution = any(isinstance(module, nn.Conv2d) for module in network.modules())
    methods = [method for method in METHODS if has_convolution or method != "grad_cam"]
    square = max(1, round(min(images.shape[2:]) / _SQUARES_A_SIDE))
    explained = []
    for number, image, label in zip(numbers, images, labels, strict=True):
        found = tuple(explain(network, image, method=method, square=square) for method in methods)
        pixels = (255 * (image * scale + offset)).round().clamp(0, 255).to(torch.uint8).numpy()
        names = scored.class_names
        explained.append(ExplainedImage(number, pixels, names[int(label)], names[found[0].target], found))
    return tuple(explained)
