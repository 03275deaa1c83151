"""A user's own images, from their files to arrays: listed, divided, and read in one form."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from convarium.data.divisions import RULE
from convarium.data.folder_options import FolderOptions
from convarium.data.folder_scan import ImageFile, shown
from convarium.data.folder_splits import folder_path, list_folder
from convarium.data.image_cache import Pixels, Progress, read_pixels
from convarium.data.image_files import ImageForm, named
from convarium.data.readers import Part
from convarium.disk import canonical_json, parts_digest
from convarium.errors import DataError


@dataclass(frozen=True, eq=False)
class OwnImages:
    """A user's own images as arrays, divided. All share the memory of one array.

    Attributes:
        class_names: in the order of the labels.
        train, validation, test: images (n, c, h, w) uint8 and labels (n,) int64.
        digest: SHA-256 of the pixels, labels, class names and the rule of the division, in hexadecimal.
        form: the form that the files were read in.
        notes: sentences about what a user may not expect.
    """

    class_names: tuple[str, ...]
    train: Part
    validation: Part
    test: Part
    digest: str
    form: ImageForm
    notes: tuple[str, ...]


def read_own_images(dataset: str, options: FolderOptions, *, on_event: Progress | None = None) -> OwnImages:
    """Reads the images of folder:PATH.

    Args:
        dataset: folder:PATH.
        options: how they are divided and read.
        on_event: called as images are decoded.

    Raises:
        DataError: there are none, they cannot be divided so, or images cannot be read.
    """
    root = folder_path(dataset)
    listing = list_folder(root, options)
    n_train, own_validation = len(listing.train), listing.validation or []
    items = [*listing.train, *own_validation, *listing.test]
    labels = np.array([label for _, label in items], dtype=np.int64)
    source = np.repeat(np.arange(3), [n_train, len(own_validation), len(listing.test)])
    split = source.copy()
    split[listing.held] = 1
    # In the order of the splits, so that each of them is a slice of one array, which may be larger than memory.
    order = np.argsort(split, kind="stable")
    files = [items[number][0] for number in order]
    pixels = read_pixels(files, training=n_train, root=root, options=options, on_event=on_event)
    good = np.ones(len(items), dtype=bool)
    good[list(pixels.broken)] = False
    read = order[good]
    _check_classes(labels[read], split[read], listing.class_names)
    ends = np.cumsum([0, *np.bincount(split[read], minlength=3)]).tolist()
    train, validation, test = ((pixels.images[a:b], labels[read[a:b]]) for a, b in pairwise(ends))
    digest_of = dict(zip(read.tolist(), pixels.digests, strict=True))
    listed = sorted(digest_of)  # in the order of the files, whichever of them are held out for validation
    digest = parts_digest(
        [
            canonical_json([RULE, listing.class_names, pixels.images.shape[1:]]).encode(),
            source[listed].astype("u1").tobytes(),
            labels[listed].astype("<i8").tobytes(),
            *(digest_of[number] for number in listed),
        ]
    )
    notes = [*listing.notes, *_form_notes(pixels, files, options)]
    notes += _equal_notes([files[number].path for number in np.flatnonzero(good)], pixels, split[read], root)
    return OwnImages(listing.class_names, train, validation, test, digest, pixels.form, tuple(notes))


def _check_classes(labels: np.ndarray, split: np.ndarray, names: Sequence[str]) -> None:
    """Checks that every class still has images for training and testing, after unreadable ones were left out."""
    for number, what in ((0, "training"), (2, "test")):
        missing = set(range(len(names))) - set(labels[split == number].tolist())
        if missing:
            raise DataError(
                f"class {names[min(missing)]!r} has no {what} image that can be read",
                hint="repair or add images, or hold fewer out: --validation",
            )


def _form_notes(pixels: Pixels, files: Sequence[ImageFile], options: FolderOptions) -> list[str]:
    """What a user may not expect of how the files were read."""
    notes = []
    if pixels.broken:
        broken = {files[number].path: why for number, why in sorted(pixels.broken.items())}
        notes.append(f"left out since they cannot be read: {named(broken, len(files))}")
    if pixels.form.white is not None:
        notes.append(f"images of more than 8 bits are read with {pixels.form.white:,} as white")
    if transparent := pixels.remarks.get("transparent"):
        notes.append(f"{_images(transparent)} with transparent pixels, which lie on {options.ground} (--ground)")
    if frames := pixels.remarks.get("several frames"):
        notes.append(f"{_images(frames)} with several frames, of which the first is read")
    return notes


def _equal_notes(paths: Sequence[Path], pixels: Pixels, split: np.ndarray, root: Path) -> list[str]:
    """Which images of the validation and test splits are in another split too, pixel by pixel."""
    first: dict[bytes, int] = {}
    pairs = []
    for number, (digest, here) in enumerate(zip(pixels.digests, split.tolist(), strict=True)):
        other = first.setdefault(digest, number)
        if split[other] != here:
            pairs.append((other, number))
    if not pairs:
        return []
    named = [" = ".join(shown(paths[number].relative_to(root)) for number in pair) for pair in pairs[:3]]
    more = ", …" if len(pairs) > 3 else ""
    return [
        f"{_images(len(pairs))} of the validation and test splits that another split has too, pixel by pixel: "
        f"{', '.join(named)}{more}"
    ]


def _images(n: int) -> str:
    return f"{n:,} image{'s' if n != 1 else ''}"
