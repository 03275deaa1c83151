"""The networks: `zoo` has one file an architecture, `index` names them all without PyTorch.

`build` makes a network of a spec such as `resnet(depth=56)`, `describe` lists its layers, `cost` counts its operations,
and `weights` reads its weights from a file.
"""

from typing import TYPE_CHECKING

from convarium.lazy_names import lazy_names

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

__getattr__ = lazy_names(
    __name__,
    {
        "build": ("build_model", "check_image"),
        "cost": ("count_flops", "count_parameters"),
        "index": ("NETWORKS", "PRESETS", "native_image", "resolve"),
        "weights": ("load_weights", "set_weights"),
    },
)
