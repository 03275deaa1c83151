"""Decoded images, kept in the user's cache folder, so that files are decoded once as long as they do not change.

The pixels are one file that is mapped into memory and read as far as it is used, so that images may be more than memory
holds. An entry is used only if the list of files, their sizes and times, and the form asked for are the same, and its
pixels have the digest that was noted.
"""

import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import PIL

from convarium.data import sources
from convarium.data.folder_options import FolderOptions
from convarium.data.folder_scan import ImageFile
from convarium.data.image_errors import unreadable
from convarium.data.image_files import ImageForm, decode, in_parallel
from convarium.data.image_form import decide_form
from convarium.data.mapped_files import map_file
from convarium.disk import parts_digest, read_json, remove_unfinished, value_digest, write_file, write_json
from convarium.errors import DataError, FileContentError

VERSION = 2
"""Rises when the same files would give other pixels."""

WORTH_KEEPING = 500, 2**25
"""Images, and bytes of their files, from which on decoding takes seconds and its result is kept."""

SETTLED = 2 * 10**9
"""Nanoseconds for which a file must have been as it is: a change within one tick of its clock could not be told."""

UNUSED = 90 * 24 * 3600
"""Seconds after which an entry that was not used is deleted."""

_IDLE = 3600
"""Seconds without a new image after which the process that decoded them is dead."""

Progress = Callable[[str, int, int], None]
"""Called with what is read, how many images of it have been read, and how many there are."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """Images that were read from files, all in one form.

    Attributes:
        images: (n, c, h, w) uint8; without those that could not be read.
        form: the form.
        broken: number of the file → why it could not be read.
        remarks: how many images have transparent pixels, or several frames.
        digests: of each image's pixels, 16 bytes.
    """

    images: npt.NDArray[np.uint8]
    form: ImageForm
    broken: dict[int, str]
    remarks: dict[str, int]
    digests: list[bytes]


def read_pixels(
    files: Sequence[ImageFile], *, training: int, root: Path, options: FolderOptions, on_event: Progress | None = None
) -> Pixels:
    """Reads image files in one form, or takes them from the cache.

    Args:
        files: the images.
        training: how many of them, from the first, are training images, which decide the form.
        root: the folder or file that names them.
        options: the form asked for.
        on_event: called as images are decoded.

    Raises:
        DataError: images cannot be read, or are more than fits into memory where nothing can be kept on the disk.
    """
    form_options = replace(options, validation=None, groups=None)
    names = [os.fsencode(file.path) for file in files]
    facts = [f"{file.size} {file.changed}".encode() for file in files]
    settings = f"{VERSION} {PIL.__version__} {training} {sorted(asdict(form_options).items())}"
    fingerprint = parts_digest([settings.encode(), *names, *facts])
    count, size = WORTH_KEEPING
    cache = cache_folder()
    worth_keeping = cache is not None and (len(files) >= count or sum(file.size for file in files) >= size)
    settled = max(file.changed for file in files) < time.time_ns() - SETTLED
    place = (cache or Path()) / value_digest([os.fspath(root.absolute()), asdict(options)])[:32]
    if worth_keeping and (kept := _kept(place, fingerprint)):
        return kept
    form, broken = decide_form(files, training=training, options=options)
    remarks: Counter[str] = Counter()
    decode_into = partial(
        _decode_all, files, form, broken=broken, remarks=remarks, skip_broken=options.skip_broken, on_event=on_event
    )
    good = len(files) - len(broken)
    if worth_keeping and settled:
        with suppress(OSError):  # a disk that is full or may not be written to: memory will do
            return _keep(place, fingerprint, form, decode_into, broken, remarks)
    _check_memory(good, form)
    images = np.empty((good, form.channels, form.height, form.width), dtype=np.uint8)
    position = 0

    def take(pixels: npt.NDArray[np.uint8]) -> None:
        nonlocal position
        images[position] = pixels
        position += 1

    remarks.clear()
    decode_into(take)
    images = images[:position]
    return Pixels(images, form, broken, dict(remarks), image_digests(images))


def image_digests(images: npt.NDArray[np.uint8]) -> list[bytes]:
    """A digest of 16 bytes of each image's pixels."""
    return [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in images]


def cache_folder() -> Path | None:
    """The user's cache folder for decoded images; None for a user without a home folder."""
    data = sources.cache_folder()
    return data and data.with_name("images")


