"""What to try on images that nothing is known of: networks, the size of the images, and how they are trained."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from convarium.data.folder_options import FolderOptions, is_own
from convarium.data.median_size import median_size
from convarium.data.splits import Splits
from convarium.errors import ImageSizeError
from convarium.models.build import check_image
from convarium.recipes.recipe import Recipe
from convarium.records import ImageSpec
from convarium.studies.events import StudyEvent
from convarium.studies.plan import reading_events
from convarium.studies.resources import Resources

NETWORKS = (
    "lenet",
    "residual_cnn",
    "vgg(width_divisor=8)",
    "mnist_resnet",
    "resnet(depth=8)",
    "preact_resnet(depth=8)",
    "vgg(width_divisor=4)",
    "alexnet(width_divisor=4)",
    "resnet",
    "googlenet",
    "densenet(depth=16)",
)
"""Small networks of every kind, the quickest first."""

ON_GPU = ("resnet(depth=56)", "densenet(depth=40)", "vgg", "resnet18")
"""Larger ones, for which a GPU has the time."""

SIDES = (28, 32, 48, 64)
SIDES_ON_GPU = (*SIDES, 96, 128)
"""Pixels of square images: those that networks were made for, and those for which a GPU has the time."""

_LONGEST_STEPS = 6000
"""Training steps of the longest runs, where that is between 10 and 60 epochs."""


def usual_recipe(
    resources: Resources,
    fields: Mapping[str, Any],
    device: torch.device,
    *,
    on_event: Callable[[StudyEvent], None] | None = None,
) -> dict[str, Any]:
    """The recipe fields for images that nothing is known of; those that are given stay as they are.

    Adam with the one-cycle schedule learns with every network of the zoo without a search for its learning rate.

    Args:
        resources: the data sets.
        fields: recipe fields that are given.
        device: on which networks train.
        on_event: called while data are downloaded or images are decoded.

    Raises:
        ConvariumError: a field that does not exist or does not fit the data.
    """
    chosen = dict(fields)
    dataset = chosen.get("dataset", Recipe.dataset)

    def read() -> Splits:
        recipe = Recipe(**chosen)
        return resources.splits(recipe, on_event=reading_events(recipe, 1, on_event))

    if "resize" not in chosen and is_own(dataset):
        names = {field.name for field in dataclasses.fields(FolderOptions)} & set(chosen)
        size = (
            median_size(dataset, FolderOptions(**{name: chosen[name] for name in names}))
            or read().train.images.shape[-2:]
        )
        chosen["resize"] = usual_side(*size, on_gpu=device.type != "cpu")
    if not {"optimizer", "momentum", "nesterov"} & set(chosen):
        chosen = {"optimizer": "adam", "learning_rate": 0.001} | chosen
    if not {"schedule", "warmup"} & set(chosen):
        chosen["schedule"] = "one_cycle"
    images = len(read().train)
    chosen.setdefault("batch_size", usual_batch(images))
    chosen.setdefault("epochs", min(60, max(10, math.ceil(_LONGEST_STEPS * chosen["batch_size"] / images))))
    return chosen


def usual_side(height: int, width: int, *, on_gpu: bool = False) -> int | None:
    """The side in pixels to which images are brought; None: they stay as they are.

    Square images from 28 pixels on stay, as far as there is time for their size; of the others it is the nearest of a
    few sides.

    Args:
        height: the median of the images.
        width: likewise.
        on_gpu: whether a GPU trains, which has the time for larger images.
    """
    sides = SIDES_ON_GPU if on_gpu else SIDES
    if height == width and sides[0] <= height <= sides[-1]:
        return None
    return min(sides, key=lambda side: abs(math.log(side / math.sqrt(height * width))))


def usual_batch(images: int) -> int:
    """The images in a step: about a sixteenth of the training images, a power of two from 8 to 64.

    It is a little smaller where a last batch of one image would be left, which batch norm cannot take.
    """
    size: int = min(images, 64, 2 ** int(math.log2(max(8, images / 16))))
    while size > 2 and images % size == 1:
        size -= 1
    return size


def shortlist(image: ImageSpec, device: torch.device) -> list[str]:
    """Networks for images of a size, the quickest first.

    Args:
        image: the images as the networks take them.
        device: on which they train; a GPU has the time for larger ones.
    """
    return [name for name in (*NETWORKS, *(ON_GPU if device.type != "cpu" else ())) if _takes(name, image)]


def _takes(network: str, image: ImageSpec) -> bool:
    try:
        check_image(network, image)
    except ImageSizeError:
        return False
    return True
