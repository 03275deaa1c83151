"""Images as tensors, and their division into splits."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from convarium.errors import DataError
from convarium.records import ImageSpec

DIVISION_SEED = 42
"""Of the division into train and validation: UvA's own (source 004), and everyone's here."""


@dataclass(frozen=True, eq=False)
class ImageData:
    """Labeled images.

    Attributes:
        images: (n, c, h, w) uint8.
        labels: (n,) int64.
        class_names: one name a class, in the order of the labels.
        resize: side in pixels that `Batches` brings the images to, square; None: as they are. The stored images stay
            small, since 60,000 of 224×224 would take 3 GB.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    resize: int | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def spec(self) -> ImageSpec:
        """What a network must take to be trained on these images, resizing included."""
        _, channels, height, width = self.images.shape
        return ImageSpec(channels, self.resize or height, self.resize or width, len(self.class_names))

    def take(self, indices: Tensor) -> "ImageData":
        """The images at `indices`, in that order."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])


@dataclass(frozen=True, eq=False)
class Splits:
    """The three parts of a data set. `validation` may be empty; `test` is the publisher's own.

    Attributes:
        digest: stands for the content of all images and labels, 64 hexadecimal digits; see `Dataset.digest`.
        mean, std: of the pixels of `train` by channel, in units of 1 = white.
    """

    dataset: str
    train: ImageData
    validation: ImageData
    test: ImageData
    digest: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


def check_images(data: ImageData, where: str) -> None:
    """Looks whether images and labels fit together.

    Raises:
        DataError: shapes, types or labels are not those of `ImageData`, or a split is empty.
    """
    images, labels, classes = data.images, data.labels, len(data.class_names)
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataError(
            f"the images of {where} have the wrong form",
            expected="uint8 of shape (n, 1 or 3, height, width)",
            received=f"{images.dtype} {tuple(images.shape)}",
        )
    if labels.dtype != torch.int64 or labels.shape != (len(images),):
        raise DataError(
            f"the labels of {where} have the wrong form",
            expected=f"int64 of shape ({len(images)},)",
            received=f"{labels.dtype} {tuple(labels.shape)}",
        )
    if len(images) == 0:
        raise DataError(f"{where} has no images", hint="give it at least one image a class")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise DataError(
            f"{where} has labels from {low} to {high}",
            expected=f"0 to {classes - 1}, for {classes} classes",
            hint="number the classes from 0 and name every one",
        )


def divide(data: ImageData, validation: int) -> tuple[ImageData, ImageData]:
    """Divides a training split into train and validation, always in the same way.

    With 5,000 of CIFAR-10's 50,000 it is exactly the published division of source 004.

    Raises:
        DataError: nothing would be left to train on.
    """
    n = len(data)
    if not 0 <= validation < n:
        raise DataError(
            f"validation={validation} images cannot be held out of {n}",
            expected=f"0 to {n - 1}",
            hint="use --validation 0 to train on everything",
        )
    if validation == 0:
        return data, data.take(torch.arange(0))
    order = torch.randperm(n, generator=torch.Generator().manual_seed(DIVISION_SEED))
    return data.take(order[: n - validation]), data.take(order[n - validation :])


def content_digest(*parts: ImageData) -> str:
    """SHA-256 over the shapes, images and labels of train and test in the publisher's order, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(tuple(part.images.shape)).encode())
        digest.update(part.images.numpy().tobytes())
        digest.update(part.labels.numpy().astype("<i8").tobytes())
    return digest.hexdigest()


def statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the pixels by channel, in units of 1 = white; exact, since pixels are counted."""
    counts = np.zeros((images.shape[1], 256), dtype=np.int64)
    for chunk in torch.split(images, 256):
        for channel, pixels in enumerate(chunk.unbind(1)):
            counts[channel] += np.bincount(pixels.numpy().ravel(), minlength=256)
    levels = np.arange(256) / 255
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ levels
    std = np.sqrt((share * (levels - mean[:, None]) ** 2).sum(axis=1))
    return tuple(mean.tolist()), tuple(std.tolist())
