"""The data sets and how they become batches."""

from dataclasses import replace
from pathlib import Path

import torch

from convarium.data.download import DownloadListener, download_files, unpack
from convarium.data.folder import load_folder
from convarium.data.images import ImageData, Splits, check_images, content_digest, divide, statistics
from convarium.data.published import CIFAR10, CIFAR100, DIGITS, FASHION_MNIST, KMNIST, MNIST
from convarium.data.sources import Dataset, data_folders, download_folder, find, lacking, read, read_verified
from convarium.errors import DataError
from convarium.spec import unknown

DATASETS: dict[str, Dataset] = {
    "digits": DIGITS,
    "mnist": MNIST,
    "fashion_mnist": FASHION_MNIST,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "kmnist": KMNIST,
}


def load_data(
    dataset: str,
    *,
    data_dir: Path | str | None = None,
    validation: int | None = None,
    resize: int | None = None,
    download: bool = True,
    on_event: DownloadListener | None = None,
) -> Splits:
    """Finds, verifies, reads and divides a data set; everything stays uint8.

    The training split is divided once into train and validation, always in the same way.

    Args:
        dataset: a name of DATASETS, or folder:PATH for images of one's own (see `folder`).
        data_dir: a data folder that is searched before all others.
        validation: training images held out; None: the data set's own choice (of a folder: its `val/`, or a tenth).
        resize: side in pixels that batches bring the images to, see `ImageData.resize`; images of a folder are read
            in that size.
        download: whether missing files may be downloaded.
        on_event: told of a download's, see `DownloadListener`.

    Raises:
        SpecError: no such data set.
        DataError: the data are missing or damaged, or `validation` or `resize` is out of range.
    """
    if resize is not None and not 1 <= resize <= 1024:
        raise DataError(f"resize={resize} is out of range", expected="1 to 1024 pixels")
    if dataset.startswith("folder:"):
        return _load_folder(dataset, validation, resize)
    known = lookup(dataset)
    found = find(known, data_dir)
    if found is None and download:
        fetch(dataset, data_dir=data_dir, on_event=on_event)
        found = find(known, data_dir)
    if found is None:
        raise _missing(dataset, data_dir)
    train, test = (
        ImageData(torch.from_numpy(images), torch.from_numpy(labels), known.class_names, resize)
        for images, labels in read(*found)
    )
    kept, held_out = divide(train, known.validation if validation is None else validation)
    return _splits(dataset, kept, held_out, test, known.digest)


def lookup(dataset: str) -> Dataset:
    """The entry of DATASETS.

    Raises:
        SpecError: there is none, with the nearest names.
    """
    if dataset not in DATASETS:
        raise unknown("data set", dataset, DATASETS, hint="(or folder:PATH for your own images)")
    return DATASETS[dataset]


def fetch(dataset: str, *, data_dir: Path | str | None = None, on_event: DownloadListener | None = None) -> Path | None:
    """Downloads a data set unless it is there already, verifies it, and says in which folder it is.

    Args:
        dataset: a name of DATASETS.
        data_dir: where it is looked for first, and downloaded to; None: $CONVARIUM_DATA or the user's cache folder.
        on_event: told of every chunk.

    Returns:
        The folder of its files; None where the data come with a library.

    Raises:
        SpecError: no such data set.
        DataError: it is damaged, or could not be downloaded; names the files, their digests and where to put them.
    """
    known = lookup(dataset)
    if find(known, data_dir) is None:
        names = {file.name for file in known.files}
        root = download_folder(data_dir)
        home = root / next(layout.folders[0] for layout in known.layouts if set(layout.files) == names)
        download_files(known.files, home, on_event=on_event)
        for name in names:
            if name.endswith(".tar.gz"):
                unpack(home / name, root / known.layouts[0].folders[0])
    return check(dataset, data_dir=data_dir)


def check(dataset: str, *, data_dir: Path | str | None = None) -> Path | None:
    """Verifies the files of a data set and says in which folder they are (None: they come with a library).

    Raises:
        SpecError: no such data set.
        DataError: it is missing, or a file is not the published one.
    """
    found = find(lookup(dataset), data_dir)
    if found is None:
        raise _missing(dataset, data_dir)
    layout, folder = found
    for name, md5 in layout.files.items():
        read_verified(folder / name, md5)
    return folder if layout.files else None


def _missing(dataset: str, data_dir: Path | str | None) -> DataError:
    searched = ", ".join(str(folder) for folder in data_folders(data_dir))
    folder, files = lacking(lookup(dataset), data_dir)
    told = f"{folder} lacks" if folder else "looked for"
    return DataError(
        f"{dataset} is in none of {searched}: {told} {', '.join(files)}", hint=f"get it: convarium data fetch {dataset}"
    )


def _load_folder(dataset: str, validation: int | None, resize: int | None) -> Splits:
    if not dataset.removeprefix("folder:").strip():
        raise DataError(f"{dataset!r} names no folder", hint="write folder:PATH with the path of a folder of classes")
    train, own, test = load_folder(Path(dataset.removeprefix("folder:")).expanduser(), side=resize)
    digest = content_digest(*(part for part in (train, own, test) if part is not None))
    if own is None or validation is not None:
        kept, held_out = divide(train, len(train) // 10 if validation is None else validation)
    else:
        kept, held_out = train, own
    kept, held_out, test = (replace(part, resize=resize) for part in (kept, held_out, test))
    return _splits(dataset, kept, held_out, test, digest)


def _splits(dataset: str, train: ImageData, validation: ImageData, test: ImageData, digest: str) -> Splits:
    check_images(train, f"the training split of {dataset}")
    check_images(test, f"the test split of {dataset}")
    mean, std = statistics(train.images)
    return Splits(dataset, train, validation, test, digest, mean, std)
