"""Images and labels in a NumPy .npz file, under the names that Keras, MedMNIST and people give to the arrays."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convarium.data.folder_scan import shown
from convarium.data.readers import DAMAGED, Part
from convarium.errors import DataError

_NAMES = {
    "train": (("x_train", "y_train"), ("X_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"),
              ("x", "y"), ("X", "y"), ("data", "target"), ("data", "labels")),
    "validation": (("x_val", "y_val"), ("X_val", "y_val"), ("x_valid", "y_valid"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("X_test", "y_test"), ("test_images", "test_labels")),
}  # fmt: skip
"""The names of images and labels of each split; the first that a file has are taken."""

LARGEST = 2**33
"""Bytes of arrays that are read: a small file may unpack to more than memory holds."""


def read_npz(file: Path) -> tuple[dict[str, Part], tuple[str, ...], int | None]:
    """Reads the splits of a .npz file; nothing in it is run.

    Images (n, h, w), (n, h, w, c) or (n, c, h, w) become (n, c, h, w); values of more than 8 bits are read with the
    least usual white that none exceeds, as in image files. Labels may be numbers or texts.

    Returns:
        The parts by their split, the names of the classes, and the value of white; None for pixels of 8 bits.

    Raises:
        DataError: it is no .npz file, is too large, or has no arrays of images and labels.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST:
            raise DataError(f"{shown(file)} unpacks to {size / 2**30:.1f} GiB", expected=f"at most {LARGEST >> 30} GiB")
        with np.errstate(invalid="ignore"), np.load(file, allow_pickle=False) as arrays:  # of a shape beyond 64 bits
            pairs = {
                split: next((pair for pair in names if set(pair) <= set(arrays)), None)
                for split, names in _NAMES.items()
            }
            if pairs["train"] is None:
                raise DataError(
                    f"{shown(file)} holds {', '.join(list(arrays)[:8]) or 'nothing'}",
                    expected="x_train and y_train, and perhaps x_val, y_val, x_test and y_test; or images and labels",
                )
            raw = {split: (arrays[pair[0]], arrays[pair[1]]) for split, pair in pairs.items() if pair}
            named = [str(name) for name in arrays["class_names"]] if "class_names" in arrays else None
    except (*DAMAGED, NotImplementedError) as error:
        raise DataError(f"cannot read {shown(file)}: {error}", hint="save it again with numpy.savez") from error
    labels = {
        split: _labels(y, len(x) if x.ndim else 0, f"{split} labels of {shown(file)}") for split, (x, y) in raw.items()
    }
    known = np.unique(np.concatenate(list(labels.values()))).tolist()
    if known and isinstance(known[0], int) and (named or known[0] >= 0):
        names = named or [str(number) for number in range(known[-1] + 1)]
        if known[0] < 0 or known[-1] >= len(names) or len(names) > 10_000:
            raise DataError(
                f"{shown(file)} has labels from {known[0]} to {known[-1]}", expected=f"0 to {len(names) - 1}"
            )
        numbers = {split: y.astype(np.int64) for split, y in labels.items()}
    else:
        names = [str(name) for name in known]
        numbers = {split: np.searchsorted(known, y).astype(np.int64) for split, y in labels.items()}
    images, white = _eight_bits({split: x for split, (x, _) in raw.items()}, shown(file))
    return {split: (images[split], numbers[split]) for split in raw}, tuple(names), white


def _labels(values: npt.NDArray[Any], n: int, what: str) -> npt.NDArray[Any]:
    flat = values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values
    if flat.shape != (n,) or flat.dtype.kind not in "iuU" or n == 0:
        raise DataError(
            f"the {what} have the wrong form",
            expected=f"whole numbers or texts ({n},)",
            received=f"{values.dtype} {values.shape}",
        )
    return flat


def _eight_bits(splits: dict[str, npt.NDArray[Any]], file: str) -> tuple[dict[str, npt.NDArray[np.uint8]], int | None]:
    from convarium.data.image_files import levels_of, white_of

    for split, images in splits.items():
        form = images.shape[1:]
        if (
            images.ndim not in (3, 4)
            or images.dtype.kind not in "uif"
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
    white = white_of([(float(x.min()), float(x.max()), x.dtype.kind == "f") for x in splits.values()])
    return {split: _channels_first(levels_of(images, white)) for split, images in splits.items()}, white


def _channels_first(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[1] not in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images)
