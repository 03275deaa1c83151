"""Batches: the data set is on the training device, and an epoch is a permutation of it, cut into slices."""

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F

from convarium.data.augmentations import apply, draw
from convarium.data.splits import ImageData
from convarium.data.transforms import parse_augment
from convarium.errors import DataError
from convarium.seeding import derive_seed

_AT_ONCE = 2**18
"""Numbers: a megabyte in float32."""


class Batches:
    """Seeded batches of normalized images.

    Epoch e draws its order and its augmentations on the CPU, from generators that are seeded by (seed, purpose, e)
    alone: they are the same for every network and device, and a run that resumes within epoch e gives the same bits.

    Args:
        data: the images; all of them are moved to `device`.
        batch_size: images a batch.
        drop_last: leave out the last batch if it is smaller than the others.
        augment: see `transforms.parse_augment`; applied after resizing and before normalizing.
        mean, std: by channel, in units of 1 = white, or one for all.
        resize: side in pixels; None: that of `data`.
        shuffle_seed: of the order of the images; None: the order of `data`.
        augment_seed: of the random numbers of the augmentations.
        device: of the batches.
        channels_last: whether batches are laid out as (n, h, w, c) in memory; their shape stays (n, c, h, w).
        dtype: of the images in the batches.

    Raises:
        DataError: there would be no batch.
    """

    def __init__(
        self,
        data: ImageData,
        *,
        batch_size: int,
        drop_last: bool = False,
        augment: str = "none",
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        resize: int | None = None,
        shuffle_seed: int | None = None,
        augment_seed: int = 0,
        device: torch.device | str = "cpu",
        channels_last: bool = False,
        dtype: torch.dtype = torch.float32,
    ):
        if batch_size < 1 or (drop_last and batch_size > len(data)):
            raise DataError(
                f"batch_size={batch_size} leaves no batch of {len(data)} images",
                expected=f"1 to {len(data)}" if drop_last else "1 or more",
                hint=f"use --batch-size {len(data)} or less" if drop_last else None,
            )
        self.images = data.images.to(device)
        self.labels = data.labels.to(device)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.shuffle_seed, self.augment_seed = shuffle_seed, augment_seed
        self.resize = resize or data.resize
        self.augmentations = parse_augment(augment)
        self.channels_last = channels_last
        self.dtype = dtype
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        m, s = (torch.tensor(v, dtype=torch.float64).reshape(1, -1, 1, 1) for v in (mean, std))
        self.scale, self.shift = (1 / (255 * s)).to(wide).to(device), (-m / s).to(wide).to(device)

    def __len__(self) -> int:
        """Steps an epoch."""
        n = len(self.labels)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def epoch(self, number: int, *, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch: images (b, c, h, w) and labels (b,) int64.

        Args:
            number: of the epoch, from 0.
            first: the batch to begin with, from 0, where a run goes on that was interrupted.
        """
        order, drawn = self._order(number), self._drawn(number)
        size = self.batch_size
        end, together = min(len(self) * size, len(self.labels)), self._together() * size
        skipped = first % self._together()
        for start in range((first - skipped) * size, end, together):
            here = slice(start, min(start + together, end))
            # Indexing would copy single numbers on a CPU, where this copies rows and is ten times as fast.
            images = self.images[here] if order is None else self.images.index_select(0, order[here])
            labels = self.labels[here] if order is None else self.labels.index_select(0, order[here])
            images = self._resized(images)
            for augmentation, values in zip(self.augmentations, drawn, strict=True):
                images = apply(augmentation, images, values[here])
            # Not as views of one tensor, since a network in training may not change a view in place.
            batches = torch.unsafe_split(self._normalized(images), size)
            yield from islice(zip(batches, torch.split(labels, size), strict=True), skipped, None)
            skipped = 0

    def _together(self) -> int:
        """Batches that are made in one call, since with small ones the calls take longer than the work."""
        channels, height, width = self.images.shape[1:]
        pixels = self.resize**2 if self.resize else height * width
        return max(1, _AT_ONCE // (self.batch_size * channels * pixels))

    def _order(self, number: int) -> Tensor | None:
        if self.shuffle_seed is None:
            return None
        generator = torch.Generator().manual_seed(derive_seed(self.shuffle_seed, "shuffle", number))
        return torch.randperm(len(self.labels), generator=generator).to(self.images.device, non_blocking=True)

    def _drawn(self, number: int) -> list[Tensor]:
        """The random numbers of each augmentation for all images of an epoch, in the order of the epoch."""
        height, width = (self.resize, self.resize) if self.resize else self.images.shape[-2:]
        drawn = []
        for place, augmentation in enumerate(self.augmentations):
            generator = torch.Generator().manual_seed(derive_seed(self.augment_seed, f"augment/{place}", number))
            values = draw(augmentation, len(self.labels), (height, width), generator)
            drawn.append(values.to(self.images.device, non_blocking=True))
        return drawn

    def _resized(self, images: Tensor) -> Tensor:
        if self.resize is None or images.shape[-2:] == (self.resize, self.resize):
            return images
        pixels = images.to(self.scale.dtype)
        return F.interpolate(pixels, (self.resize, self.resize), mode="bilinear", antialias=True)

    def _normalized(self, images: Tensor) -> Tensor:
        batch = images.to(self.scale.dtype).mul_(self.scale).add_(self.shift).to(self.dtype)
        if not self.channels_last:
            return batch.contiguous()
        _, channels, height, width = batch.shape
        if channels == 1:
            # Memory is the same either way; the strides select the layout of the first and all later layers.
            return batch.contiguous().as_strided(batch.shape, (height * width, 1, width, 1))
        return batch.contiguous(memory_format=torch.channels_last)
