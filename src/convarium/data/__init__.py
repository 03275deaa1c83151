"""The data sets and how they become batches."""

from pathlib import Path

import torch

from convarium.data.images import ImageData, Splits, check_images, divide, statistics
from convarium.data.published import CIFAR10, CIFAR100, DIGITS, FASHION_MNIST, KMNIST, MNIST
from convarium.data.readers import Part
from convarium.data.sources import Dataset, data_folders, find, read
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
) -> Splits:
    """Finds, verifies, reads and divides a data set; everything stays uint8.

    The training split is divided once into train and validation, always in the same way.

    Args:
        dataset: a name of DATASETS.
        data_dir: a data folder that is searched before all others.
        validation: training images held out; None: the data set's own choice.
        resize: side in pixels that batches bring the images to, see `ImageData.resize`.
        download: whether missing files may be downloaded.

    Raises:
        SpecError: no such data set.
        DataError: the data are missing or damaged, or `validation` or `resize` is out of range.
    """
    if resize is not None and not 1 <= resize <= 1024:
        raise DataError(f"resize={resize} is out of range", expected="1 to 1024 pixels")
    known = lookup(dataset)
    found = find(known, data_dir)
    if found is None:
        raise DataError(f"{dataset} is in none of {', '.join(map(str, data_folders(data_dir)))}")
    train, test = (_image_data(part, known, resize) for part in read(*found))
    return _splits(dataset, train, test, known.validation if validation is None else validation, known.digest)


def lookup(dataset: str) -> Dataset:
    """The entry of DATASETS.

    Raises:
        SpecError: there is none, with the nearest names.
    """
    if dataset not in DATASETS:
        raise unknown("dataset", dataset, DATASETS, hint="(convarium list datasets)")
    return DATASETS[dataset]


def _image_data(part: Part, known: Dataset, resize: int | None) -> ImageData:
    images, labels = part
    return ImageData(torch.from_numpy(images), torch.from_numpy(labels), known.class_names, resize)


def _splits(dataset: str, train: ImageData, test: ImageData, validation: int, digest: str) -> Splits:
    check_images(train, f"the training split of {dataset}")
    check_images(test, f"the test split of {dataset}")
    kept, held_out = divide(train, validation)
    mean, std = statistics(kept.images)
    return Splits(dataset, kept, held_out, test, digest, mean, std)
