"""What a user's own images look like before anything is trained on them: counts, sizes, modes, and a contact sheet."""

import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convarium.data.csv_files import holds_pixels, list_csv
from convarium.data.folder_options import FolderOptions
from convarium.data.folder_splits import list_folder
from convarium.data.image_cache import Progress
from convarium.data.image_files import in_parallel, read_header
from convarium.data.image_form import MAX_SIDE
from convarium.data.own_images import own_path
from convarium.disk import write_file

if TYPE_CHECKING:
    from PIL.Image import Image

    from convarium.data.splits import ImageData, Splits

REDUCED = 224
"""Pixels of a side to which images are reduced that are too large to train on."""

SHEET_ROWS = 40
"""Classes that a contact sheet shows."""

_TILE, _COLUMNS = 64, 10
"""Of a contact sheet: pixels of an image's side, and images a class."""


@dataclass(frozen=True)
class ClassCounts:
    """A class and how many images of it are in each split."""

    name: str
    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class OwnSummary:
    """What a user's own images look like.

    Attributes:
        dataset: folder:PATH, csv:FILE or npz:FILE.
        classes: in the order of the labels.
        heights, widths: least, median and largest of the files, in pixels.
        modes: Pillow's modes of the files, and how many files have each; empty where there are no files.
        shape: channels, height and width in which the images are read.
        majority: the share of the largest class among the training images, 0 to 1: what guessing it would get.
        mean, std: of the training images by channel, on a scale where white is 1.
        notes: sentences about what a user may not expect: files passed over or unreadable, copies across splits.
    """

    dataset: str
    classes: tuple[ClassCounts, ...]
    heights: tuple[int, int, int]
    widths: tuple[int, int, int]
    modes: dict[str, int]
    shape: tuple[int, int, int]
    majority: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    notes: tuple[str, ...]


def summarize(
    dataset: str,
    *,
    options: FolderOptions | None = None,
    sheet: Path | None = None,
    on_event: Progress | None = None,
) -> OwnSummary:
    """Reads a user's own images and says what they look like. Unreadable ones are left out and named.

    Args:
        dataset: folder:PATH, csv:FILE or npz:FILE.
        options: how they are divided and read, as a recipe says it; None: as a recipe does that says nothing.
        sheet: a PNG file to which a contact sheet is written: a row of training images for each class.
        on_event: called as images are decoded.

    Raises:
        DataError: the images cannot be read or divided.
        OSError: the contact sheet cannot be written.
    """
    from convarium.data.loading import load_data

    path, options = own_path(dataset), options or FolderOptions()
    is_files = dataset.startswith("folder:") or (dataset.startswith("csv:") and not holds_pixels(path))
    heights, widths, modes = [], [], Counter[str]()
    if is_files:
        listing = (list_folder if dataset.startswith("folder:") else list_csv)(path, options)
        items = [*listing.train, *(listing.validation or []), *listing.test]
        for _, header in in_parallel(read_header, [file.path for file, _ in items]):
            if not isinstance(header, str):
                heights.append(header.height)
                widths.append(header.width)
                modes[header.mode] += 1
    notes: tuple[str, ...] = ()
    side = options.side
    if side is None and heights and max(np.median(heights), np.median(widths)) > MAX_SIDE:
        side = REDUCED
        notes = (
            f"too large to train on as they are: read here with {REDUCED} pixels a side, as --resize {REDUCED} does",
        )
    splits = load_data(
        dataset,
        validation=options.validation,
        resize=side,
        fit=options.fit,
        ground=options.ground,
        groups=options.groups,
        skip_broken=is_files,
        test=options.test,
        on_event=on_event,
    )
    if sheet is not None:
        image = contact_sheet(splits.train)
        write_file(sheet, lambda file: image.save(file, format="PNG"))
    return _summary(splits, heights, widths, dict(modes.most_common()), notes)


def _summary(
    splits: "Splits", heights: list[int], widths: list[int], modes: dict[str, int], notes: tuple[str, ...]
) -> OwnSummary:
    names = splits.train.class_names
    counts = [
        np.bincount(part.labels.numpy(), minlength=len(names))
        for part in (splits.train, splits.validation, splits.test)
    ]
    _, channels, height, width = splits.train.images.shape
    total = np.sum(counts, axis=0)
    rare = int(total.min())
    if int(total.max()) > 3 * rare:
        notes += (
            f"the largest class, {names[int(total.argmax())]!r}, has {total.max() / rare:.1f} times as many images as "
            f"the smallest, {names[int(total.argmin())]!r}: the accuracy says little about the smaller ones",
        )
    if not len(splits.validation):
        wrong = "no images are held out for validation, on which networks are chosen"
        notes = (f"{wrong}: --validation {len(names)} takes one of each class from those for training", *notes)
    return OwnSummary(
        splits.dataset,
        tuple(ClassCounts(name, *(int(count[label]) for count in counts)) for label, name in enumerate(names)),
        _spread(heights or [height]),
        _spread(widths or [width]),
        modes,
        (channels, height, width),
        float(counts[0].max() / counts[0].sum()),
        splits.mean,
        splits.std,
        splits.notes + notes,
    )


def contact_sheet(data: "ImageData") -> "Image":
    """One picture with a row for each of the first SHEET_ROWS classes: its number from 1, name, and first images."""
    from PIL import Image, ImageDraw, ImageOps

    labels = data.labels.numpy()
    rows = min(len(data.class_names), SHEET_ROWS)
    sheet = Image.new("RGB", (_COLUMNS * (_TILE + 2), rows * (_TILE + 16)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, name in enumerate(data.class_names[:rows]):
        top = row * (_TILE + 16)
        draw.text((2, top + 2), f"{row + 1}: {_in_ascii(name)[:60]}", fill="black")
        for column, number in enumerate(np.flatnonzero(labels == row)[:_COLUMNS].tolist()):
            pixels = data.images[number].permute(1, 2, 0).numpy()
            image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))
            fitted = ImageOps.contain(image.convert("RGB"), (_TILE, _TILE), Image.Resampling.BILINEAR)
            sheet.paste(fitted, (column * (_TILE + 2), top + 14))
    return sheet


def _in_ascii(name: str) -> str:
    """A name in the characters that Pillow's own font has: without accents, and with ? for other scripts."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    return plain.encode("ascii", "replace").decode()


def _spread(values: list[int]) -> tuple[int, int, int]:
    return min(values), int(np.median(values)), max(values)
