"""Test images as NumPy arrays, for pages that show them; no PyTorch is needed for published data sets."""

from pathlib import Path

from convarium.data.folder_options import FolderOptions, is_own
from convarium.data.own_images import read_own_images
from convarium.data.published import lookup
from convarium.data.published_files import read_test
from convarium.data.readers import Part
from convarium.data.sources import first_readable


def load_test_images(
    dataset: str, *, data_dir: Path | str | None = None, options: FolderOptions | None = None
) -> Part | None:
    """The test split as `load_data` has it, without the others; where it is empty by choice, the validation split.

    Args:
        dataset: a name of DATASETS, or of images of one's own.
        data_dir: a data folder that is searched before all others.
        options: how images of a folder are divided and read; published images stay as they are.

    Returns:
        Images (n, c, h, w) uint8 and labels (n,) int64; None where the files of a published data set are not on this
        machine.

    Raises:
        SpecError: no such data set.
        DataError: a file is damaged.
    """
    if is_own(dataset):
        own = read_own_images(dataset, options or FolderOptions())
        return own.test if len(own.test[1]) else own.validation
    return first_readable(lookup(dataset), data_dir, read_test)
