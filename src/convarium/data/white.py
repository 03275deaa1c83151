"""Images of more than 8 bits: the value that is white in them, and their values as levels from 0 to 255."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from convarium.errors import DataError

_WHITES = {"whole numbers": (1, 255, 1023, 4095, 16383, 65535), "fractions": (1, 255, 65535)}
"""The values that white may have in images of more than 8 bits."""


def white_of(ranges: Sequence[tuple[float, float, bool]]) -> int:
    """The value of white for images of more than 8 bits: the least usual one that none of them exceeds.

    Args:
        ranges: least and largest value of each, and whether its values are fractions.

    Raises:
        DataError: there are values below 0 or above 65,535.
    """
    low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
    whites = _WHITES["fractions" if any(r[2] for r in ranges) else "whole numbers"]
    white = next((white for white in whites if high <= white), None)
    if white is None or low < 0:
        raise DataError(
            f"the images of more than 8 bits have values from {low:g} to {high:g}",
            expected="0 to 1, 255, 1,023, 4,095, 16,383 or 65,535",
            hint="save them with values from 0 to 65,535, or as images of 8 bits",
        )
    return white


def levels_of(values: npt.NDArray[Any], white: int) -> npt.NDArray[np.uint8]:
    """Values from 0 to `white` as levels from 0 to 255."""
    if white == 1:
        levels = np.rint(values * 255.0)
    elif white == 255:
        levels = values if values.dtype == np.uint8 else np.rint(values)
    else:
        levels = values.astype(np.int64) * 256 // (white + 1)
    return levels.clip(0, 255).astype(np.uint8)


def checked_levels(values: npt.NDArray[Any], white: int | None) -> npt.NDArray[np.uint8]:
    """Values of more than 8 bits as levels from 0 to 255.

    Args:
        values: of any shape.
        white: the value of white; None: other images of the set have 8 bits, so that it is not known.

    Raises:
        ValueError: it is not known, or values are beyond it.
    """
    low, high = float(values.min()), float(values.max())
    if white is None:
        raise ValueError(f"values from {low:g} to {high:g} in more than 8 bits, where the other images have 8")
    if not 0 <= low <= high <= white:
        raise ValueError(f"values from {low:g} to {high:g}, where white is {white:,}")
    return levels_of(values, white)
