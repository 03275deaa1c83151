"""The networks: one file an architecture, and the two tables that name them."""

from collections.abc import Callable

from torch import nn

from convarium.models import lenet as _lenet
from convarium.models.lenet import lenet
from convarium.records import Preset

Factory = Callable[..., nn.Module]
"""`(spec: ImageSpec, activation: Activation, **options) -> nn.Module`; its signature is the table of its options."""

MODELS: dict[str, Factory] = {
    "lenet": lenet,
}

PRESETS: dict[str, Preset] = {
    **_lenet.PRESETS,
}
