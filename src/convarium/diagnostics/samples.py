"""The training images that the diagnostics use, augmented samples of them, and a forward pass with hooks."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from convarium.data.batches import Batches
from convarium.data.splits import ImageData, Splits
from convarium.data.transforms import normalization
from convarium.diagnostics.results import AugmentedImages
from convarium.models.modes import evaluating
from convarium.recipes.recipe import Recipe
from convarium.seeding import derive_seed

SAMPLE_SIZE, LEAST_SAMPLE_SIZE = 256, 16
_MOST_PIXELS = 2**18
"""Pixels that a sample may have unless it has the least size: 256 images of 32×32 pixels, 16 of 224×224."""


def training_sample(recipe: Recipe, splits: Splits) -> tuple[Tensor, Tensor]:
    """The first training images in the order of the recipe's seed, normalized but not augmented, and their labels.

    Args:
        recipe: decides the order and the normalization.
        splits: the recipe's data.

    Returns:
        (n, c, h, w) float32 and (n,) int64; n is 256, or less if the images are large.
    """
    image = splits.train.spec
    size = min(SAMPLE_SIZE, len(splits.train), max(LEAST_SAMPLE_SIZE, _MOST_PIXELS // (image.height * image.width)))
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


def augmented_samples(recipe: Recipe, splits: Splits, *, images: int = 5, times: int = 7) -> AugmentedImages | None:
    """Some training images and how the recipe augments them.

    Args:
        recipe: decides the augmentation and its seed.
        splits: the recipe's data.
        images: number of images, taken at equal distances in the training split.
        times: number of augmented versions of each image.

    Returns:
        None if the recipe does not augment.
    """
    if not Batches(splits.train, batch_size=1, augment=recipe.augment).augmentations:
        return None
    indices = torch.linspace(0, len(splits.train) - 1, min(images, len(splits.train))).long()
    data = splits.train.take(indices)
    seed = derive_seed(recipe.seed, "augment")
    augmented = [_epoch(data, number, augment=recipe.augment, seed=seed) for number in range(times)]
    return AugmentedImages(recipe.augment, _epoch(data, 0).numpy(), torch.stack(augmented, dim=1).numpy())


def forward_once(network: nn.Module, images: Tensor, hooks: Iterable[RemovableHandle]) -> None:
    """Runs one forward pass in evaluation mode without gradients, and removes the hooks afterwards."""
    try:
        with evaluating(network), torch.no_grad():
            network(images)
    finally:
        for hook in hooks:
            hook.remove()


def _epoch(data: ImageData, number: int, *, augment: str = "none", seed: int = 0) -> Tensor:
    """All images of an epoch in one batch, resized but not normalized: (n, c, h, w) uint8."""
    (batch,) = Batches(data, batch_size=len(data), augment=augment, augment_seed=seed).epoch(number)
    return (255 * batch[0]).round().clamp(0, 255).to(torch.uint8)
