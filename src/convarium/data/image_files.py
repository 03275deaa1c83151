"""Image files: what a file's header says, and its pixels as an array."""

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from convarium.data.deep_color import deep_values, is_deep_color
from convarium.data.folder_options import Fit
from convarium.data.folder_scan import readable_formats
from convarium.data.image_errors import reason_of
from convarium.data.readers import DAMAGED
from convarium.data.white import checked_levels

_ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held; from 5 on, height and width are exchanged."""

_LARGE = 2**24
"""Pixels from which on images are decoded one at a time, since each may take several hundred megabytes."""

AT_ONCE = 64
"""Files that are read ahead: enough for many processors, while 64 images of the largest size are 200 MB."""

_OF_FRAMES = ("AVIF", "GIF", "HEIF", "PNG", "TIFF", "WEBP")
"""Formats whose files may hold several pictures that a user may take for one image each."""

_one_large = Lock()

UNREADABLE = (*DAMAGED, Image.DecompressionBombError)
"""What Pillow raises for a file that it cannot decode."""


Result = TypeVar("Result")


@dataclass(frozen=True)
class Header:
    """An image as it is displayed.

    Attributes:
        mode: Pillow's; "RGB" for a palette.
        height, width: in pixels, after the turn that a camera asked for.
        is_deep_color: whether its colors have 16 bits, of which Pillow decodes eight.
    """

    mode: str
    height: int
    width: int
    is_deep_color: bool = False

    @property
    def is_gray(self) -> bool:
        """Whether it has no colors."""
        return self.mode in ("1", "L", "LA", "La") or self.mode.startswith(("I", "F"))

    @property
    def is_deep(self) -> bool:
        """Whether its pixels have more than 8 bits."""
        return self.is_deep_color or self.mode.startswith(("I", "F"))


@dataclass(frozen=True)
class ImageForm:
    """The form that image files are read in.

    Attributes:
        channels: 1 for gray, 3 for RGB.
        height, width: in pixels.
        fit: how an image comes to that size; bilinearly in each case.
        ground: what transparent pixels lie on: red, green and blue, 0 to 255.
        white: the value of white in images of more than 8 bits; None if there are none.
    """

    channels: int
    height: int
    width: int
    fit: Fit = "stretch"
    ground: tuple[int, int, int] = (255, 255, 255)
    white: int | None = None


@dataclass(frozen=True)
class Decoded:
    """An image file that was read.

    Attributes:
        pixels: (c, h, w) uint8.
        remarks: what a user may not expect: "transparent", "several frames".
    """

    pixels: npt.NDArray[np.uint8]
    remarks: tuple[str, ...] = ()


def read_header(file: Path) -> Header:
    """The header of an image, without decoding its pixels."""
    with Image.open(file, formats=readable_formats()) as image:
        # Not PngImageFile's own getexif, which decodes all pixels to look for the tag behind them too.
        turned = Image.Image.getexif(image).get(_ORIENTATION, 1) >= 5
        mode = "RGB" if image.mode == "P" else image.mode
        height, width = (image.width, image.height) if turned else (image.height, image.width)
        return Header(mode, height, width, is_deep_color(image))


def decode(file: Path, form: ImageForm) -> Decoded:
    """Reads an image; one that its camera marked as turned is turned back, and of several frames the first
    is read, of HEIC the main one.
    """
    with Image.open(file, formats=readable_formats()) as opened, _at_its_turn(opened.width * opened.height):
        main = opened.tell()  # the first frame, and of HEIC the one that is marked as the main one
        frames = opened.format in _OF_FRAMES and getattr(opened, "is_animated", False)
        opened.seek(main)
        image: Image.Image = _of_deep_color(opened, file, form.white) if is_deep_color(opened) else opened
        ImageOps.exif_transpose(image, in_place=True)
        pixels, transparent = _pixels(image, form)
        remarks = (("transparent",) if transparent else ()) + (("several frames",) if frames else ())
        return Decoded(pixels, remarks)


def pixels_of(image: Image.Image, form: ImageForm) -> npt.NDArray[np.uint8]:
    """The pixels (c, h, w) of an image in memory, as those of its file; the image stays as it is.

    Raises:
        ValueError: it has values that the form's white does not allow.
    """
    return _pixels(ImageOps.exif_transpose(image), form)[0]


def _pixels(image: Image.Image, form: ImageForm) -> tuple[npt.NDArray[np.uint8], bool]:
    """An image's pixels (c, h, w) in a form, and whether some of them were transparent."""
    if image.mode.startswith(("I", "F")):
        image = _of_eight_bits(image, form.white)
    transparent = image.has_transparency_data
    if transparent:
        image = image.convert("RGBA")
        transparent = bool((np.asarray(image)[..., 3] < 255).any())
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*form.ground, 255)), image)
    image = _fitted(image.convert("L" if form.channels == 1 else "RGB"), form)
    return np.array(image).reshape(form.height, form.width, -1).transpose(2, 0, 1), transparent


