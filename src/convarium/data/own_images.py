"""A user's own images, from their files to arrays: listed, divided, and read in one form."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from convarium.data.copies import count_of, equal_images, similar_names
from convarium.data.csv_files import holds_pixels, list_csv, read_pixel_csv, test_file_beside
from convarium.data.divisions import RULE, fifth_of_each, stratified
from convarium.data.folder_options import FolderOptions, own_name
from convarium.data.folder_scan import ImageFile, shown
from convarium.data.folder_splits import list_folder
from convarium.data.image_cache import Pixels, Progress, image_digests, read_pixels
from convarium.data.image_errors import named
from convarium.data.image_files import ImageForm
from convarium.data.labels import numbered
from convarium.data.listings import Listing, below, validation_count, without_test
from convarium.data.npz_files import read_npz
from convarium.data.readers import Part
from convarium.disk import canonical_json, parts_digest, usable_path
from convarium.errors import DataError
from convarium.records import LEFT_OUT


@dataclass(frozen=True, eq=False)
class OwnImages:
    """A user's own images as arrays, divided. All share the memory of one array.

    Attributes:
        class_names: in the order of the labels.
        train, validation, test: images (n, c, h, w) uint8 and labels (n,) int64.
        digest: SHA-256 of the pixels, labels, class names and the rule of the division, in hexadecimal.
        notes: sentences about what a user may not expect.
        form: in which the images were read; other images are read in the same.
        unreadable: how many images were left out since they cannot be read.
        passed_over: how many files were passed over that are no images.
    """

    class_names: tuple[str, ...]
    train: Part
    validation: Part
    test: Part
    digest: str
    notes: tuple[str, ...]
    form: ImageForm
    unreadable: int = 0
    passed_over: int = 0


def read_own_images(dataset: str, options: FolderOptions, *, on_event: Progress | None = None) -> OwnImages:
    """Reads a user's own images.

    Args:
        dataset: folder:PATH, csv:FILE or npz:FILE.
        options: how they are divided and read.
        on_event: called as images are decoded.

    Raises:
        DataError: there are none, they cannot be divided so, or images cannot be read.
    """
    kind = dataset.partition(":")[0]
    path = own_path(dataset)
    if kind == "folder":
        return _read_listing(list_folder(path, options), path, options, on_event)
    if kind == "csv" and not holds_pixels(path):
        return _read_listing(list_csv(path, options), path.parent, options, on_event)
    for name in ("fit", "ground", "groups", "skip_broken"):
        if getattr(options, name) != getattr(FolderOptions, name):
            raise DataError(f"{name} is for image files, and {shown(path)} holds pixels", hint="leave it out")
    return _read_npz(path, options) if kind == "npz" else _read_pixel_csv(path, options)


def own_path(dataset: str) -> Path:
    """The path in folder:PATH, csv:FILE or npz:FILE.

    Raises:
        DataError: there is none.
        ConvariumError: it cannot be a path, or its home folder does not exist.
    """
    path = own_name(dataset)
    if not path.strip():
        raise DataError(f"{dataset!r} names nothing", hint="write folder:PATH, csv:FILE or npz:FILE")
    return usable_path(path, "dataset")


def _read_listing(listing: Listing, root: Path, options: FolderOptions, on_event: Progress | None) -> OwnImages:
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
    _check_classes(labels[read], split[read], listing.class_names, options)
    ends = np.cumsum([0, *np.bincount(split[read], minlength=3)]).tolist()
    train, validation, test = ((pixels.images[a:b], labels[read[a:b]]) for a, b in pairwise(ends))
    listed = np.argsort(read)  # the order of the files, whichever of them are held out for validation
    digest = _digest(
        listing.class_names,
        pixels.images.shape,
        source[read][listed],
        labels[read][listed],
        [pixels.digests[number] for number in listed],
    )
    notes = [*similar_names(listing.class_names), *listing.notes, *_form_notes(pixels, files, options)]
    paths = [files[number].path for number in np.flatnonzero(good)]
    notes += equal_images(pixels.digests, split[read], labels[read], lambda number: shown(below(paths[number], root)))
    return OwnImages(
        listing.class_names,
        train,
        validation,
        test,
        digest,
        tuple(notes),
        pixels.form,
        unreadable=len(pixels.broken),
        passed_over=listing.passed_over,
    )


def _read_pixel_csv(path: Path, options: FolderOptions) -> OwnImages:
    parts = {"train": read_pixel_csv(path)}
    notes = []
    beside = test_file_beside(path)
    if beside and options.test != "none":
        parts["test"] = read_pixel_csv(beside)
        notes.append(f"the test split is {beside.name}, which lies beside {path.name}")
    names, labels = numbered({split: labels for split, (_, labels) in parts.items()}, shown(path))
    parts = {split: (images, labels[split]) for split, (images, _) in parts.items()}
    return _divide_arrays(parts, names, path, options, notes=notes)


def _read_npz(path: Path, options: FolderOptions) -> OwnImages:
    found = read_npz(path)
    notes = [] if found.white is None else [f"pixels are read with {found.white:,} as white"]
    if found.unused:
        notes.append(f"arrays of {shown(path.name)} that are not used: {', '.join(found.unused)}")
    return _divide_arrays(found.parts, found.class_names, path, options, notes=notes, white=found.white)


def _divide_arrays(
    parts: dict[str, Part],
    names: tuple[str, ...],
    path: Path,
    options: FolderOptions,
    *,
    notes: list[str],
    white: int | None = None,
) -> OwnImages:
    if options.test == "none":
        notes = [*notes, without_test("its test split" if "test" in parts else None)]
        parts = {name: part for name, part in parts.items() if name != "test"}
    shapes = {images.shape[1:] for images, _ in parts.values()}
    if len(shapes) > 1:
        raise DataError(f"the splits of {shown(path)} have images of different shapes", received=sorted(shapes))
    if len(names) < 2:
        raise DataError(f"{shown(path)} has {len(names)} class", expected="two or more")
    images, labels = parts["train"]
    source = np.zeros(len(labels), dtype=np.int64)
    if "test" not in parts and options.test != "none":
        source[fifth_of_each(labels.tolist(), names)] = 2
    given = [(number, parts[name]) for number, name in ((1, "validation"), (2, "test")) if name in parts]
    images = np.concatenate([images, *(part[0] for _, part in given)])
    labels = np.concatenate([labels, *(part[1] for _, part in given)])
    source = np.concatenate([source, *(np.full(len(part[1]), number) for number, part in given)])
    split = source.copy()
    if options.validation is not None or "validation" not in parts:
        split[split == 1] = -1
        (training,) = np.nonzero(split == 0)
        count = validation_count(len(training), options)
        split[training[stratified(labels[training].tolist(), count)]] = 1
    _check_classes(labels[split >= 0], split[split >= 0], names, options)
    digests = image_digests(images)
    train, validation, test = ((images[split == number], labels[split == number]) for number in range(3))
    digest = _digest(names, images.shape, source, labels, digests)
    seen = np.argsort(split, kind="stable")[
        np.count_nonzero(split < 0) :
    ]  # training images first, as `equal_images` asks
    notes = [*similar_names(names), *notes]
    notes += equal_images(
        [digests[number] for number in seen], split[seen], labels[seen], lambda number: f"image {seen[number]}"
    )
    _, channels, height, width = images.shape
    form = ImageForm(channels, height, width, white=white)
    return OwnImages(names, train, validation, test, digest, tuple(notes), form)


def _digest(
    names: Sequence[str], shape: Sequence[int], source: np.ndarray, labels: np.ndarray, digests: Sequence[bytes]
) -> str:
    return parts_digest(
        [
            canonical_json([RULE, list(names), list(shape[1:])]).encode(),
            source.astype("u1").tobytes(),
            labels.astype("<i8").tobytes(),
            *digests,
        ]
    )


def _check_classes(labels: np.ndarray, split: np.ndarray, names: Sequence[str], options: FolderOptions) -> None:
    """Checks that every class has images for training and for results, also after unreadable ones were left out."""
    for number, what in ((0, "training"), (1, "validation") if options.test == "none" else (2, "test")):
        missing = set(range(len(names))) - set(labels[split == number].tolist())
        if missing:
            raise DataError(
                f"class {names[min(missing)]!r} has no {what} image that can be read",
                hint=f"repair or add images, or hold {'fewer' if number != 1 else 'more'} out: --validation",
            )


def _form_notes(pixels: Pixels, files: Sequence[ImageFile], options: FolderOptions) -> list[str]:
    """What a user may not expect of how the files were read."""
    notes = []
    if pixels.broken:
        broken = {files[number].path: why for number, why in sorted(pixels.broken.items())}
        notes.append(f"{LEFT_OUT}: {named(broken, len(files))}")
    if pixels.form.white is not None:
        notes.append(f"images of more than 8 bits are read with {pixels.form.white:,} as white")
    if transparent := pixels.remarks.get("transparent"):
        notes.append(f"{count_of(transparent)} with transparent pixels, which lie on {options.ground} (--ground)")
    if frames := pixels.remarks.get("several frames"):
        notes.append(f"{count_of(frames)} with several frames, of which the first is read, in HEIC the main one")
    return notes
