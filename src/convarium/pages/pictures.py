"""Arrays as pictures for the page, as data URIs."""

import base64
import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from convarium.diagnostics import AugmentedImages, FeatureMaps, Filters


@dataclass(frozen=True)
class Picture:
    """A picture with its caption; `source` is a data URI."""

    caption: str
    source: str


_COLUMNS, _GAP = 8, 6
"""Number of tiles in a row, and pixels between two tiles."""
_SMALL, _LARGE = 40, 56
"""Approximate heights of a tile in pixels; small images are enlarged by an integer factor."""

_THUMBNAIL = 96
"""Longest side of a test image on the page, in pixels."""

_VIRIDIS = np.array(
    [(68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99),
     (170, 220, 50), (253, 231, 37)], dtype=float
)  # fmt: skip
"""The colormap viridis by S. van der Walt and N. Smith at nine equal steps."""


def data_uri(pixels: np.ndarray) -> str:
    """A (c, h, w) uint8 image, gray with c = 1 or RGB with c = 3, as a PNG."""
    return _uri(_picture(pixels))


def thumbnail(pixels: np.ndarray) -> str:
    """A (c, h, w) uint8 image as `data_uri` writes it; if it is longer than _THUMBNAIL pixels, smaller and as JPEG."""
    picture = _picture(pixels)
    shrunk = _THUMBNAIL / max(picture.size)
    if shrunk < 1:
        size = max(1, round(shrunk * picture.width)), max(1, round(shrunk * picture.height))
        # A page has hundreds of them, and a photograph as PNG has four times the bytes.
        return _uri(picture.resize(size, Image.Resampling.BOX), "jpeg", quality=85)
    return _uri(picture)


def filters_sheet(filters: Filters) -> str:
    """Filters side by side, each scaled by its largest weight: zero is gray, positive weights are brighter."""
    weights = filters.weights
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    pixels = np.rint(127.5 + 127.5 * weights / np.where(largest > 0, largest, 1)).astype(np.uint8)
    return _sheet([_picture(tile if len(tile) in (1, 3) else tile[:1]) for tile in pixels], _COLUMNS, _SMALL)


def maps_sheet(maps: FeatureMaps) -> str:
    """Channels side by side; the lowest value of the layer is dark blue and the highest is yellow."""
    values = maps.maps.astype(float)
    low, high = values.min(), values.max()
    shade = (values - low) / ((high - low) or 1.0) * (len(_VIRIDIS) - 1)
    colored = [np.interp(shade, np.arange(len(_VIRIDIS)), _VIRIDIS[:, channel]) for channel in range(3)]
    pixels = np.rint(np.stack(colored, axis=1)).astype(np.uint8)
    return _sheet([_picture(tile) for tile in pixels], _COLUMNS, _LARGE)


def augmented_sheet(augmented: AugmentedImages) -> str:
    """One row for each image: the original, a gap, and its augmented versions."""
    rows = zip(augmented.images, augmented.augmented, strict=True)
    tiles = [_picture(tile) for image, versions in rows for tile in (image, *versions)]
    return _sheet(tiles, 1 + augmented.augmented.shape[1], _LARGE, indent=2 * _GAP)


def heat_picture(pixels: np.ndarray, heat: np.ndarray) -> str:
    """A heat map (rows, columns) over an image (c, h, w) uint8 in dark gray: blue is 0 and yellow the largest value."""
    _, height, width = pixels.shape
    finite = np.nan_to_num(heat, posinf=0.0).astype(np.float32)
    share = np.array(Image.fromarray(finite / (finite.max() or 1.0)).resize((width, height), Image.Resampling.BILINEAR))
    at = share.clip(0, 1) * (len(_VIRIDIS) - 1)
    colors = np.stack([np.interp(at, np.arange(len(_VIRIDIS)), _VIRIDIS[:, channel]) for channel in range(3)])
    opacity = (40 + 190 * share) / 255
    return thumbnail(np.rint(opacity * colors + (1 - opacity) * pixels.mean(axis=0) / 2).astype(np.uint8))


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


def _sheet(tiles: list[Image.Image], columns: int, side: int, *, indent: int = 0) -> str:
    """Tiles in rows on a transparent ground, with `indent` more pixels behind the first column."""
    factor: float = round(side / tiles[0].height) or side / tiles[0].height
    width, height = round(factor * tiles[0].width), round(factor * tiles[0].height)
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGBA", (columns * (width + _GAP) - _GAP + indent, rows * (height + _GAP) - _GAP))
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        resized = tile.resize((width, height), Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX)
        sheet.paste(resized, (column * (width + _GAP) + (indent if column else 0), row * (height + _GAP)))
    return _uri(sheet)


def _uri(picture: Image.Image, form: Literal["png", "jpeg"] = "png", *, quality: int | None = None) -> str:
    file = io.BytesIO()
    picture.save(file, form, optimize=True, quality=quality)
    return f"data:image/{form};base64," + base64.b64encode(file.getvalue()).decode("ascii")