def _decode_all(
    files: Sequence[ImageFile],
    form: ImageForm,
    take: Callable[[npt.NDArray[np.uint8]], None],
    *,
    broken: dict[int, str],
    remarks: Counter[str],
    skip_broken: bool,
    on_event: Progress | None,
) -> None:
    """Decodes all images but the broken ones, adds to those, and counts remarks.

    Raises:
        DataError: images are broken, and are not to be left out.
    """
    numbers = [number for number in range(len(files)) if number not in broken]
    decoded = in_parallel(partial(decode, form=form), [files[number].path for number in numbers])
    for done, (number, (_, image)) in enumerate(zip(numbers, decoded, strict=True), start=1):
        if isinstance(image, str):
            broken[number] = image
        else:
            remarks.update(image.remarks)
            take(image.pixels)
        if on_event and (done % 64 == 0 or done == len(numbers)):
            on_event("images", done, len(numbers))
    if broken and (not skip_broken or len(broken) == len(files)):
        raise unreadable({files[number].path: why for number, why in sorted(broken.items())}, len(files))


def _keep(
    place: Path,
    fingerprint: str,
    form: ImageForm,
    decode_into: Callable[[Callable[[npt.NDArray[np.uint8]], None]], None],
    broken: dict[int, str],
    remarks: Counter[str],
) -> Pixels:
    """Decodes images into an entry of the cache.

    Raises:
        OSError: the disk is full, or may not be written to.
        DataError: images are broken.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    place.mkdir(mode=0o700, exist_ok=True)
    _delete_unused(place.parent)
    kept = place / f"{fingerprint[:16]}.pixels"

    def fill(file: IO[bytes]) -> None:
        # Written one image after the other: a full disk is an error, where in a mapped file it would end the process.
        def take(pixels: npt.NDArray[np.uint8]) -> None:
            file.write(np.ascontiguousarray(pixels).data)

        decode_into(take)

    write_file(kept, fill)
    images = _mapped(kept, form)
    digests = image_digests(images)
    index = {
        "fingerprint": fingerprint,
        "form": asdict(form),
        "broken": {str(number): why for number, why in broken.items()},
        "remarks": dict(remarks),
        "content": parts_digest(digests),
    }
    write_json(place / "index.json", index)
    for old in place.glob("*.pixels"):
        if old != kept:
            with suppress(OSError):  # Windows deletes no file that another process has mapped
                old.unlink()
    return Pixels(images, form, broken, dict(remarks), digests)


def _kept(place: Path, fingerprint: str) -> Pixels | None:
    """The entry of the cache, if there is one of these files that is whole."""
    try:
        index: dict[str, Any] = read_json(place / "index.json", 2**26)
        if index["fingerprint"] != fingerprint or not _is_own(place):
            return None
        form = ImageForm(**(index["form"] | {"ground": tuple(index["form"]["ground"])}))
        images = _mapped(place / f"{fingerprint[:16]}.pixels", form)
        digests = image_digests(images)
        if parts_digest(digests) != index["content"]:
            return None
        with suppress(OSError):
            os.utime(place / "index.json")
        broken = {int(number): str(why) for number, why in index["broken"].items()}
        return Pixels(images, form, broken, dict(index["remarks"]), digests)
    except (OSError, FileContentError, LookupError, TypeError, ValueError, AttributeError):
        return None


def _mapped(path: Path, form: ImageForm) -> npt.NDArray[np.uint8]:
    """The pixels of an entry, see `map_file`."""
    return map_file(path).reshape(-1, form.channels, form.height, form.width)


def _is_own(place: Path) -> bool:
    return not hasattr(os, "geteuid") or place.stat().st_uid == os.geteuid()


def _delete_unused(folder: Path) -> None:
    """Deletes entries that were not used for long, and what killed processes have left of others."""
    for entry in folder.iterdir():
        remove_unfinished(entry, idle_seconds=_IDLE)
        index = entry / "index.json"
        with suppress(OSError):
            used = index if index.exists() else entry  # a process that was killed has left no index
            if used.stat().st_mtime < time.time() - UNUSED:
                shutil.rmtree(entry)


def _check_memory(n: int, form: ImageForm) -> None:
    try:
        have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return
    needed = n * form.channels * form.height * form.width
    if needed > 0.8 * have:
        raise DataError(
            f"{n:,} images of {form.width}×{form.height} pixels take {needed / 2**30:.1f} GiB of memory",
            expected=f"at most 80 % of {have / 2**30:.1f} GiB, since the cache folder cannot be written to",
            hint="have them reduced while they are read, such as --resize 64, or free space on the disk",
        )