def value_range(file: Path) -> tuple[float, float, bool]:
    """Least and largest value of an image of more than 8 bits, and whether its values are fractions."""
    with Image.open(file, formats=readable_formats()) as image, _at_its_turn(image.width * image.height):
        values = deep_values(file, readable_formats())[..., :3] if is_deep_color(image) else np.asarray(image)
        if not np.isfinite(values).all():
            raise ValueError("values that are not finite")
        return float(values.min()), float(values.max()), values.dtype.kind == "f"


def in_parallel(work: Callable[[Path], Result], files: Sequence[Path]) -> Iterator[tuple[Path, Result | str]]:
    """Calls `work` with every file, several at the same time, and yields the files in order with what it returned.

    A file that cannot be read comes with the reason, a text, in place of a result. No more than AT_ONCE results wait to
    be taken.
    """

    def attempt(file: Path) -> Result | str:
        try:
            return work(file)
        except UNREADABLE as error:
            return reason_of(error, file)

    with ThreadPoolExecutor() as pool, _without_warnings():
        begun: deque[tuple[Path, Future[Result | str]]] = deque()
        for file in files:
            begun.append((file, pool.submit(attempt, file)))
            if len(begun) == AT_ONCE:
                first, result = begun.popleft()
                yield first, result.result()
        yield from ((file, result.result()) for file, result in begun)


def _of_deep_color(image: Image.Image, file: Path, white: int | None) -> Image.Image:
    """An image with colors of 16 bits, scaled so that `white` becomes 255, still to be turned as its camera says."""
    values = deep_values(file, readable_formats())
    levels = checked_levels(values[..., :3], white or 65535)
    clear = image.info.get("transparency")
    if values.shape[2] == 4:
        levels = np.dstack([levels, values[..., 3] >> 8])
    elif isinstance(clear, tuple):
        levels = np.dstack([levels, np.where((values == clear).all(axis=2), 0, 255)])
    scaled = Image.fromarray(levels.astype(np.uint8))
    scaled.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
    return scaled


def _of_eight_bits(image: Image.Image, white: int | None) -> Image.Image:
    """Gray levels of more than 8 bits, scaled so that `white` becomes 255; the transparent one, if any, stays so."""
    values: npt.NDArray[Any] = np.asarray(image)
    gray = Image.fromarray(checked_levels(values, white))
    clear = image.info.get("transparency")
    if not isinstance(clear, int):
        return gray
    return Image.merge("LA", (gray, Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))))


def _fitted(image: Image.Image, form: ImageForm) -> Image.Image:
    size, method = (form.width, form.height), Image.Resampling.BILINEAR
    if form.fit == "stretch":
        return image.resize(size, method)
    if form.fit == "crop":
        return ImageOps.fit(image, size, method)
    return ImageOps.pad(image, size, method, color=form.ground if form.channels == 3 else gray_of(form.ground))


def gray_of(color: tuple[int, int, int]) -> int:
    """The gray level that Pillow gives a color."""
    pixel = Image.new("RGB", (1, 1), color).convert("L").getpixel((0, 0))
    return int(pixel)  # type: ignore[arg-type]  # one number, since the image has one channel


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
