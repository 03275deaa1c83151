"""The data sets, published ones and folders of one's own, and how they become splits and batches.

Finding, downloading and reading them imports no PyTorch; `load_data` makes tensors of them.
"""

from typing import TYPE_CHECKING

from convarium.lazy_names import lazy_names

if TYPE_CHECKING:
    from convarium.data.arrays import load_test_images
    from convarium.data.download import check, fetch
    from convarium.data.loading import load_data
    from convarium.data.published import DATASETS, lookup
    from convarium.data.splits import ImageData, Splits

__all__ = ["DATASETS", "ImageData", "Splits", "check", "fetch", "load_data", "load_test_images", "lookup"]

__getattr__ = lazy_names(
    __name__,
    {
        "arrays": ("load_test_images",),
        "download": ("check", "fetch"),
        "loading": ("load_data",),
        "published": ("DATASETS", "lookup"),
        "splits": ("ImageData", "Splits"),
    },
)
