"""How a user's own images become splits and pixels: the fields of a recipe that decide it."""

import re
from dataclasses import dataclass
from typing import Literal

from convarium.errors import SpecError

Fit = Literal["stretch", "pad", "crop"]
"""How an image comes to the size of the others: stretched, padded with the ground, or cropped at its longer sides."""

TestSplit = Literal["held_out", "none"]
"""Whether images are held out for a test: the folder's own test split, or a fifth of every class; or none at all."""

OWN = ("folder:", "csv:", "npz:")
"""What the names of a user's own images begin with: a folder of classes, a CSV file, a NumPy file."""

_GROUNDS = {"white": (255, 255, 255), "black": (0, 0, 0), "gray": (128, 128, 128)}


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """What decides how the images of a folder are divided and read.

    Attributes:
        side: in pixels, of square images; None: the median height and width of the training images.
        validation: training images held out; None: the folder's own validation split, or a tenth.
        fit: see `Fit`.
        ground: what transparent pixels lie on: white, black, gray or #rrggbb.
        groups: a regular expression; images in whose paths it finds the same text are in one split.
        skip_broken: leave out images that cannot be read.
        test: see `TestSplit`; with "none" a test split that the images come with is not read.
    """

    side: int | None = None
    validation: int | None = None
    fit: Fit = "stretch"
    ground: str = "white"
    groups: str | None = None
    skip_broken: bool = False
    test: TestSplit = "held_out"


def is_own(dataset: str) -> bool:
    """Whether a data set's name stands for a user's own images, rather than for published ones."""
    return dataset.startswith(OWN)


def own_name(dataset: str) -> str:
    """The part of a data set's name that says where it lies."""
    return dataset.partition(":")[2] if is_own(dataset) else dataset


def parse_ground(text: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of white, black, gray or #rrggbb.

    Raises:
        SpecError: it is none of them.
    """
    if text in _GROUNDS:
        return _GROUNDS[text]
    if not re.fullmatch("#[0-9a-fA-F]{6}", text):
        raise SpecError(f"cannot read ground={text!r}", expected="white, black, gray or a color such as #f0e0d0")
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def parse_groups(text: str) -> re.Pattern[str]:
    r"""The pattern whose text in an image's path names its group: `video\d+`, or with a group, `(\w+)_\d+\.png`.

    Raises:
        SpecError: it is no regular expression.
    """
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise SpecError(
            f"groups={text!r} is no regular expression ({error})",
            hint=r"write the part that an object shares: video\d+",
        ) from error
