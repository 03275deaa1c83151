"""How the files of a published data set are read, and verified by their content."""

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from convarium.data.readers import DAMAGED, Part, Parts, as_part
from convarium.data.sources import Layout, present_files
from convarium.errors import DataError

LARGEST = 2**30
"""Bytes of the largest published file once it is unpacked."""


def read(layout: Layout, folder: Path) -> Parts:
    """Reads and verifies the files of a data set.

    Raises:
        DataError: a file cannot be read, is not the published one, or holds no images and labels.
    """
    with _naming(layout, folder):
        train, test = layout.read([read_file(layout, folder, name) for name in layout.files])
        return as_part(train, "training images"), as_part(test, "test images")


def read_test(layout: Layout, folder: Path) -> Part:
    """Reads and verifies the test split of a data set, and its training files only where one file holds both.

    Raises:
        DataError: a file cannot be read, is not the published one, or holds no images and labels.
    """
    if layout.read_test is None:
        return read(layout, folder)[1]
    files = list(layout.files)[-layout.test_files :]
    with _naming(layout, folder):
        return as_part(layout.read_test([read_file(layout, folder, name) for name in files]), "test images")


@contextmanager
def _naming(layout: Layout, folder: Path) -> Iterator[None]:
    """Names the files where a reader fails on their content."""
    try:
        yield
    except DAMAGED as error:
        names = ", ".join(str(folder / name) for name in layout.files)
        raise DataError(
            f"cannot read {names}: {type(error).__name__}: {error}", hint="it is damaged, or its reader is wrong"
        ) from error


def read_file(layout: Layout, folder: Path, name: str) -> bytes:
    """The content of a published file, from the first file in the folder that has it, see `present_files`.

    A file that was unpacked or packed again by a browser has the published content although its MD5 is another.

    Raises:
        DataError: no file has it, or one cannot be read.
    """
    refused: DataError | None = None
    md5 = layout.files[name]
    for path in present_files(folder, name) or [folder / name]:
        try:
            content = path.read_bytes()
        except OSError as error:
            refused = refused or DataError(f"cannot read {path}: {error.strerror}", hint="check its permissions")
            continue
        if _md5(content) == md5:
            return content
        plain = _unpacked(content)
        if _md5(plain) in (md5, layout.unpacked.get(name)) or (
            layout.members and _has_members(content, layout.members)
        ):
            return plain
        refused = refused or DataError(
            f"{path} is not the published file",
            expected=f"MD5 {md5}",
            received=_md5(content),
            hint="delete it and get it again: convarium data fetch",
        )
    assert refused is not None
    raise refused


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _unpacked(content: bytes) -> bytes:
    """What a gzip file holds; anything else, and what would unpack to more than LARGEST bytes, as it is."""
    if content[:2] != b"\x1f\x8b":
        return content
    unpacking = zlib.decompressobj(wbits=31)
    try:
        plain = unpacking.decompress(content, LARGEST)
    except zlib.error:
        return content
    return plain if unpacking.eof else content


def _has_members(content: bytes, members: Mapping[str, str]) -> bool:
    """Whether an archive holds files with these MD5s, however it is packed."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            found = {
                Path(member.name).name: _md5(stream.read())
                for member in archive
                if member.size <= LARGEST and (stream := archive.extractfile(member))
            }
    except DAMAGED:
        return False
    return members.items() <= found.items()
