"""Images listed in a CSV file: either paths with labels, or the pixels themselves as Kaggle's MNIST has them.

path,label,split          split may be missing; paths are seen from the folder of the CSV file
images/1.png,cat,train
label,pixel0,…,pixel783   square gray images with values from 0 to 255
"""

import csv
import math
import os
import posixpath
import re
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from convarium.data.folder_options import FolderOptions
from convarium.data.folder_scan import ImageFile, endings, shown
from convarium.data.folder_splits import split_of
from convarium.data.listings import Listed, Listing, divided, without_test
from convarium.data.readers import Part
from convarium.errors import DataError

_COLUMNS = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "img_path",
             "image_name", "image_id", "id"),
    "label": ("label", "labels", "class", "class_name", "category", "target"),
    "split": ("split", "set", "subset", "partition"),
}  # fmt: skip
"""The names that people give to the columns, as `_plain` writes them; the first that a file has is taken."""


def holds_pixels(file: Path) -> bool:
    """Whether a CSV file holds the pixels themselves: a column label, and columns pixel0, pixel1, …"""
    header = [_plain(name) for name in next(_rows(file), [])]
    others = [name for name in header if not _is_pixel(name)]
    return len(header) > 2 and len(others) == 1 and others[0] in _COLUMNS["label"]


def list_csv(file: Path, options: FolderOptions) -> Listing:
    """Lists and divides the image files that a CSV file names with their labels, without opening one.

    Args:
        file: with a header that names the columns; without one, path, label and perhaps split.
        options: `validation` and `groups` decide the division where the file does not.

    Raises:
        DataError: the file cannot be read or has no such columns, names a file twice, or the division is impossible.
    """
    found, has_splits, notes = read_rows(file)
    names = _in_order({label for part in found.values() for _, label in part})
    if len(names) < 2:
        raise DataError(f"{shown(file)} has {len(names)} class{'' if len(names) == 1 else 'es'}", expected="2 or more")
    number_of = {name: number for number, name in enumerate(names)}
    listed: dict[str, Listed] = {
        split: [(image, number_of[label]) for image, label in part] for split, part in found.items()
    }
    for split, part in listed.items():
        missing = sorted(set(range(len(names))) - {label for _, label in part})
        if part and missing:
            raise DataError(
                f"class {names[missing[0]]!r} has no image in the {split} split of {shown(file)}",
                hint="add one, or leave the class out of the other splits",
            )
    if not listed["train"]:
        raise DataError(f"{shown(file)} has no training images", hint="add rows whose split is train")
    if options.test == "none":
        notes.append(without_test("its test split" if listed["test"] else None))
    elif has_splits and not listed["test"]:
        notes.append(f"{file.name} names no test images: a fixed fifth of every class of train is the test split")
    return divided(
        names,
        listed["train"],
        validation=listed["validation"] or None,
        test=listed["test"] or None,
        root=file.parent,
        options=options,
        notes=notes,
    )


def read_rows(file: Path) -> tuple[dict[str, list[tuple[ImageFile, str]]], bool, list[str]]:
    """The image files that a CSV file names, with their labels as texts.

    Args:
        file: as for `list_csv`.

    Returns:
        The files and labels of each split (all in "train" if there is no such column), whether there is a column of
        splits, and sentences about what a user may not expect.

    Raises:
        DataError: the file cannot be read, has no such columns, or names a file twice.
    """
    rows = _rows(file)
    header = [_plain(name) for name in next(rows, [])]
    first: list[list[str]] = []
    if any(Path(name).suffix in endings() for name in header[:2]):
        usual = ("path", "label", "split") if Path(header[0]).suffix in endings() else ("label", "path", "split")
        header, first = list(usual[: len(header)]), [next(_rows(file))]
    columns = {kind: next((header.index(n) for n in names if n in header), None) for kind, names in _COLUMNS.items()}
    path_column, label_column, split_column = columns["path"], columns["label"], columns["split"]
    if path_column is None or label_column is None:
        raise DataError(
            f"{shown(file)} has the columns {', '.join(header[:8]) or 'none'}",
            expected="path and label, and perhaps split",
            hint="name them in the first line",
        )
    found: dict[str, list[tuple[ImageFile, str]]] = {"train": [], "validation": [], "test": []}
    seen: set[str] = set()
    for number, row in enumerate([*first, *rows], start=1 if first else 2):
        if len(row) < len(header) or any(row[len(header) :]):
            raise DataError(
                f"row {number} of {shown(file)} has {len(row)} columns",
                expected=f"{len(header)}",
                hint="put texts that hold the delimiter between quotation marks",
            )
        name, label = row[path_column].strip(), unicodedata.normalize("NFC", row[label_column].strip())
        split = "train" if split_column is None else split_of(row[split_column])
        if split is None or not label or not name or posixpath.normpath(name) in seen:
            what = (
                f"the split {row[split_column or 0]!r}" if split is None
                else f"no {'label' if name else 'path'}" if not (name and label)
                else f"the file {shown(name)} a second time"
            )  # fmt: skip
            raise DataError(
                f"row {number} of {shown(file)} has {what}",
                expected="a path that no other row has, a label, and train, val or test as the split",
            )
        seen.add(posixpath.normpath(name))
        found[split].append((_image_file(file.parent, name), label))
    unused = [name or "one without a name" for i, name in enumerate(header) if i not in columns.values()]
    notes = [f"columns of {file.name} that are not used: {', '.join(unused)}"] if unused else []
    return found, split_column is not None, notes


