"""Color images of 16 bits a channel, of which Pillow by itself decodes the upper eight bits."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""The order of a channel's two bytes in which Pillow takes the lower one for the upper."""


def is_deep_color(image: Image.Image) -> bool:
    """Whether an image has colors of 16 bits, which can be told only before it is decoded."""
    return image.format in ("PNG", "TIFF") and _channels(image) in ("RGB", "RGBA", "LA")


def deep_values(file: Path, formats: tuple[str, ...]) -> npt.NDArray[np.uint16]:
    """The pixels of such an image: (h, w, 3) red, green and blue, or (h, w, 4) with alpha.

    A file that cannot be decoded raises what Pillow raises for it.

    Args:
        file: of the image.
        formats: Pillow's names of the formats that it may have.
    """
    with Image.open(file, formats=formats) as image:
        if _channels(image) == "LA":  # a gray level and alpha in four bytes, which are taken as they are
            four = _decoded(image, lambda _: "RGBA")
            return _joined(four[..., [0, 0, 0, 2]], four[..., [1, 1, 1, 3]])
        lower = _decoded(image, lambda mode: mode[:-1] + _OTHER_ORDER[mode[-1]])
    with Image.open(file, formats=formats) as image:
        return _joined(np.asarray(image), lower)


def _joined(upper: npt.NDArray[np.uint8], lower: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    return upper * np.uint16(256) + lower


def _decoded(image: Image.Image, mode: Any) -> npt.NDArray[np.uint8]:
    """The bytes of an image whose raw modes are replaced."""
    tiles: Any = getattr(image, "tile", [])
    for number, tile in enumerate(tiles):
        args = tile.args
        tiles[number] = tile._replace(args=(mode(args[0]), *args[1:]) if isinstance(args, tuple) else mode(args))
    return np.asarray(image)


def _channels(image: Image.Image) -> str | None:
    """The channels of an image in which each has 16 bits: "RGB", "RGBA", "LA"; None for all other images."""
    args = [tile.args[0] if isinstance(tile.args, tuple) else tile.args for tile in getattr(image, "tile", [])]
    found = {mode if isinstance(mode, str) else "" for mode in args}
    channels, _, order = (found.pop() if len(found) == 1 else "").partition(";16")
    return channels if order in _OTHER_ORDER else None
