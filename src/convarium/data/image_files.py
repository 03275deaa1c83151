"""Image files: the size and mode in a file's header, and its pixels as an array."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from convarium.data.readers import Part
from convarium.errors import DataError

Listed = list[tuple[Path, int]]
"""Image files with their labels."""

_ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held; from 5 on, height and width are exchanged."""


def read_images(files: Listed, *, channels: int, height: int, width: int) -> Part:
    """Reads images, resized bilinearly; an image that its camera marked as rotated is rotated back.

    Args:
        files: with their labels.
        channels: 1 for gray, 3 for RGB.
        height, width: in pixels.

    Returns:
        Images (n, c, h, w) uint8 and labels (n,) int64.

    Raises:
        DataError: an image cannot be read.
    """
    decode = partial(_decode, channels=channels, height=height, width=width)
    images = np.empty((len(files), channels, height, width), dtype=np.uint8)
    with ThreadPoolExecutor() as pool:
        for image, pixels in zip(images, pool.map(decode, [file for file, _ in files]), strict=True):
            image[:] = pixels
    return images, np.array([label for _, label in files], dtype=np.int64)


def read_header(file: Path) -> tuple[str, int, int]:
    """Mode, height and width of an image as it is displayed, without decoding its pixels."""
    try:
        with Image.open(file) as image:
            turned = image.getexif().get(_ORIENTATION, 1) >= 5
            mode = "RGB" if image.mode == "P" else image.mode
            return (mode, image.width, image.height) if turned else (mode, image.height, image.width)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _broken(file, error) from error


def _decode(file: Path, *, channels: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """(c, height, width) uint8"""
    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would cut off at 255
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            image = image.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _broken(file, error) from error
    return np.array(image).reshape(height, width, -1).transpose(2, 0, 1)


def _broken(file: Path, error: Exception) -> DataError:
    return DataError(f"cannot read the image {file}: {error}", hint="repair or delete it")
