"""Which files that have the ending of an image cannot be read, and why."""

import re
from pathlib import Path

from PIL import UnidentifiedImageError

from convarium.data.folder_scan import shown
from convarium.errors import DataError

_CONTENTS = (
    (rb"version https://git-lfs", "it is a pointer of Git LFS: git lfs pull gets the image"),
    (rb"\s*<(!doctype html|html|head)", "it is a web page"),
    (rb"\s*(<\?xml.{,500})?<svg", "it is a drawing in SVG: save it as PNG"),
    (rb".{4}ftyp(hei[cfmsx]|hev[cmsx]|mif1|msf1)", "it is HEIC: pip install pillow-heif"),
    (rb".{4}ftyp(?!avi[fs])", "it is a video"),
    (rb"PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf", "it is an archive"),
    (rb"%PDF", "it is a PDF"),
    (rb"\0+$", "it holds zeros alone"),
)
"""How contents begin that people find under the name of an image, and what is said of them."""


def reason_of(error: BaseException, file: Path) -> str:
    """The reason, in a few words, why a file could not be read as an image.

    Args:
        error: that was raised.
        file: that was read.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        return _content(file) or "it is no image that Pillow knows"
    return " ".join(str(error).replace(str(file), "the file").split()) or type(error).__name__


def unreadable(broken: dict[Path, str], n: int) -> DataError:
    """The error, to be raised, that names the images that cannot be read, with the reasons.

    Args:
        broken: the reason for each file.
        n: how many images were tried.
    """
    return DataError(
        f"cannot read {named(broken, n)}", hint="repair or delete them, or leave them out with --skip-broken"
    )


def named(broken: dict[Path, str], n: int) -> str:
    """The images of `n` that cannot be read, with the reasons."""
    files = [f"{shown(file)} ({reason})" for file, reason in broken.items()]
    if len(files) > 10:
        files[10:] = [f"and {len(files) - 10} more"]
    return f"{len(broken)} of {n} images: {', '.join(files)}" if len(broken) > 1 else f"the image {files[0]}"


def _content(file: Path) -> str | None:
    try:
        with file.open("rb") as opened:
            start = opened.read(2048)
    except OSError:
        return None
    if not start:
        return "it is empty"
    return next((what for begin, what in _CONTENTS if re.match(begin, start, re.DOTALL | re.IGNORECASE)), None)
