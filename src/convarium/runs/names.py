"""Names of files and folders that Linux, macOS and Windows all accept, so that a store can be moved between them."""

import re
import sys
import unicodedata
from pathlib import Path

from convarium.errors import StoreError

LONGEST_NAME = 200
"""Bytes that a name may have on every file system, with room for what is added to it."""

_LONGEST_PATH = 259
"""Characters that a path may have on Windows, unless it begins with the two backslashes and the question mark that
lift the limit: MAX_PATH without its final zero (Microsoft, "Maximum Path Length Limitation").
"""
_LONGEST_FILE = 60
"""Characters of the longest name of a file in a run's folder, with its separator: TensorBoard's names hold the time,
the computer's name, which has at most 15 characters on Windows, and two numbers.
"""
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\..*)?", re.IGNORECASE)
"""Names that Windows reserves for devices, with any ending (Microsoft, "Naming Files, Paths, and Namespaces")."""
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\ud800-\udfff]')


def file_name(text: str, *, longest: int = 60) -> str:
    """A name for a file or folder, made from any text by putting a dash for whatever is no letter, digit, dot or "_".

    Different texts may have the same name, so it must be told apart by something else, such as a run's key.

    Args:
        text: such as a network's spec.
        longest: bytes of the name, at most.
    """
    words = re.sub(r"[^\w.]+", "-", text.encode("utf-8", "replace").decode())
    name = words.strip("-.").encode()[:longest].decode("utf-8", "ignore").strip("-.")
    return f"_{name}"[:longest] if _DEVICES.fullmatch(name) else name or "data"


def is_file_name(name: str) -> bool:
    """Whether Linux, macOS and Windows all accept a name for a file or folder."""
    return bool(
        name
        and not _FORBIDDEN.search(name)
        and not _DEVICES.fullmatch(name)
        and not name.endswith((".", " "))
        and len(name.encode()) <= LONGEST_NAME
    )


def same_file(name: str, other: str) -> bool:
    """Whether two names are one file where a file system ignores case and the ways in which an accent is written."""
    first, second = (unicodedata.normalize("NFC", each).casefold() for each in (name, other))
    return first == second


def check_path(folder: Path) -> None:
    """Refuses a folder whose files would have longer paths than Windows can open; elsewhere any length will do.

    Raises:
        StoreError: the path is too long.
    """
    path = str(folder.absolute())
    if sys.platform == "win32" and len(path) + _LONGEST_FILE > _LONGEST_PATH and not path.startswith("\\\\?\\"):
        raise StoreError(
            f"the path {path} is {len(path)} characters long, too long for its files on Windows",
            expected=f"at most {_LONGEST_PATH - _LONGEST_FILE}",
            hint="use a --store with a shorter path",
        )
