"""What the augmentation does to a few images."""

from dataclasses import dataclass

import torch
from torch import Tensor

from convarium.data.batches import Batches
from convarium.data.splits import ImageData, Splits
from convarium.recipes.recipe import Recipe
from convarium.seeding import derive_seed

IMAGES, TIMES = 5, 7


@dataclass(frozen=True, eq=False)
class Augmented:
    """A few training images before and after.

    Attributes:
        law: the recipe's `augment`.
        images: (n, c, h, w) uint8, as they are.
        changed: (n, times, c, h, w) uint8, as a network may be shown them in one epoch and another.
    """

    law: str
    images: Tensor
    changed: Tensor


def augmented_samples(recipe: Recipe, splits: Splits, *, images: int = IMAGES, times: int = TIMES) -> Augmented | None:
    """Training images at even steps through the split, augmented as the recipe says; None where it does not augment."""
    if not Batches(splits.train, batch_size=1, augment=recipe.augment).augmentations:
        return None
    spread = torch.linspace(0, len(splits.train) - 1, min(images, len(splits.train))).long()
    data = splits.train.take(spread)
    seed = derive_seed(recipe.seed, "augment")
    changed = [_epoch(data, number, augment=recipe.augment, seed=seed) for number in range(times)]
    return Augmented(recipe.augment, _epoch(data, 0), torch.stack(changed, dim=1))


def _epoch(data: ImageData, number: int, *, augment: str = "none", seed: int = 0) -> Tensor:
    """All images in one batch, resized but not normalized: (n, c, h, w) uint8."""
    (batch,) = Batches(data, batch_size=len(data), augment=augment, augment_seed=seed).epoch(number)
    return (255 * batch[0]).round().clamp(0, 255).to(torch.uint8)
