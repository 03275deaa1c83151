"""Finds, verifies and reads a data set, published or a user's own, and has it divided."""

from pathlib import Path

import torch

from convarium.data.download import DownloadListener, fetch, missing_error
from convarium.data.folder_options import Fit, FolderOptions, TestSplit, is_own
from convarium.data.own_images import read_own_images
from convarium.data.published import lookup
from convarium.data.published_files import read
from convarium.data.readers import Part
from convarium.data.sources import first_readable
from convarium.data.splits import ImageData, Splits, UndividedData, check_resize, divide
from convarium.errors import DataError
from convarium.notebook import counting_display


def load_data(
    dataset: str,
    *,
    data_dir: Path | str | None = None,
    validation: int | None = None,
    resize: int | None = None,
    fit: Fit = "stretch",
    ground: str = "white",
    groups: str | None = None,
    skip_broken: bool = False,
    test: TestSplit = "held_out",
    download: bool = True,
    on_event: DownloadListener | None = None,
) -> Splits:
    """Finds, verifies, reads and divides a data set; everything stays uint8.

    The training split is divided once into train and validation, always in the same way.

    Args:
        dataset: a name of DATASETS, or folder:PATH, csv:FILE or npz:FILE for images of one's own.
        data_dir: a data folder that is searched before all others.
        validation: training images held out; None: the data set's own choice (of a folder: its `val/`, or a tenth).
        resize: side in pixels that batches bring the images to, see `ImageData.resize`; images of a folder are read
            in that size.
        fit, ground, groups, skip_broken, test: of one's own images, see `FolderOptions`.
        download: whether missing files may be downloaded.
        on_event: called while files are downloaded, see `DownloadListener`, and while images are decoded, with their
            numbers in place of bytes.

    Raises:
        SpecError: no such data set.
        DataError: the data are missing or damaged, or `validation` or `resize` is out of range.
    """
    options = FolderOptions(
        side=resize, validation=validation, fit=fit, ground=ground, groups=groups, skip_broken=skip_broken, test=test
    )
    on_event = on_event or counting_display()
    undivided = read_data(dataset, data_dir=data_dir, options=options, download=download, on_event=on_event)
    return divide(undivided, validation=validation, resize=resize)


def read_data(
    dataset: str,
    *,
    data_dir: Path | str | None = None,
    options: FolderOptions | None = None,
    download: bool = True,
    on_event: DownloadListener | None = None,
) -> UndividedData:
    """Finds, verifies and reads a data set, for one division or several; a folder is divided as it is read.

    Args:
        dataset: a name of DATASETS, or of images of one's own.
        data_dir: a data folder that is searched before all others.
        options: how the images of a folder are divided and read.
        download: whether missing files may be downloaded.
        on_event: see `load_data`.

    Raises:
        SpecError: no such data set.
        DataError: the data are missing or damaged, or the division is impossible.
    """
    if is_own(dataset):
        options = options or FolderOptions()
        check_resize(options.side)
        return _read_own(dataset, options, on_event)
    entry = lookup(dataset)
    parts = first_readable(entry, data_dir, read)
    if parts is None and download:
        fetch(dataset, data_dir=data_dir, on_event=on_event)
        parts = first_readable(entry, data_dir, read)
    if parts is None:
        raise missing_error(dataset, data_dir)
    train, test = (_image_data(part, entry.class_names) for part in parts)
    for part in (train, test):
        if part.spec != entry.spec:
            raise DataError(
                f"the images of {dataset} are not those of its entry", expected=f"{entry.spec}", received=part.spec
            )
    return UndividedData(dataset, train, None, test, entry.validation, entry.digest)


def _read_own(dataset: str, options: FolderOptions, on_event: DownloadListener | None) -> UndividedData:
    own = read_own_images(dataset, options, on_event=on_event)
    train, validation, test = (_image_data(part, own.class_names) for part in (own.train, own.validation, own.test))
    return UndividedData(
        dataset,
        train,
        validation,
        test,
        0,
        own.digest,
        own.notes,
        own.form,
        unreadable=own.unreadable,
        passed_over=own.passed_over,
    )


def _image_data(part: Part, class_names: tuple[str, ...]) -> ImageData:
    images, labels = part
    return ImageData(torch.from_numpy(images), torch.from_numpy(labels), class_names)
