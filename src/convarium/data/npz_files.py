"""Images and labels in a NumPy .npz file, under the names that Keras, MedMNIST and people give to the arrays."""

import unicodedata
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convarium.data.folder_scan import shown
from convarium.data.labels import label_values, numbered
from convarium.data.readers import DAMAGED, Part
from convarium.errors import DataError

_NAMES = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"), ("x", "y"),
              ("data", "target"), ("data", "labels")),
    "validation": (("x_val", "y_val"), ("x_valid", "y_valid"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}  # fmt: skip
"""The names of images and labels of each split, in lower case; the first that a file has are taken."""

LARGEST = 2**33
"""Bytes of arrays that are read: a small file may unpack to more than memory holds."""


@dataclass(frozen=True, eq=False)
class NpzImages:
    """The images of a .npz file.

    Attributes:
        parts: of each split, images (n, c, h, w) uint8 and labels (n,) int64.
        class_names: in the order of the labels.
        white: the value of white; None for pixels of 8 bits.
        unused: names of arrays that are not read.
    """

    parts: dict[str, Part]
    class_names: tuple[str, ...]
    white: int | None
    unused: tuple[str, ...]


def read_npz(file: Path, *, white: int | None = None, needs_training: bool = True) -> NpzImages:
    """Reads the splits of a .npz file; nothing in it is run.

    Images (n, h, w), (n, h, w, c) or (n, c, h, w) become (n, c, h, w); values of more than 8 bits are read with the
    least usual white that none exceeds, as in image files. Labels may be
    what `label_values` takes.

    Args:
        file: to be read.
        white: of the images that a network has learned from, which values of more than 8 bits are then read with.
        needs_training: whether a file without training images is refused.

    Raises:
        DataError: it is no .npz file, is too large, or has no arrays of images and labels.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST:
            raise DataError(f"{shown(file)} unpacks to {size / 2**30:.1f} GiB", expected=f"at most {LARGEST >> 30} GiB")
        with np.errstate(invalid="ignore"), np.load(file, allow_pickle=False) as arrays:  # of a shape beyond 64 bits
            stored = {name.lower(): name for name in arrays}
            found = {
                split: next((pair for pair in names if set(pair) <= set(stored)), None)
                for split, names in _NAMES.items()
            }
            pairs = {split: pair for split, pair in found.items() if pair}
            if not pairs or (needs_training and "train" not in pairs):
                raise DataError(
                    f"{shown(file)} holds {', '.join(map(shown, list(arrays)[:8])) or 'nothing'}",
                    expected="x_train and y_train, and perhaps x_val, y_val, x_test and y_test; or images and labels",
                )
            used = {"class_names"}.union(*pairs.values())
            unused = tuple(shown(name) for key, name in stored.items() if key not in used)
            raw = {split: (arrays[stored[x]], arrays[stored[y]]) for split, (x, y) in pairs.items()}
            named = _class_names(arrays[stored["class_names"]]) if "class_names" in stored else None
    except FileNotFoundError as error:
        raise DataError(
            f"there is no file {shown(file)}", hint="write npz:FILE with the path of a .npz file"
        ) from error
    except (*DAMAGED, NotImplementedError) as error:
        raise DataError(f"cannot read {shown(file)}: {error}", hint="save it again with numpy.savez") from error
    where = shown(file)
    labels = {
        split: label_values(y, len(x) if x.ndim else 0, f"{split} labels of {where}") for split, (x, y) in raw.items()
    }
    class_names, numbers = numbered(labels, where, named)
    images, white = _eight_bits({split: x for split, (x, _) in raw.items()}, where, white)
    return NpzImages({split: (images[split], numbers[split]) for split in raw}, class_names, white, unused)


def _class_names(values: npt.NDArray[Any]) -> list[str]:
    names = label_values(values, values.size, "class names").astype(str).tolist()
    return [unicodedata.normalize("NFC", name) for name in names]


def _eight_bits(
    splits: dict[str, npt.NDArray[Any]], file: str, white: int | None
) -> tuple[dict[str, npt.NDArray[np.uint8]], int | None]:
    from convarium.data.white import white_of

    for split, images in splits.items():
        form = images.shape[1:]
        if (
            images.ndim not in (3, 4)
            or images.dtype.kind not in "buif"
            or (len(form) == 3 and not {form[0], form[2]} & {1, 3})
        ):
            raise DataError(
                f"the {split} images of {file} have the wrong form",
                expected="numbers of shape (n, h, w), (n, h, w, 1 or 3) or (n, 1 or 3, h, w)",
                received=f"{images.dtype} {images.shape}",
            )
    if all(images.dtype == np.uint8 for images in splits.values()):
        return {split: _channels_first(images) for split, images in splits.items()}, None
    for images in splits.values():
        if not np.isfinite(images).all():
            raise DataError(f"{file} has pixels that are not finite", hint="replace them")
    deep = [images for images in splits.values() if images.dtype != np.uint8]
    if white is None:
        white = white_of([(float(x.min()), float(x.max()), x.dtype.kind == "f") for x in deep])
    try:
        return {split: _channels_first(_levels(images, white)) for split, images in splits.items()}, white
    except ValueError as error:
        raise DataError(f"{file} has {error}", hint="save it with the range that the network was trained on") from error


def _levels(images: npt.NDArray[Any], white: int) -> npt.NDArray[np.uint8]:
    from convarium.data.white import checked_levels

    return images if images.dtype == np.uint8 else checked_levels(images, white)


def _channels_first(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[1] not in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images)
