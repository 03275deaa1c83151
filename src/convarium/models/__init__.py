"""The networks: one file an architecture, and the two tables that name them."""

from collections.abc import Callable

from torch import nn

from convarium.models import alexnet as _alexnet
from convarium.models import densenet as _densenet
from convarium.models import googlenet as _googlenet
from convarium.models import lenet as _lenet
from convarium.models import mlp as _mlp
from convarium.models import mnist_resnet as _mnist_resnet
from convarium.models import nin as _nin
from convarium.models import preact_resnet as _preact_resnet
from convarium.models import residual_cnn as _residual_cnn
from convarium.models import resnet as _resnet
from convarium.models import resnet_imagenet as _resnet_imagenet
from convarium.models import vgg as _vgg
from convarium.models.alexnet import alexnet
from convarium.models.densenet import densenet
from convarium.models.googlenet import googlenet
from convarium.models.identity_mappings import residual_variant
from convarium.models.lenet import lenet
from convarium.models.mlp import memory_mlp, residual_mlp
from convarium.models.mnist_resnet import mnist_resnet
from convarium.models.nin import nin
from convarium.models.preact_resnet import preact_resnet
from convarium.models.residual_cnn import residual_cnn
from convarium.models.resnet import plain, resnet
from convarium.models.resnet_imagenet import resnet18, resnet34, resnet50
from convarium.models.vgg import vgg
from convarium.records import Preset

Factory = Callable[..., nn.Module]
"""`(spec: ImageSpec, activation: Activation, **options) -> nn.Module`; its signature is the table of its options."""

MODELS: dict[str, Factory] = {
    "memory_mlp": memory_mlp,
    "residual_mlp": residual_mlp,
    "residual_cnn": residual_cnn,
    "mnist_resnet": mnist_resnet,
    "lenet": lenet,
    "alexnet": alexnet,
    "vgg": vgg,
    "nin": nin,
    "densenet": densenet,
    "googlenet": googlenet,
    "plain": plain,
    "resnet": resnet,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "preact_resnet": preact_resnet,
    "residual_variant": residual_variant,
}

ADDED_OPTIONS: dict[str, tuple[str, ...]] = {"residual_cnn": ("blocks",)}
"""Options that a network has gained since version 0.1.

A run's key leaves them out at their default, so that the keys of stored runs never change.
"""

PRESETS: dict[str, Preset] = {
    **_mlp.PRESETS,
    **_residual_cnn.PRESETS,
    **_mnist_resnet.PRESETS,
    **_lenet.PRESETS,
    **_alexnet.PRESETS,
    **_vgg.PRESETS,
    **_nin.PRESETS,
    **_densenet.PRESETS,
    **_googlenet.PRESETS,
    **_resnet.PRESETS,
    **_resnet_imagenet.PRESETS,
    **_preact_resnet.PRESETS,
}