def read_pixel_csv(file: Path) -> Part:
    """Labels and pixels as Kaggle's MNIST and Fashion-MNIST have them: label, pixel0, …, pixel783.

    Raises:
        DataError: the images are not square, a label is no whole number, or a pixel none from 0 to 255.
    """
    import pandas as pd

    header = next(_rows(file))
    side = math.isqrt(len(header) - 1)
    if side * side != len(header) - 1:
        raise DataError(
            f"{shown(file)} has {len(header) - 1} pixels a row", expected="square images, such as 784 pixels"
        )
    try:
        delimiter, encoding = _delimiter_and_encoding(file)
        table = pd.read_csv(file, dtype=np.int32, encoding=encoding, sep=delimiter).to_numpy()
    except (ValueError, OverflowError, pd.errors.ParserError) as error:
        raise DataError(
            f"{shown(file)} holds values that are not whole numbers: {error}", hint="repair or remove it"
        ) from error
    label = next(number for number, name in enumerate(header) if not _is_pixel(_plain(name)))
    labels, pixels = table[:, label].astype(np.int64), np.delete(table, label, axis=1)
    if len(table) == 0 or pixels.min() < 0 or pixels.max() > 255 or labels.min() < 0:
        raise DataError(f"{shown(file)} has pixels or labels out of range", expected="pixels from 0 to 255")
    return pixels.astype(np.uint8).reshape(-1, 1, side, side), labels


def test_file_beside(file: Path) -> Path | None:
    """The file of test images beside one of training images, such as fashion-mnist_test.csv, if it has labels."""
    name = re.sub("train", "test", file.name)
    other = file.with_name(name)
    return other if name != file.name and other.is_file() and holds_pixels(other) else None


def _rows(file: Path) -> Iterator[list[str]]:
    """The rows of a CSV file that are not empty.

    Raises:
        DataError: it cannot be read, is not UTF-8, or is no CSV.
    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise DataError(f"{shown(file)} is not a file", hint="name a CSV file")
        delimiter, encoding = _delimiter_and_encoding(file)
        with file.open(encoding=encoding, newline="") as stream:
            rows = csv.reader(stream, delimiter=delimiter, skipinitialspace=True, strict=True)
            yield from (row for row in rows if any(row))
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot read {shown(file)}: {reason}", hint="name a CSV file in UTF-8") from error


def _delimiter_and_encoding(file: Path) -> tuple[str, str]:
    """The delimiter, by the first line, and UTF-8, or UTF-16 as Excel writes it with a mark at the beginning."""
    with file.open("rb") as raw:
        encoding = "utf-16" if raw.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    with file.open(encoding=encoding, newline="") as stream:
        return max(",;\t|", key=stream.readline(2**20).count), encoding


def _image_file(folder: Path, name: str) -> ImageFile:
    """A file that a row names. One that is missing is found to be unreadable later, with all others that are.

    A path may be written as on another system: with backslashes, or with accents as characters of their own.
    """
    slashed = name.replace("\\", "/")
    forms = [name, slashed, *(unicodedata.normalize(form, slashed) for form in ("NFC", "NFD"))]
    for written in dict.fromkeys(forms):
        path = folder / written
        try:
            info = os.stat(path)  # noqa: PTH116  (100,000 files)
            break
        except (OSError, ValueError):
            continue
    else:
        return ImageFile(folder / name, 0, 0)
    if not stat.S_ISREG(info.st_mode):
        raise DataError(f"{shown(path)} is a folder, a device or a pipe", expected="an image file")
    return ImageFile(path, info.st_size, max(info.st_mtime_ns, info.st_ctime_ns))


def _in_order(names: set[str]) -> list[str]:
    """Sorted, as numbers if all of them are."""
    if all(re.fullmatch(r"\d{1,18}", name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _is_pixel(name: str) -> bool:
    return re.fullmatch(r"pixel_?\d+|\d+x\d+", name) is not None


def _plain(name: str) -> str:
    """The name of a column in lower case, with one `_` between its words."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower())
