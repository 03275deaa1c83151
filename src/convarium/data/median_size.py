"""The usual size of a user's image files, from the headers of some of them."""

import numpy as np

from convarium.data.csv_files import holds_pixels, list_csv
from convarium.data.folder_options import FolderOptions
from convarium.data.folder_splits import list_folder
from convarium.data.image_files import Header, in_parallel, read_header
from convarium.data.own_images import own_path

_LOOKED_AT = 1000
"""Files whose headers are read, spread evenly over all."""


def median_size(dataset: str, options: FolderOptions) -> tuple[int, int] | None:
    """The median height and width, in pixels, of the training images; None where a file holds the pixels themselves.

    Args:
        dataset: folder:PATH, csv:FILE or npz:FILE.
        options: how the images are divided.

    Raises:
        DataError: there are no images, or they cannot be divided so.
    """
    path = own_path(dataset)
    if dataset.startswith("npz:") or (dataset.startswith("csv:") and holds_pixels(path)):
        return None
    listing = (list_folder if dataset.startswith("folder:") else list_csv)(path, options)
    files = [file.path for file, _ in listing.train]
    some = files[:: max(1, len(files) // _LOOKED_AT)]
    headers = [header for _, header in in_parallel(read_header, some) if isinstance(header, Header)]
    if not headers:
        return None
    return int(np.median([each.height for each in headers])), int(np.median([each.width for each in headers]))
