"""The networks of the zoo: one file per architecture, and the two tables that name them.

`convarium.models.index` has the same tables without PyTorch; after a change here, write it again with `make index`.
"""

from collections.abc import Callable

from torch import nn

from convarium.models.zoo import alexnet as _alexnet
from convarium.models.zoo import densenet as _densenet
from convarium.models.zoo import googlenet as _googlenet
from convarium.models.zoo import lenet as _lenet
from convarium.models.zoo import mlp as _mlp
from convarium.models.zoo import mnist_resnet as _mnist_resnet
from convarium.models.zoo import nin as _nin
from convarium.models.zoo import preact_resnet as _preact_resnet
from convarium.models.zoo import residual_cnn as _residual_cnn
from convarium.models.zoo import resnet as _resnet
from convarium.models.zoo import resnet_imagenet as _resnet_imagenet
from convarium.models.zoo import vgg as _vgg
from convarium.models.zoo.alexnet import alexnet
from convarium.models.zoo.densenet import densenet
from convarium.models.zoo.googlenet import googlenet
from convarium.models.zoo.identity_mappings import residual_variant
from convarium.models.zoo.lenet import lenet
from convarium.models.zoo.mlp import memory_mlp, residual_mlp
from convarium.models.zoo.mnist_resnet import mnist_resnet
from convarium.models.zoo.nin import nin
from convarium.models.zoo.preact_resnet import preact_resnet
from convarium.models.zoo.residual_cnn import residual_cnn
from convarium.models.zoo.resnet import plain, resnet
from convarium.models.zoo.resnet_imagenet import resnet18, resnet34, resnet50
from convarium.models.zoo.vgg import vgg
from convarium.records import Preset

MODELS: dict[str, Callable[..., nn.Module]] = {
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
