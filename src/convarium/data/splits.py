"""Data sets as tensors, and how they are divided into train, validation and test."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from convarium.data.folder_options import is_own
from convarium.data.image_files import ImageForm
from convarium.data.sources import DIVISION_SEED
from convarium.errors import DataError
from convarium.notebook import html_table
from convarium.records import ImageSpec

_NAMED = 20
"""Classes that are named where a data set shows itself."""

_AT_ONCE = 2**22
"""Pixels that are counted at once; each takes eight bytes meanwhile."""


@dataclass(frozen=True, eq=False, repr=False)
class ImageData:
    """Labeled images.

    Attributes:
        images: (n, c, h, w) uint8.
        labels: (n,) int64.
        class_names: the name of each class, in the order of the labels.
        resize: side in pixels that `Batches` brings the images to, square; None: as they are. The stored images stay
            small, since 60,000 of 224×224 would take 3 GB.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    resize: int | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"ImageData({_described(self)})"

    @property
    def spec(self) -> ImageSpec:
        """The images that a network trained on this data takes, resizing included."""
        _, channels, height, width = self.images.shape
        return ImageSpec(channels, self.resize or height, self.resize or width, len(self.class_names))

    def take(self, indices: Tensor) -> "ImageData":
        """The images at `indices`, in that order."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])


@dataclass(frozen=True, eq=False)
class UndividedData:
    """A data set as it was read, from which `divide` makes splits.

    Attributes:
        validation: the validation split, if the data set was divided as it was read; None: it is held out of `train`.
        held_out: how many images of `train` are held out unless a recipe says otherwise.
        digest, notes, form, unreadable, passed_over: as in `Splits`.
    """

    dataset: str
    train: ImageData
    validation: ImageData | None
    test: ImageData
    held_out: int
    digest: str
    notes: tuple[str, ...] = ()
    form: ImageForm | None = None
    unreadable: int = 0
    passed_over: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class Splits:
    """The three parts of a data set. `validation` may be empty; `test` is the publisher's own, or empty by choice.

    Attributes:
        digest: identifies the content of all images and labels, 64 hexadecimal digits; see `Dataset.digest`.
        mean, std: of the pixels of `train` by channel, on a scale where white is 1.
        notes: sentences about what a user may not expect of these images, to be shown before training.
        form: in which image files were read; None for published images.
        unreadable: how many images were left out since they cannot be read.
        passed_over: how many files of a folder were passed over that are no images.
    """

    dataset: str
    train: ImageData
    validation: ImageData
    test: ImageData
    digest: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    notes: tuple[str, ...] = ()
    form: ImageForm | None = None
    unreadable: int = 0
    passed_over: int = 0

    def __repr__(self) -> str:
        sizes = f"train={len(self.train):,}, validation={len(self.validation):,}, test={len(self.test):,}"
        return f"Splits({self.dataset!r}, {sizes}: {_described(self.train)})"

    def _repr_html_(self) -> str:
        """The splits with their numbers of images: what a notebook shows."""
        rows = []
        for name, part in (("training", self.train), ("validation", self.validation), ("test", self.test)):
            counts = torch.bincount(part.labels, minlength=len(part.class_names)).tolist()
            rows.append((name, f"{len(part):,}", f"{min(counts):,}", f"{max(counts):,}"))
        columns = ("split", "images", "fewest of a class", "most of a class")
        sentence = f"{_described(self.train)}: {_some(self.train.class_names)}"
        return html_table(columns, rows, title=self.dataset, sentences=[sentence], notes=self.notes)


def _described(data: ImageData) -> str:
    """Number, size and classes of images: "1,438 images of 1×28×28 in 10 classes"."""
    spec = data.spec
    return f"{len(data):,} images of {spec.channels}×{spec.height}×{spec.width} in {spec.classes:,} classes"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")


def divide(data: UndividedData, *, validation: int | None = None, resize: int | None = None) -> Splits:
    """Divides a data set into train, validation and test; arguments and errors as for `load_data`."""
    check_resize(resize)
    if data.validation is not None:
        train, held_out = data.train, data.validation
    else:
        train, held_out = hold_out(data.train, data.held_out if validation is None else validation)
    check_images(train, f"the training split of {data.dataset}")
    if len(data.test) or not is_own(data.dataset):
        check_images(data.test, f"the test split of {data.dataset}")
    mean, std = statistics(train.images)
    notes = data.notes + contrast_notes(train.images, std)
    train, held_out, test = (replace(part, resize=resize) for part in (train, held_out, data.test))
    return Splits(
        data.dataset,
        train,
        held_out,
        test,
        data.digest,
        mean,
        std,
        notes,
        data.form,
        unreadable=data.unreadable,
        passed_over=data.passed_over,
    )


def check_resize(resize: int | None) -> None:
    """Checks the side in pixels that images are brought to.

    Raises:
        DataError: it is out of range.
    """
    if resize is not None and not 1 <= resize <= 1024:
        raise DataError(f"resize={resize} is out of range", expected="1 to 1024 pixels")


def check_images(data: ImageData, where: str) -> None:
    """Checks that images and labels fit together.

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
        raise DataError(f"{where} has no images", hint="add at least one image to each class")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise DataError(
            f"{where} has labels from {low} to {high}",
            expected=f"0 to {classes - 1}, for {classes} classes",
            hint="number the classes from 0 and name each of them",
        )


def hold_out(data: ImageData, validation: int) -> tuple[ImageData, ImageData]:
    """Divides a training split into train and validation, always in the same way.

    With 5,000 of CIFAR-10's 50,000 this is exactly the division of UvA tutorial 5.

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
    """Exact mean and standard deviation of the pixels by channel, on a scale where white is 1."""
    counts = np.zeros((images.shape[1], 256), dtype=np.int64)
    for chunk in torch.split(images, max(1, _AT_ONCE // images[:1].numel())):
        for channel, pixels in enumerate(chunk.unbind(1)):
            counts[channel] += np.bincount(pixels.numpy().ravel(), minlength=256)
    levels = np.arange(256) / 255
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ levels
    std = np.sqrt((share * (levels - mean[:, None]) ** 2).sum(axis=1))
    return tuple(mean.tolist()), tuple(std.tolist())


def contrast_notes(images: Tensor, std: tuple[float, ...]) -> tuple[str, ...]:
    """What to say of training images that cannot be told apart: all are equal, or a channel has one value throughout.

    Args:
        images: (n, c, h, w) uint8.
        std: of the pixels by channel.
    """
    if len(images) > 1 and not any(
        bool((chunk != images[:1]).any()) for chunk in torch.split(images, max(1, _AT_ONCE // images[:1].numel()))
    ):
        return (f"all {len(images):,} training images are equal: there is nothing to learn from them",)
    constant = [str(channel) for channel, deviation in enumerate(std) if deviation == 0]
    if not constant:
        return ()
    channels = f"channel {constant[0]} has" if len(constant) == 1 else f"channels {', '.join(constant)} have"
    return (f"{channels} one value in all pixels of the training images, and tells the network nothing",)
