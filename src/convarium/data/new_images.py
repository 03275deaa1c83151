"""Labeled images that a network did not learn from, in the form of those that it did: the form is given, not decided.

They need not be divided, and need not have all classes. Of images that are divided, one split is read: of a folder with
`train/` and `test/`, of a CSV file with a column of splits, of a .npz file with test arrays, of a published data set.
Of others, all are read.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from convarium.data.csv_files import holds_pixels, read_pixel_csv, read_rows
from convarium.data.folder_options import is_own
from convarium.data.folder_scan import ImageFile, scan_folder, shown
from convarium.data.folder_splits import classes_in, split_of
from convarium.data.image_errors import unreadable
from convarium.data.image_files import ImageForm, decode, in_parallel, pixels_of
from convarium.data.labels import numbered
from convarium.data.npz_files import read_npz
from convarium.data.own_images import own_path
from convarium.data.readers import Part
from convarium.errors import DataError

T = TypeVar("T")

BATCH = 500
"""Images that are in memory at one time, where they are read from files."""

OnImages = Callable[[str, int, int], None]
"""Called with what is read, the number of images so far, and their number in all."""


@dataclass(frozen=True, eq=False)
class NewImages:
    """Labeled images, read a batch at a time.

    Attributes:
        class_names: of the classes that have images, in the order of the labels.
        n: how many images there are.
        is_divided: whether they are one split of several; else they are all that there is.
        batches: reads them: images (b, c, h, w) uint8, and labels (b,) int64.
        notes: sentences about what a user may not expect.
        broken: why files cannot be read, known once all batches were.
    """

    class_names: tuple[str, ...]
    n: int
    is_divided: bool
    batches: Callable[[], Iterator[Part]]
    notes: tuple[str, ...] = ()
    broken: dict[Path, str] = field(default_factory=dict)


def find_new_images(
    dataset: str,
    form: ImageForm,
    *,
    split: str = "test",
    data_dir: Path | str | None = None,
    skip_broken: bool = False,
    on_event: OnImages | None = None,
) -> NewImages:
    """Finds labeled images; those in files are listed, and read with `NewImages.batches`.

    Args:
        dataset: a name of DATASETS, or folder:PATH, csv:FILE or npz:FILE.
        form: in which they are read, whatever form they would have as a data set of their own.
        split: of those that are divided: "test", "validation" or "train".
        data_dir: a data folder that is searched before all others.
        skip_broken: leave out images that cannot be read.
        on_event: called as images are read.

    Raises:
        SpecError: no such data set.
        DataError: there are no images, they are divided and lack this split, or they cannot be read.
    """
    if not is_own(dataset):
        return _published(dataset, form, split, data_dir)
    path, kind = own_path(dataset), dataset.partition(":")[0]
    if kind == "npz":
        arrays = read_npz(path, white=form.white, needs_training=False)
        is_divided = set(arrays.parts) != {"train"}
        part = _chosen(arrays.parts, split if is_divided else "train", path)
        notes = [] if arrays.white in (None, form.white) else [f"pixels are read with {arrays.white:,} as white"]
        return _of_arrays(part, arrays.class_names, form, is_divided=is_divided, notes=notes)
    if kind == "csv" and holds_pixels(path):
        images, numbers = read_pixel_csv(path)
        class_names, labels = numbered({"all": numbers}, shown(path))
        return _of_arrays((images, labels["all"]), class_names, form, is_divided=False)
    notes = []
    if kind == "csv":
        found, is_divided, notes = read_rows(path)
        listed = _chosen({name: rows for name, rows in found.items() if rows}, split if is_divided else "train", path)
    else:
        listed, is_divided = _in_folder(path, split)
    names = tuple(sorted({name for _, name in listed}))
    number_of = {name: number for number, name in enumerate(names)}
    items = [(file, number_of[name]) for file, name in listed]
    broken: dict[Path, str] = {}
    read = partial(_read_files, items, form, broken=broken, skip_broken=skip_broken, on_event=on_event)
    return NewImages(names, len(items), is_divided, read, tuple(notes), broken)


def _published(dataset: str, form: ImageForm, split: str, data_dir: Path | str | None) -> NewImages:
    from convarium.data.loading import load_data

    data = getattr(load_data(dataset, data_dir=data_dir), split)
    if not len(data):
        raise DataError(f"{dataset} has no {split} images", hint="use --split test")
    return _of_arrays((data.images.numpy(), data.labels.numpy()), data.class_names, form, is_divided=True)


def _chosen(parts: dict[str, T], split: str, where: Path) -> T:
    if split not in parts:
        there = ", ".join(parts) or "no images"
        raise DataError(
            f"{shown(where)} has no {split} images", expected=there, hint=f"use --split {next(iter(parts), 'train')}"
        )
    return parts[split]


def _in_folder(path: Path, split: str) -> tuple[list[tuple[ImageFile, str]], bool]:
    """The images of one split of a folder, or of all its classes, with the names of the classes."""
    if not path.is_dir():
        raise DataError(
            f"there is no folder {shown(path)}", hint="write folder:PATH with the path of a folder of classes"
        )
    folder = scan_folder(path)
    splits = {
        found: sub
        for sub in folder.folders
        if (found := split_of(sub.name)) and any(below.has_images() for below in sub.folders)
    }
    if splits:
        folder = _chosen(splits, split, path)
    listed = [(file, name) for name, sub in classes_in(folder).items() for file in sub.all_images()]
    if not listed:
        raise DataError(
            f"{shown(folder.path)} has no classes",
            expected="a folder for each class, with images in it",
            hint="convarium predict RUN takes images without labels",
        )
    return listed, bool(splits)


def _read_files(
    items: Sequence[tuple[ImageFile, int]],
    form: ImageForm,
    *,
    broken: dict[Path, str],
    skip_broken: bool,
    on_event: OnImages | None,
) -> Iterator[Part]:
    broken.clear()
    images, labels = [], []
    decoded = in_parallel(partial(decode, form=form), [file.path for file, _ in items])
    for done, ((_, label), (path, result)) in enumerate(zip(items, decoded, strict=True), start=1):
        if isinstance(result, str):
            broken[path] = result
        else:
            images.append(result.pixels)
            labels.append(label)
        if len(images) == BATCH or (images and done == len(items)):
            yield np.stack(images), np.array(labels, dtype=np.int64)
            images, labels = [], []
        if on_event:
            on_event("images", done, len(items))
    if broken and (not skip_broken or len(broken) == len(items)):
        raise unreadable(broken, len(items))


def _of_arrays(
    part: Part, names: Sequence[str], form: ImageForm, *, is_divided: bool, notes: Sequence[str] = ()
) -> NewImages:
    images, labels = part
    used, numbers = np.unique(labels, return_inverse=True)
    read = partial(_read_arrays, images, numbers.astype(np.int64), form)
    return NewImages(tuple(names[number] for number in used.tolist()), len(labels), is_divided, read, tuple(notes))


def _read_arrays(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], form: ImageForm) -> Iterator[Part]:
    for start in range(0, len(labels), BATCH):
        part = images[start : start + BATCH]
        if part.shape[1:] != (form.channels, form.height, form.width):
            part = np.stack([pixels_of(_as_image(image), form) for image in part])
        yield np.ascontiguousarray(part), labels[start : start + BATCH]


def _as_image(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
