"""Downloads published files from the first mirror that answers, resumes interrupted downloads, and verifies them."""

import hashlib
import http.client
import secrets
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from convarium.data.published import lookup
from convarium.data.published_files import read_file
from convarium.data.sources import (
    Layout,
    RemoteFile,
    data_folders,
    download_folder,
    find,
    first_readable,
    missing_files,
)
from convarium.errors import DataError

DownloadListener = Callable[[str, int, int], None]
"""Called with a file's name, the bytes downloaded so far, and its size in bytes."""

_INSIDE = "inside a library"

CHUNK = 1 << 18
CUTS = 5
"""How often a mirror may interrupt a download, with progress in between, before the next mirror is tried."""


def fetch(dataset: str, *, data_dir: Path | str | None = None, on_event: DownloadListener | None = None) -> Path | None:
    """Downloads a data set unless it is on this machine already, verifies it, and returns its folder.

    Args:
        dataset: a name of DATASETS.
        data_dir: the folder that is searched first and downloaded to; None: $CONVARIUM_DATA or the user's cache folder.
        on_event: called after every chunk, see `DownloadListener`.

    Returns:
        The folder of its files; None if the data are part of a library.

    Raises:
        SpecError: no such data set.
        DataError: it is damaged or could not be downloaded; the message names files, digests and folder.
    """
    entry = lookup(dataset)
    if find(entry, data_dir) is None:
        names = {file.name for file in entry.files}
        root = download_folder(data_dir)
        folder = root / next(layout.folders[0] for layout in entry.layouts if set(layout.files) == names)
        download_files(entry.files, folder, on_event=on_event)
        for name in names:
            if name.endswith(".tar.gz"):
                unpack(folder / name, root / entry.layouts[0].folders[0])
    return check(dataset, data_dir=data_dir)


def check(dataset: str, *, data_dir: Path | str | None = None) -> Path | None:
    """Verifies the files of a data set and returns their folder (None: they are part of a library).

    Raises:
        SpecError: no such data set.
        DataError: it is missing, or a file is not the published one.
    """
    folder = first_readable(lookup(dataset), data_dir, _verified)
    if folder is None:
        raise missing_error(dataset, data_dir)
    return folder if folder.name != _INSIDE else None


def _verified(layout: Layout, folder: Path) -> Path:
    """The folder, once each of its files is verified; _INSIDE where there are none, since a library has the data."""
    for name in layout.files:
        read_file(layout, folder, name)
    return folder if layout.files else Path(_INSIDE)


def missing_error(dataset: str, data_dir: Path | str | None) -> DataError:
    """The error, to be raised, for a published data set that no data folder has: names the folders and the files."""
    searched = ", ".join(str(folder) for folder in data_folders(data_dir))
    folder, files = missing_files(lookup(dataset), data_dir)
    where = f"{folder} lacks" if folder else "looked for"
    return DataError(
        f"{dataset} is in none of {searched}: {where} {', '.join(files)}",
        hint=f"get it: convarium data fetch {dataset}",
    )


def download_files(
    files: Sequence[RemoteFile], folder: Path, *, on_event: DownloadListener | None = None, timeout: float = 20.0
) -> None:
    """Downloads the missing files into `folder`; each is verified and then renamed in one step.

    Several processes may do so at the same time. A file that could not be completed stays as a partial file, from which
    the next attempt resumes.

    Args:
        files: the files to download.
        folder: made if it does not exist.
        on_event: called after every chunk.
        timeout: seconds without a byte after which a mirror counts as failed.

    Raises:
        DataError: no mirror had one of the files, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            failures = _get(file, folder, on_event or (lambda *_: None), timeout)
            if failures:
                missing = [f"{f.name} (MD5 {f.md5})" for f in files if not (folder / f.name).exists()]
                raise DataError(
                    f"cannot download {file.name} ({'; '.join(failures)})",
                    hint=f"get {', '.join(missing)} by other means and put it into {folder}",
                )
    except OSError as error:
        raise DataError(
            f"cannot write to {folder}: {error.strerror or error}", hint="name another folder: --data-dir"
        ) from error


def _get(file: RemoteFile, folder: Path, on_event: DownloadListener, timeout: float) -> list[str]:
    """Tries one mirror after the other; returns what went wrong with each, or an empty list on success."""
    if (folder / file.name).exists():
        return []
    partial = folder / f".{file.name}.partial"
    own = folder / f".{file.name}.{secrets.token_hex(4)}.partial"
    with suppress(FileNotFoundError):
        partial.rename(own)  # one of several processes resumes it, and the others start from the beginning
    failures = []
    try:
        for url in file.urls:
            failure = _from_mirror(url, file, own, on_event, timeout)
            if failure is None:
                own.replace(folder / file.name)
                return []
            failures.append(f"{url}: {failure}")
    finally:
        with suppress(FileNotFoundError):
            own.replace(partial)
    return failures


def _from_mirror(url: str, file: RemoteFile, part: Path, on_event: DownloadListener, timeout: float) -> str | None:
    """Completes `part` from one mirror and verifies it; returns what went wrong, or None."""
    failure = ""
    for _ in range(CUTS):
        have = part.stat().st_size if part.exists() else 0
        if have < file.size:
            try:
                _append(url, file, part, have, on_event, timeout)
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                failure = str(getattr(error, "reason", None) or error) or type(error).__name__
            came = part.stat().st_size if part.exists() else 0
            if came <= have:
                return failure or f"sent {came} bytes instead of {file.size}"
            if came < file.size:
                continue
        if _md5(part) == file.md5:
            return None
        part.unlink()
        if have == 0:
            return f"sent a file that is not the published one (expected MD5 {file.md5})"
    return failure or f"broke off {CUTS} times"


def _append(url: str, file: RemoteFile, part: Path, have: int, on_event: DownloadListener, timeout: float) -> None:
    """Downloads the bytes after the first `have`; from a server without range requests, the file from its beginning."""
    headers = {"User-Agent": "convarium", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  (the URLs are those of `published`)
    with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
        goes_on = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        with part.open("ab" if goes_on else "wb") as out:
            _copy(response, out, file, have if goes_on else 0, on_event)


def _copy(
    response: http.client.HTTPResponse, out: IO[bytes], file: RemoteFile, done: int, on_event: DownloadListener
) -> None:
    while done <= file.size:  # one byte beyond the published size shows that it is another file
        try:
            chunk = response.read1(CHUNK)
        except OSError as error:
            raise ConnectionError(str(error)) from error  # unlike the OSError of a full disk, it is tried again
        if not chunk:
            return
        out.write(chunk)
        done += len(chunk)
        on_event(file.name, min(done, file.size), file.size)


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks the files of a `.tar.gz` into `folder`, which appears in one rename, and then deletes the archive.

    If the folder exists or the disk is full, the archive stays; it can be read as well, but more slowly.
    """
    scratch = archive.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    try:
        with suppress(OSError):
            scratch.mkdir()
            with tarfile.open(archive) as packed:
                for member in packed:
                    stream = packed.extractfile(member)
                    if stream is not None:
                        (scratch / Path(member.name).name).write_bytes(stream.read())
            scratch.rename(folder)
            archive.unlink(missing_ok=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
