"""The networks: one file an architecture, and the two tables that name them."""

from collections.abc import Callable

from torch import nn

from convarium.models import lenet as _lenet
from convarium.models import mlp as _mlp
from convarium.models import mnist_resnet as _mnist_resnet
from convarium.models import residual_cnn as _residual_cnn
from convarium.models.lenet import lenet
from convarium.models.mlp import memory_mlp, residual_mlp
from convarium.models.mnist_resnet import mnist_resnet
from convarium.models.residual_cnn import residual_cnn
from convarium.records import Preset

Factory = Callable[..., nn.Module]
"""`(spec: ImageSpec, activation: Activation, **options) -> nn.Module`; its signature is the table of its options."""

MODELS: dict[str, Factory] = {
    "memory_mlp": memory_mlp,
    "residual_mlp": residual_mlp,
    "residual_cnn": residual_cnn,
    "mnist_resnet": mnist_resnet,
    "lenet": lenet,
}

PRESETS: dict[str, Preset] = {
    **_mlp.PRESETS,
    **_residual_cnn.PRESETS,
    **_mnist_resnet.PRESETS,
    **_lenet.PRESETS,
}
