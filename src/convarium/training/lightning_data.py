"""A recipe's images in PyTorch Lightning: `ImageDataModule`, and how several devices divide a batch."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convarium.data.batches import Batches
from convarium.data.loading import load_data
from convarium.data.splits import ImageData, Splits
from convarium.errors import RecipeError
from convarium.models.build import trains_on_one_image
from convarium.recipes.recipe import Recipe
from convarium.records import ImageSpec
from convarium.training.engines import without_lightning
from convarium.training.scoring import scoring_batches
from convarium.training.state import TrainingRun
from convarium.training.trainer import check_batches, training_batches

try:
    from lightning.pytorch import LightningDataModule
except ModuleNotFoundError as error:
    raise without_lightning() from error

Batch = tuple[Tensor, Tensor]
"""Images (n, c, h, w) and labels (n,) int64; an image with the label PADDING is not counted."""

PADDING = -100
"""What `torch.nn.functional.cross_entropy` ignores by default."""


class ImageDataModule(LightningDataModule):  # type: ignore[misc]
    """The data set of a recipe, in the batches of `training.fit`: the same permutations and augmentations.

    Where several devices train, each makes every batch and takes its part of it. So `recipe.batch_size` is that of all
    devices together, and every image is used once: Lightning's own sampler repeats some images where they cannot be
    divided by the devices, which gives wrong accuracies.

    Args:
        recipe: names the data set, its division, the size of a batch and the augmentations.
        splits: from `load_data`; None: loaded when they are needed.
        data_dir: a data folder that is searched before all others.
    """

    def __init__(self, recipe: Recipe, splits: Splits | None = None, *, data_dir: str | Path | None = None) -> None:
        super().__init__()
        self.recipe, self.data_dir = recipe, data_dir
        self._splits = splits
        self.first = (0, 0)
        """Epoch and batch with which training begins, where it goes on that was interrupted."""

    @property
    def splits(self) -> Splits:
        """The images, loaded once.

        Raises:
            DataError: the data are missing or damaged.
        """
        if self._splits is None:
            names = ("validation", "resize", "fit", "ground", "groups", "skip_broken", "test")
            options = {name: getattr(self.recipe, name) for name in names}
            self._splits = load_data(self.recipe.dataset, data_dir=self.data_dir, **options)
        return self._splits

    @property
    def image(self) -> ImageSpec:
        """The images that a network takes."""
        return self.splits.train.spec

    @property
    def steps_per_epoch(self) -> int:
        """The batches of an epoch, of all devices together."""
        whole, rest = divmod(len(self.splits.train), self.recipe.batch_size)
        return whole + bool(rest and not self.recipe.drop_last)

    def prepare_data(self) -> None:
        """Downloads what is missing, in one process of each machine."""
        _ = self.splits

    def setup(self, stage: str) -> None:
        """Checks that the recipe fits its data.

        Raises:
            RecipeError: it does not, or a device would have a part of a batch that its network cannot be trained on.
        """
        if stage == "fit":
            check_batches(self.recipe, self.splits)
            check_parts(self.recipe, self.splits, devices=self.trainer.world_size)

    def train_dataloader(self) -> "PartsOfBatches":
        """The batches of the current epoch, shuffled and augmented."""
        return self._parts(training_batches(self._run()), is_training=True)

    def val_dataloader(self) -> "PartsOfBatches | list[Any]":
        """All validation images in their order; none where none are held out."""
        return self._scored(self.splits.validation)

    def test_dataloader(self) -> "PartsOfBatches | list[Any]":
        """All test images in their order; none where none are held out."""
        return self._scored(self.splits.test)

    def _run(self) -> TrainingRun:
        """The network, in whose dtype and memory format batches are made."""
        trainer = self.trainer
        return TrainingRun(self.recipe, self.splits, trainer.lightning_module, trainer.strategy.root_device)

    def _scored(self, data: ImageData) -> "PartsOfBatches | list[Any]":
        return self._parts(scoring_batches(self._run(), data)) if len(data) else []

    def _parts(self, batches: Batches, *, is_training: bool = False) -> "PartsOfBatches":
        return PartsOfBatches(batches, self.trainer.global_rank, self.trainer.world_size, self if is_training else None)


class PartsOfBatches:
    """The part of every batch that one device computes; the parts of all devices are the batches.

    Args:
        batches: of all devices together.
        rank, world_size: the device, counted from 0, and how many there are.
        module: says which epoch is trained; None: the batches are the same in every epoch.
    """

    def __init__(self, batches: Batches, rank: int, world_size: int, module: ImageDataModule | None = None) -> None:
        self.batches, self.rank, self.world_size, self.module = batches, rank, world_size, module
        self.taken, self._skipped = 0, 0

    def __len__(self) -> int:
        """How many there are in an epoch."""
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        """Yields the parts; a device for which a batch has no image gets all of its images as padding."""
        epoch, first = 0, self._skipped
        if self.module is not None:
            epoch = self.module.trainer.current_epoch
            first = max(first, self.module.first[1] if self.module.first[0] == epoch else 0)
        self.taken, self._skipped = first, 0
        for images, labels in self.batches.epoch(epoch, first=first):
            self.taken += 1
            begin, end = (len(labels) * rank // self.world_size for rank in (self.rank, self.rank + 1))
            if begin == end:
                yield images, torch.full_like(labels, PADDING)
            else:
                yield images[begin:end], labels[begin:end]

    def state_dict(self) -> dict[str, int]:
        """How far an epoch has come, for Lightning's checkpoints in the middle of one."""
        return {"taken": self.taken % len(self)}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Goes on after so many batches."""
        self._skipped = state["taken"]


def check_parts(recipe: Recipe, splits: Splits, *, devices: int) -> None:
    """Checks that no device has to train on a single image, where batch norm needs two.

    Raises:
        RecipeError: one has.
    """
    n, size = len(splits.train), recipe.batch_size
    last = 0 if recipe.drop_last else n % size
    smallest = min(batch // devices or batch for batch in (size, last) if batch)
    if devices > 1 and smallest == 1 and not trains_on_one_image(recipe.model, splits.train.spec):
        raise RecipeError(
            f"{recipe.model} cannot be trained on a single image, which is a device's part of a batch here",
            expected=f"two images or more for each of {devices} devices",
            hint="use another --batch-size, or --drop-last",
        )
