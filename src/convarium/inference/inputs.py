"""The images that a prediction is asked for: files, folders, and standard input with paths or one image."""

import os
import re
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from convarium.data.folder_scan import passed_over_sentence, scan_folder, shown
from convarium.errors import DataError

STANDARD_INPUT = "-"
"""What stands for standard input in place of a path, and names the image that was read from it."""

_LARGEST_INPUT = 2**30
"""Bytes that are read from standard input; Pillow refuses images that would be larger."""

_BEGINNING = 4096
"""Bytes of standard input that tell an image from paths."""

_TEXT_IMAGE = re.compile(rb"P[1-7]\s|#define |/\* XPM")
"""How images begin that look like text: PPM and its kin, XBM, XPM."""

_NOT_TEXT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True)
class ImageInputs:
    """Image files in the order in which they are answered.

    Attributes:
        names: each as it is shown: the path as it was given, or "-" for an image on standard input.
        files: each one's path.
        notes: sentences about files in folders that were passed over.
    """

    names: tuple[str, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.files)


@contextmanager
def find_images(given: Sequence[str | Path], stdin: BinaryIO | None = None) -> Iterator[ImageInputs]:
    """Lists the images that paths stand for. Files are not opened; what is no image is found out when it is decoded.

    Args:
        given: files; folders, whose images are found as in data sets, sorted by path; or "-", for one image or a list
            of paths on standard input, one a line or with a null character after each.
        stdin: standard input; None: the process's own.

    Yields:
        The images. One that came from standard input lies in a file until the context ends.

    Raises:
        DataError: nothing is given, "-" is given twice, or a folder cannot be listed or has no images.
    """
    if not given:
        raise DataError("no image to predict is named", hint="name image files, folders, or - for standard input")
    if [str(path) for path in given].count(STANDARD_INPUT) > 1:
        raise DataError("standard input (-) is given twice", hint="give it once")
    with tempfile.TemporaryDirectory(prefix="convarium-") as folder:
        names: list[str] = []
        files: list[Path] = []
        passed_over: list[tuple[str, Counter[str]]] = []

        def add(path: Path, name: str | None = None) -> None:
            names.append(shown(path) if name is None else name)
            files.append(path)

        def add_all(paths: Iterable[str | Path]) -> None:
            for path in paths:
                if not os.path.isdir(path):  # noqa: PTH112 - False for any path that cannot be looked at
                    add(Path(path))
                    continue
                scanned = scan_folder(Path(path))
                images = scanned.all_images()
                passed_over.append((shown(scanned.path), scanned.all_passed_over()))
                if not images:
                    why = passed_over_sentence(passed_over[-1:])
                    hint = f"{why}; a file that is named itself is tried all the same" if why else "name image files"
                    raise DataError(f"no images in the folder {shown(path)}", hint=hint)
                for image in images:
                    add(image.path)

        for path in given:
            if str(path) != STANDARD_INPUT:
                add_all([path])
                continue
            content = _read(sys.stdin.buffer if stdin is None else stdin)
            if _is_image(content):
                spooled = Path(folder) / "standard-input"
                spooled.write_bytes(content)
                add(spooled, STANDARD_INPUT)
            else:
                add_all(_paths(content))
        sentence = passed_over_sentence(passed_over)
        yield ImageInputs(tuple(names), tuple(files), (sentence,) if sentence else ())


def check_file(path: Path) -> None:
    """Checks that a path is a file that can be opened, so that no pipe is waited for.

    Raises:
        ValueError: it is not; says why.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ValueError((error.strerror or "it cannot be found").lower()) from error
    if not stat.S_ISREG(mode):
        raise ValueError("a folder" if stat.S_ISDIR(mode) else "a pipe or device; for standard input write -")
    if not os.access(path, os.R_OK):
        raise ValueError("permission denied")


def _read(stdin: BinaryIO) -> bytes:
    content = stdin.read(_LARGEST_INPUT + 1)
    if len(content) > _LARGEST_INPUT:
        raise DataError(
            "standard input is no image",
            expected="at most 1 GiB",
            hint="write the images to files and name their folder",
        )
    if len(content) <= _BEGINNING and not content.strip():
        raise DataError("standard input is empty", hint="send the paths of images, one a line, or one image")
    return content


def _is_image(content: bytes) -> bool:
    """Whether bytes are an image, and not paths: the first path exists, or all is text that is no image."""
    beginning = content[:_BEGINNING]
    if any(map(os.path.lexists, _paths(beginning)[:1])):
        return False
    return bool(_NOT_TEXT.search(beginning) or _TEXT_IMAGE.match(beginning))


def _paths(content: bytes) -> list[str]:
    """The paths in a list: those that end with a null character, as from `find -print0`, or one a line."""
    parts = content.split(b"\0") if b"\0" in content else content.splitlines()
    return [os.fsdecode(part) for part in parts if part.strip()]
