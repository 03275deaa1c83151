"""Tensors as pictures for a page: PNG files inside its text."""

import base64
import io

import numpy as np
from PIL import Image

from convarium.diagnostics import Augmented, FeatureMaps, Filters

_COLUMNS, _GAP = 8, 6
"""Tiles side by side, and pixels between them."""
_SMALL, _LARGE = 40, 56
"""Pixels of a tile's height, about: small images are enlarged by a whole number."""

_VIRIDIS = np.array(
    [(68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99),
     (170, 220, 50), (253, 231, 37)], dtype=float
)  # fmt: skip
"""S. van der Walt and N. Smith's viridis at even steps: equal steps look equal, to the color-blind too."""


def data_uri(pixels: np.ndarray) -> str:
    """A (c, h, w) uint8 image, c = 1 gray or 3 RGB, as a PNG."""
    return _uri(_picture(pixels))


def filters_sheet(filters: Filters) -> str:
    """Filters side by side: zero is gray, positive weights are brighter; each filter by its own largest weight."""
    weights = filters.weights.numpy()
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    pixels = np.rint(127.5 + 127.5 * weights / np.where(largest > 0, largest, 1)).astype(np.uint8)
    return _sheet([_picture(tile if len(tile) in (1, 3) else tile[:1]) for tile in pixels], _COLUMNS, _SMALL)


def maps_sheet(maps: FeatureMaps) -> str:
    """Channels side by side, the lowest value of the layer dark blue and its highest yellow."""
    values = maps.maps.numpy().astype(float)
    low, high = values.min(), values.max()
    shade = (values - low) / ((high - low) or 1.0) * (len(_VIRIDIS) - 1)
    colored = [np.interp(shade, np.arange(len(_VIRIDIS)), _VIRIDIS[:, channel]) for channel in range(3)]
    pixels = np.rint(np.stack(colored, axis=1)).astype(np.uint8)
    return _sheet([_picture(tile) for tile in pixels], _COLUMNS, _LARGE)


def augmented_sheet(augmented: Augmented) -> str:
    """A row an image: as it is, a gap, and as a network may be shown it."""
    rows = zip(augmented.images.numpy(), augmented.changed.numpy(), strict=True)
    tiles = [_picture(tile) for image, changed in rows for tile in (image, *changed)]
    return _sheet(tiles, 1 + augmented.changed.shape[1], _LARGE, apart=2 * _GAP)


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


def _sheet(tiles: list[Image.Image], columns: int, side: int, *, apart: int = 0) -> str:
    """Tiles in rows on nothing, so that the page shows between them; the first column `apart` from the others."""
    times: float = round(side / tiles[0].height) or side / tiles[0].height
    width, height = round(times * tiles[0].width), round(times * tiles[0].height)
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGBA", (columns * (width + _GAP) - _GAP + apart, rows * (height + _GAP) - _GAP))
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        grown = tile.resize((width, height), Image.Resampling.NEAREST if times >= 1 else Image.Resampling.BOX)
        sheet.paste(grown, (column * (width + _GAP) + (apart if column else 0), row * (height + _GAP)))
    return _uri(sheet)


def _uri(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
