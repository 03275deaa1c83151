"""Published data sets: how they are described, and where their files are searched for."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TypeVar

import platformdirs

from convarium.data.readers import Part, Parts
from convarium.disk import usable_path
from convarium.errors import DataError
from convarium.records import ImageSpec


@dataclass(frozen=True)
class RemoteFile:
    """A file to download: size in bytes, MD5 in hexadecimal, and the URLs that serve it, the best first."""

    name: str
    size: int
    md5: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """One form of a data set's files on disk.

    Attributes:
        files: name → MD5, in the order in which `read` takes them.
        folders: the folders inside a data folder that may have them; a download goes to the first.
        unpacked: name → MD5 of what a gzip file holds, where it is known.
        members: name → MD5 of the files in an archive, which verify it where it was packed again.
        read_test: reads the test split from the last `test_files` files alone; None: it takes all files.
    """

    files: Mapping[str, str]
    folders: tuple[str, ...]
    read: Callable[[Sequence[bytes]], Parts]
    read_test: Callable[[Sequence[bytes]], Part] | None = None
    test_files: int = 1
    unpacked: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """A published data set.

    Attributes:
        title, source, licence: its description, the publication to cite, and the terms of use.
        class_names: in the order of the labels.
        spec: the images as published.
        train, test: number of images in the publisher's splits.
        validation: images of `train` that are held out unless a recipe sets another number.
        mean, std: of the publisher's training split by channel, in units of 1 = white (a run's own leave out what it
            holds out).
        flips: whether a mirrored image still belongs to its class.
        files: the files to download; none if the data are part of a library.
        layouts: the accepted forms, the quickest to read first; one of them is that of `files`. A downloaded `.tar.gz`
            is unpacked into the first one.
        content: SHA-256 over images and labels (`splits.content_digest`); None if it has not been measured.
    """

    title: str
    source: str
    licence: str
    class_names: tuple[str, ...]
    spec: ImageSpec
    train: int
    test: int
    validation: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flips: bool
    layouts: tuple[Layout, ...] = field(repr=False)
    files: tuple[RemoteFile, ...] = field(default=(), repr=False)
    content: str | None = None

    @property
    def digest(self) -> str:
        """The digest that identifies the content in a recipe's key: `content`, or else SHA-256 over the files' MD5s.

        It is known without reading the files, which are verified whenever they are read.
        """
        published = " ".join(f"{f.name} {f.md5}" for f in self.files)
        return self.content or hashlib.sha256(published.encode()).hexdigest()


Result = TypeVar("Result")

DIVISION_SEED = 42
"""Of every division into train, validation and test; UvA tutorial 5 divides CIFAR-10 by this seed."""

SYSTEM_FOLDERS = (Path("/usr/share/datasets"), Path("/usr/local/share/datasets"))
"""The folders of an operating system's data packages, such as Debian's dataset-fashion-mnist."""


def data_folders(data_dir: Path | str | None = None) -> list[Path]:
    """The data folders that are searched, in order: the argument, $CONVARIUM_DATA, ./data, the user's cache, the
    system's.
    """
    named, cache = _named_folders(data_dir), cache_folder()
    return [*named, Path("data"), *([cache] if cache else []), *SYSTEM_FOLDERS]


def _named_folders(data_dir: Path | str | None) -> list[Path]:
    named = {"data_dir": data_dir, "$CONVARIUM_DATA": os.environ.get("CONVARIUM_DATA")}
    return [usable_path(folder, name) for name, folder in named.items() if folder]


def download_folder(data_dir: Path | str | None = None) -> Path:
    """The folder for downloads: the argument, $CONVARIUM_DATA or the user's cache.

    Raises:
        DataError: neither is given, and the user has no home folder.
    """
    folder = next(iter(_named_folders(data_dir)), None) or cache_folder()
    if folder is None:
        raise DataError("there is no home folder to keep data sets in", hint="name a folder: --data-dir")
    return folder


def cache_folder() -> Path | None:
    """The user's cache folder for data sets; None for a user without a home folder, as containers have them."""
    try:
        folder = platformdirs.user_cache_path("convarium", appauthor=False) / "data"
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None


def find(dataset: Dataset, data_dir: Path | str | None = None) -> tuple[Layout, Path] | None:
    """The first complete set of files and the folder that holds them; None if no folder has one."""
    return next(locations(dataset, data_dir), None)


def locations(dataset: Dataset, data_dir: Path | str | None = None) -> Iterator[tuple[Layout, Path]]:
    """Every complete set of files and the folder that holds them: first those that are named as published.

    After them come files of other names (see `present_files`), and data folders that hold the files themselves.
    """
    roots = data_folders(data_dir)
    found = set()
    for as_published, root, layout in product((True, False), roots, dataset.layouts):
        for folder in (*layout.folders, *(() if as_published else (".",))):
            place = root / folder
            if (id(layout), place) not in found and _has_all(place, layout, as_published=as_published):
                found.add((id(layout), place))
                yield layout, place


def _has_all(folder: Path, layout: Layout, *, as_published: bool) -> bool:
    """Whether a folder has every file of a layout: under its published name, or also under another one."""
    if as_published:
        return all((folder / name).is_file() for name in layout.files)
    return all(present_files(folder, name) for name in layout.files)


def first_readable(
    dataset: Dataset, data_dir: Path | str | None, attempt: Callable[[Layout, Path], Result]
) -> Result | None:
    """What `attempt` returns for the first set of files that it does not refuse; None if there is no set.

    Raises:
        DataError: it refuses all of them; the error is that of the first.
    """
    refused: DataError | None = None
    for layout, folder in locations(dataset, data_dir):
        try:
            return attempt(layout, folder)
        except DataError as error:
            refused = refused or error
    if refused is not None:
        raise refused
    return None


def present_files(folder: Path, name: str) -> list[Path]:
    """The files of a folder that may be a published file: of its name, with a dot in it, unpacked or packed again.

    `train-images-idx3-ubyte` is also called `train-images.idx3-ubyte`.
    """
    plain = name.removesuffix(".gz")
    names = [name, plain, f"{plain}.gz"] if not plain.endswith(".tar") else [name, plain]
    names += [other.replace("-idx", ".idx", 1) for other in names]
    return [folder / other for other in dict.fromkeys(names) if (folder / other).is_file()]


def missing_files(dataset: Dataset, data_dir: Path | str | None = None) -> tuple[Path | None, list[str]]:
    """The files that a data set still needs where `find` returns None, and the folder that has most of the others.

    The folder is None where no folder has any of them; the files are then those that the publisher offers.
    """
    best: tuple[Path | None, list[str]] = None, [file.name for file in dataset.files]
    most = 0
    for root in data_folders(data_dir):
        for layout in dataset.layouts:
            for folder in layout.folders:
                missing = [name for name in layout.files if not (root / folder / name).is_file()]
                if len(layout.files) - len(missing) > most:
                    best, most = (root / folder, missing), len(layout.files) - len(missing)
    return best
