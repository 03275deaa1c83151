"""Recipe presets: how each source trains each of its networks, by (tag, network, variant).

A preset sets every field that its source states; a comment says what the source leaves open. The sources of 2024 hold
out no validation images, and those that look at the test split every epoch have `watch_test`.
"""

from typing import Any

from convarium.errors import SpecError
from convarium.models.index import resolve
from convarium.recipes.recipe import Recipe
from convarium.spec import parse, unknown

_MNIST = {"dataset": "mnist", "normalize": "mean=0.1307, std=0.3081", "validation": 0, "batch_size": 64}

_MEMORY = _MNIST | {"optimizer": "adam", "learning_rate": 3e-4, "epochs": 10}

_RESIDUAL = _MNIST | {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.5, "epochs": 20, "watch_test": True}

# The report states neither its optimizer nor its epochs: there is a variant for either optimizer, with 10 epochs.
_REPORT = _MNIST | {"learning_rate": 0.001, "epochs": 10, "watch_test": True}
_REPORT_VARIANTS = {
    "adam": _REPORT | {"optimizer": "adam"},
    "sgd": _REPORT | {"optimizer": "sgd", "momentum": 0.9},
}

_D2L = {
    "dataset": "fashion_mnist",
    "normalize": "none",
    "validation": 0,
    "optimizer": "sgd",
    "epochs": 10,
    "watch_test": True,
}

_CIFAR10 = {"dataset": "cifar10", "normalize": "mean=(0.4914, 0.4822, 0.4465), std=(0.247, 0.2435, 0.2616)"}

_UVA = _CIFAR10 | {
    "validation": 5000,
    "batch_size": 128,
    "drop_last": True,
    "epochs": 180,
    "schedule": "steps(milestones=[100, 150], gamma=0.1)",
    "augment": "flip, resized_crop(scale=(0.8, 1.0), ratio=(0.9, 1.1))",
    "weight_decay": 1e-4,
    "select": "best_validation",
}
_UVA_SGD = _UVA | {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9}
_UVA_ADAMW = _UVA | {"optimizer": "adamw", "learning_rate": 1e-3}

# The final networks of both ResNet papers see all 50,000 training images; 64,000 steps of 128 are 164 epochs, and the
# rate falls at 32,000 and 48,000 steps. The papers subtract the mean of each pixel and scale nothing; here each channel
# has its mean subtracted and is divided by its deviation, as in the authors' Torch code. A norm follows the first
# convolution, so that the scale of the images moves nothing but how fast that layer learns and decays.
_HE = _CIFAR10 | {
    "normalize": "dataset",
    "validation": 0,
    "batch_size": 128,
    "epochs": 164,
    "schedule": "steps(milestones=[82, 123], gamma=0.1)",
    "augment": "flip, pad_crop(4)",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-4,
}
# ResNet-110 starts at a rate of 0.01 until its training error falls below 80 % (about 400 steps): one epoch of warm-up.
_HE_WARM = _HE | {"warmup": 1}

_HUANG = _CIFAR10 | {
    "normalize": "dataset",
    "validation": 0,
    "batch_size": 64,
    "epochs": 300,
    "schedule": "steps(milestones=[150, 225], gamma=0.1)",
    "augment": "flip, pad_crop(4)",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 1e-4,
}

RECIPES: dict[str, dict[str, dict[str, dict[str, Any]]]] = {
    "memory-blog": {"memory_mlp": {"": _MEMORY}, "residual_mlp": {"": _MEMORY}},
    "residual-blog": {"residual_cnn": {"": _RESIDUAL, "50-epochs": _RESIDUAL | {"epochs": 50}}},
    "mnist-report": {"mnist_resnet": {"": _REPORT_VARIANTS["adam"]} | _REPORT_VARIANTS},
    "d2l": {
        "lenet": {"": _D2L | {"batch_size": 256, "learning_rate": 0.9}},
        "alexnet": {"": _D2L | {"batch_size": 128, "learning_rate": 0.01, "resize": 224}},
        "vgg11": {"": _D2L | {"batch_size": 128, "learning_rate": 0.05, "resize": 224}},
        "nin": {"": _D2L | {"batch_size": 128, "learning_rate": 0.1, "resize": 224}},
        "googlenet": {"": _D2L | {"batch_size": 128, "learning_rate": 0.1, "resize": 96}},
        "resnet18": {"": _D2L | {"batch_size": 256, "learning_rate": 0.05, "resize": 96}},
        "densenet": {"": _D2L | {"batch_size": 256, "learning_rate": 0.1, "resize": 96}},
    },
    "uva": {
        "googlenet": {"": _UVA_ADAMW},
        "densenet": {"": _UVA_ADAMW},
        "resnet": {"": _UVA_SGD, "adamw": _UVA_ADAMW},
        "preact_resnet": {"": _UVA_SGD, "adamw": _UVA_ADAMW},
    },
    "he2015": {
        "resnet": {"": _HE},
        "resnet110": {"": _HE_WARM},
        "resnet1202": {"": _HE_WARM},
        "plain": {"": _HE},
    },
    "he2016": {"preact_resnet": {"": _HE_WARM}, "residual_variant": {"": _HE_WARM}},
    "huang2017": {"densenet": {"": _HUANG}},
}
"""tag → network → variant → recipe fields; the variant "" is the one that the source shows first."""


def recipe_preset(preset: str, model: str) -> Recipe:
    """The recipe by which a source trains a network.

    Args:
        preset: the source's tag, with a variant where it has several: "uva", "mnist-report/sgd".
        model: the network's spec; its name selects the recipe, and its options become the recipe's.

    Raises:
        SpecError: no such source, or it does not train this network, or not in this variant.
    """
    tag, _, variant = preset.partition("/")
    if tag not in RECIPES:
        raise unknown("recipe preset", tag, RECIPES)
    networks, spec = RECIPES[tag], parse(model)
    names = (spec.name, resolve(model).name, spec.name.rstrip("0123456789"))
    variants = next((networks[name] for name in names if name in networks), None)
    if variants is None:
        raise SpecError(f"{tag} does not train {model!r}", hint=f"it trains {', '.join(networks)}")
    if variant not in variants:
        raise unknown(f"variant of {tag} for {spec.name}", variant, [v for v in variants if v] or ["no variant"])
    return Recipe(model=model, **variants[variant])
