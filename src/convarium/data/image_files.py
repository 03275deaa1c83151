"""Image files: what a file's header says, and its pixels as an array."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from convarium.data.folder_scan import readable_formats, shown
from convarium.data.readers import Part
from convarium.errors import DataError

Listed = list[tuple[Path, int]]
"""Image files with their labels."""

_ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held; from 5 on, height and width are exchanged."""

_LARGE = 2**24
"""Pixels from which on images are decoded one at a time, since each may take several hundred megabytes."""

_one_large = Lock()

_UNREADABLE = (OSError, ValueError, SyntaxError, MemoryError, EOFError, Image.DecompressionBombError)
"""What Pillow raises for a file that it cannot decode."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Header:
    """An image as it is displayed.

    Attributes:
        mode: Pillow's; "RGB" for a palette.
        height, width: in pixels, after the turn that a camera asked for.
    """

    mode: str
    height: int
    width: int


def read_images(files: Listed, *, channels: int, height: int, width: int) -> Part:
    """Reads images, resized bilinearly; an image that its camera marked as rotated is rotated back.

    Args:
        files: with their labels.
        channels: 1 for gray, 3 for RGB.
        height, width: in pixels.

    Returns:
        Images (n, c, h, w) uint8 and labels (n,) int64.

    Raises:
        DataError: images cannot be read; all of them are named.
    """
    decode = partial(_decode, channels=channels, height=height, width=width)
    images = np.empty((len(files), channels, height, width), dtype=np.uint8)
    broken = {}
    for number, (file, pixels) in enumerate(in_parallel(decode, [file for file, _ in files])):
        if isinstance(pixels, str):
            broken[file] = pixels
        else:
            images[number] = pixels
    if broken:
        raise unreadable(broken, len(files))
    return images, np.array([label for _, label in files], dtype=np.int64)


def read_headers(files: Sequence[Path]) -> list[Header]:
    """The headers of images, without decoding their pixels.

    Raises:
        DataError: images cannot be read; all of them are named.
    """
    headers, broken = [], {}
    for file, header in in_parallel(_header, files):
        if isinstance(header, str):
            broken[file] = header
        else:
            headers.append(header)
    if broken:
        raise unreadable(broken, len(files))
    return headers


def in_parallel(work: Callable[[Path], Result], files: Sequence[Path]) -> Iterator[tuple[Path, Result | str]]:
    """Calls `work` with every file, several at the same time, and yields the files in order with what it returned.

    A file that cannot be read comes with the reason, a text, in place of a result. No more than a few hundred results
    wait to be taken.
    """

    def attempt(file: Path) -> Result | str:
        try:
            return work(file)
        except _UNREADABLE as error:
            return " ".join(str(error).replace(str(file), "the file").split()) or type(error).__name__

    with ThreadPoolExecutor() as pool, _without_warnings():
        waiting = iter(files)
        while chunk := list(islice(waiting, 256)):
            yield from zip(chunk, pool.map(attempt, chunk), strict=True)


def unreadable(broken: dict[Path, str], n: int) -> DataError:
    """The error, to be raised, that names the images that cannot be read, with the reasons.

    Args:
        broken: the reason for each file.
        n: how many images were tried.
    """
    named = [f"{shown(file)} ({reason})" for file, reason in broken.items()]
    if len(named) > 10:
        named[10:] = [f"and {len(named) - 10} more"]
    what = f"cannot read {len(broken)} of {n} images" if len(broken) > 1 else "cannot read the image"
    return DataError(f"{what}{':' if len(broken) > 1 else ''} {', '.join(named)}", hint="repair or delete them")


def _header(file: Path) -> Header:
    with Image.open(file, formats=readable_formats()) as image:
        turned = image.getexif().get(_ORIENTATION, 1) >= 5
        mode = "RGB" if image.mode == "P" else image.mode
        return Header(mode, image.width, image.height) if turned else Header(mode, image.height, image.width)


def _decode(file: Path, *, channels: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """(c, height, width) uint8"""
    with Image.open(file, formats=readable_formats()) as opened, _at_its_turn(opened.width * opened.height):
        ImageOps.exif_transpose(opened, in_place=True)
        image: Image.Image = opened
        if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would cut off at 255
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        image = image.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.BILINEAR)
        return np.array(image).reshape(height, width, -1).transpose(2, 0, 1)


@contextmanager
def _at_its_turn(pixels: int) -> Iterator[None]:
    if pixels < _LARGE:
        yield
        return
    with _one_large:
        yield


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Pillow's warnings (of large images, of damaged metadata) are not shown: what matters is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield
