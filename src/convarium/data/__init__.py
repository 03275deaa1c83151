"""The data sets, published ones and folders of one's own, and how they become splits and batches.

Finding, downloading and reading them imports no PyTorch; `load_data` makes tensors of them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convarium.data.arrays import load_test_images
    from convarium.data.download import check, fetch
    from convarium.data.loading import load_data
    from convarium.data.published import DATASETS, lookup
    from convarium.data.splits import ImageData, Splits

__all__ = ["DATASETS", "ImageData", "Splits", "check", "fetch", "load_data", "load_test_images", "lookup"]

_MODULES = {
    "download": ("check", "fetch"),
    "published": ("DATASETS", "lookup"),
    "loading": ("load_data",),
    "splits": ("ImageData", "Splits"),
    "arrays": ("load_test_images",),
}


def __getattr__(name: str) -> Any:
    """Imports a public name's module when the name is first used, since PyTorch takes seconds."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"convarium.data.{module}"), name)
    raise AttributeError(f"module 'convarium.data' has no attribute {name!r}")
