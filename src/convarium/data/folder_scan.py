"""What a folder of images holds: its sub-folders and image files, whatever else lies between them.

Only regular files count. What systems and tools leave behind (names that begin with a dot, `__MACOSX`, `@eaDir`,
`Thumbs.db`) is passed over; all other files that are no images are counted by the reason.
"""

import importlib
import os
import stat
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from convarium.errors import DataError

MAX_DEPTH = 32
"""Folders inside folders. More of them are a link or an archive that was put there by mistake."""

FORMATS = (
    "JPEG", "PNG", "AVIF", "BMP", "CUR", "DCX", "DDS", "DIB", "FITS", "FLI", "GIF", "HEIF", "ICNS", "ICO", "IM",
    "JPEG2000", "MPO", "MSP", "PCD", "PCX", "PPM", "PSD", "QOI", "SGI", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM",
)  # fmt: skip
"""Pillow's names of the formats that are read, common ones first. Those that it only recognizes are missing, and EPS,
since Pillow would start Ghostscript for it: no file is to run a program.
"""

_LEFT_BEHIND = frozenset(
    {"__macosx", "@eadir", "thumbs.db", "desktop.ini", "$recycle.bin", "#recycle", "lost+found", "__pycache__",
     "system volume information"}
)  # fmt: skip
"""Names, in lower case, of folders and files that systems leave behind."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file that has the ending of an image.

    Attributes:
        path: of the file.
        size: in bytes.
        changed: when its content or its attributes last changed, in nanoseconds since 1970.
    """

    path: Path
    size: int
    changed: int


@dataclass(frozen=True)
class ScannedFolder:
    """A folder with everything below it.

    Attributes:
        path: of the folder.
        folders: its sub-folders, sorted by name.
        images: the image files that lie directly in it, sorted by name.
        passed_over: how many other files lie directly in it, by reason.
    """

    path: Path
    folders: tuple["ScannedFolder", ...]
    images: tuple["ImageFile", ...]
    passed_over: Counter[str]

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    def all_images(self) -> list["ImageFile"]:
        """The image files in this folder and below it, sorted by their paths."""
        below = [image for folder in self.folders for image in folder.all_images()]
        return sorted([*self.images, *below], key=lambda image: image.path.as_posix())

    def has_images(self) -> bool:
        """Whether there is an image in this folder or below it."""
        return bool(self.images) or any(folder.has_images() for folder in self.folders)

    def all_passed_over(self) -> Counter[str]:
        """How many files in this folder and below it were passed over, by reason."""
        return sum((folder.all_passed_over() for folder in self.folders), Counter(self.passed_over))


def scan_folder(path: Path) -> ScannedFolder:
    """Lists a folder and everything below it, without opening a file. Links to folders are followed.

    Raises:
        DataError: a folder cannot be listed, a link leads back to a folder that holds it, or folders are nested more
            than MAX_DEPTH deep.
    """
    try:
        resolved = path.resolve(strict=True)
        above = frozenset(_identity(folder.stat()) for folder in (resolved, *resolved.parents))
    except OSError as error:
        raise unlistable(path, error) from error
    return _scan(path, above, 0)


def _scan(path: Path, above: frozenset[tuple[int, int]], depth: int) -> ScannedFolder:
    if depth > MAX_DEPTH:
        raise DataError(
            f"the folders in {shown(path)} are nested more than {MAX_DEPTH} deep",
            hint="name the folder whose sub-folders are the classes",
        )
    folders, images, passed_over = [], [], Counter[str]()
    try:
        with os.scandir(path) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise unlistable(path, error) from error
    known = endings()
    for entry in listed:
        if entry.name.startswith(".") or entry.name.lower() in _LEFT_BEHIND:
            continue
        file = path / entry.name
        try:
            info = entry.stat()
        except OSError:
            # A link that leads nowhere or to itself.
            passed_over["behind a broken link"] += 1
            continue
        if stat.S_ISDIR(info.st_mode):
            here = _identity(file.stat())
            if entry.is_symlink() and here in above:
                raise DataError(
                    f"{shown(file)} is a link to {shown(file.resolve())}, a folder that holds the link itself",
                    hint="delete the link",
                )
            folders.append(_scan(file, above | {here}, depth + 1))
        elif not stat.S_ISREG(info.st_mode):
            passed_over["pipe or device"] += 1
        elif (ending := file.suffix.lower()) in known:
            images.append(ImageFile(file, info.st_size, max(info.st_mtime_ns, info.st_ctime_ns)))
        else:
            passed_over[_reason(ending)] += 1
    return ScannedFolder(path, tuple(folders), tuple(images), passed_over)


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino


def _reason(ending: str) -> str:
    if ending in (".heic", ".heif", ".hif"):
        return f"{ending[1:].upper()} (pip install pillow-heif reads them)"
    return ending[1:].upper() if ending else "without an ending"


@cache
def readable_formats() -> tuple[str, ...]:
    """Those of FORMATS that this Pillow can decode."""
    from PIL import Image, features

    with suppress(ImportError):  # an extra, for HEIC
        importlib.import_module("pillow_heif").register_heif_opener()
    Image.init()
    optional = {"AVIF": "avif", "WEBP": "webp", "JPEG2000": "jpg_2000"}
    return tuple(
        name for name in FORMATS if name in Image.OPEN and (name not in optional or features.check(optional[name]))
    )


@cache
def endings() -> frozenset[str]:
    """The endings of image files, in lower case, with the dot."""
    from PIL import Image

    formats = readable_formats()
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in formats)


def passed_over_sentence(by_folder: Iterable[tuple[str, Counter[str]]]) -> str | None:
    """One sentence about the files that were passed over: "passed over: 38 without an ending in dash, 2 PDF".

    Args:
        by_folder: names of folders, and how many files were passed over in each, by reason.

    Returns:
        The sentence; None if there was no such file.
    """
    places: dict[str, Counter[str]] = {}
    for folder, reasons in by_folder:
        for reason, count in reasons.items():
            places.setdefault(reason, Counter())[folder] += count
    if not places:
        return None
    parts = []
    for reason, folders in sorted(places.items(), key=lambda item: (-item[1].total(), item[0])):
        where = f" in {shown(next(iter(folders)))}" if len(folders) == 1 and len(places) < 6 else ""
        parts.append(f"{folders.total():,} {reason}{where}")
    return f"files passed over: {', '.join(parts[:8])}{', …' if len(parts) > 8 else ''}"


def unlistable(path: Path, error: OSError) -> DataError:
    """The error, to be raised, for a folder that the system does not list."""
    return DataError(
        f"cannot read the folder {shown(path)}: {error.strerror or error}",
        hint="name a folder that you may read, by a path that this system takes",
    )


def shown(path: Path | str) -> str:
    """A path as text that every encoding of Unicode can write, whatever bytes its name has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
