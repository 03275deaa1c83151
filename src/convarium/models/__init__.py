"""The networks: `zoo` has one file an architecture, `index` names them all without PyTorch.

`build` makes a network of a spec such as `resnet(depth=56)`, `describe` lists its layers, `cost` counts its operations,
and `weights` reads its weights from a file.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convarium.models.build import build_model, check_image
    from convarium.models.cost import count_flops, count_parameters
    from convarium.models.index import NETWORKS, PRESETS, native_image, resolve
    from convarium.models.weights import load_weights, set_weights

__all__ = [
    "NETWORKS",
    "PRESETS",
    "build_model",
    "check_image",
    "count_flops",
    "count_parameters",
    "load_weights",
    "native_image",
    "resolve",
    "set_weights",
]

_MODULES = {
    "build": (
        "build_model",
        "check_image",
    ),
    "cost": (
        "count_flops",
        "count_parameters",
    ),
    "index": (
        "NETWORKS",
        "PRESETS",
        "native_image",
        "resolve",
    ),
    "weights": (
        "load_weights",
        "set_weights",
    ),
}


def __getattr__(name: str) -> Any:
    """Imports a public name's module when the name is first used, since PyTorch takes seconds."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"convarium.models.{module}"), name)
    raise AttributeError(f"module 'convarium.models' has no attribute {name!r}")
