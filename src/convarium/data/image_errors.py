"""Why a file that has the ending of an image cannot be read."""

import re
from pathlib import Path

from PIL import UnidentifiedImageError

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


def _content(file: Path) -> str | None:
    try:
        with file.open("rb") as opened:
            start = opened.read(2048)
    except OSError:
        return None
    if not start:
        return "it is empty"
    return next((what for begin, what in _CONTENTS if re.match(begin, start, re.DOTALL | re.IGNORECASE)), None)
