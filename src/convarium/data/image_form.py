"""The form that images are read in, as their headers and the recipe decide it."""

from collections.abc import Sequence

import numpy as np

from convarium.data.folder_options import FolderOptions, parse_ground
from convarium.data.folder_scan import ImageFile
from convarium.data.image_errors import unreadable
from convarium.data.image_files import Header, ImageForm, in_parallel, read_header, value_range
from convarium.data.white import white_of
from convarium.errors import DataError

MAX_SIDE = 1024
"""Pixels of the largest images that networks are trained on, as for `resize`."""


def decide_form(
    files: Sequence[ImageFile], *, training: int, options: FolderOptions
) -> tuple[ImageForm, dict[int, str]]:
    """The form in which images are read.

    Gray if all training images are gray; of the size that the options name, or of the median height and width of the
    training images; with one value of white for all images of more than 8 bits.

    Args:
        files: the images.
        training: how many of them, from the first, are training images.
        options: size, ground and fit, and whether broken images are left out.

    Returns:
        The form, and for each number of a file that cannot be read the reason.

    Raises:
        DataError: images cannot be read or are too large, or values are beyond 16 bits.
    """
    paths = [file.path for file in files]
    headers: dict[int, Header] = {}
    broken: dict[int, str] = {}
    for number, (_, header) in enumerate(in_parallel(read_header, paths)):
        if isinstance(header, str):
            broken[number] = header
        else:
            headers[number] = header
    deep = [number for number, header in headers.items() if header.is_deep]
    ranges = []
    for number, (_, found) in zip(deep, in_parallel(value_range, [paths[number] for number in deep]), strict=True):
        if isinstance(found, str):
            broken[number] = found
        else:
            ranges.append(found)
    known = [header for number, header in headers.items() if number < training and number not in broken]
    if not known:
        raise unreadable({paths[number]: why for number, why in sorted(broken.items())}, len(files))
    ground = parse_ground(options.ground)
    gray = all(header.is_gray for header in known) and len(set(ground)) == 1
    if options.side:
        height = width = options.side
    else:
        height, width = (max(1, int(np.median([getattr(h, name) for h in known]))) for name in ("height", "width"))
        _check_size(height, width, channels=1 if gray else 3, n=len(files))
    white = white_of(ranges) if ranges else None
    return ImageForm(1 if gray else 3, height, width, options.fit, ground, white), broken


def _check_size(height: int, width: int, *, channels: int, n: int) -> None:
    if max(height, width) <= MAX_SIDE:
        return
    gib = n * channels * height * width / 2**30
    raise DataError(
        f"{n:,} images of {width:,}×{height:,} pixels, the median size, would take {gib:.1f} GiB",
        expected=f"at most {MAX_SIDE} pixels a side",
        hint="have them reduced while they are read: --resize 224",
    )
