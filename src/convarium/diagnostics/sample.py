"""The images on which a network is looked at from inside, and the look itself."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from convarium.data.batches import Batches
from convarium.data.splits import Splits
from convarium.data.transforms import normalization
from convarium.models.modes import evaluating
from convarium.recipes.recipe import Recipe
from convarium.seeding import derive_seed

IMAGES, FEWEST = 256, 16
_PIXELS = 2**18
"""That a sample has at most, unless it has the fewest images: 256 of 32×32 pixels, 16 of 224×224."""


def training_sample(recipe: Recipe, splits: Splits) -> tuple[Tensor, Tensor]:
    """The first training images of the recipe's seed, preprocessed as it says but not augmented, and their labels.

    Returns:
        (n, c, h, w) float32 and (n,) int64; n is 256, less of large images.
    """
    image = splits.train.spec
    size = min(IMAGES, len(splits.train), max(FEWEST, _PIXELS // (image.height * image.width)))
    mean, std = normalization(recipe.normalize, splits)
    batches = Batches(
        splits.train,
        batch_size=size,
        mean=mean,
        std=std,
        shuffle_seed=derive_seed(recipe.seed, "shuffle"),
        device="cpu",
    )
    return next(iter(batches.epoch(0)))


def show(network: nn.Module, images: Tensor, hooks: Iterable[RemovableHandle]) -> None:
    """Shows a network images as it evaluates them, once, with hooks that are taken off afterwards."""
    try:
        with evaluating(network), torch.no_grad():
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
