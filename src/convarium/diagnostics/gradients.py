"""How large the gradients are, layer by layer: whether what the loss says arrives at the first layers."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convarium.data.splits import Splits
from convarium.diagnostics.sample import training_sample
from convarium.models.build import build_model
from convarium.models.modes import modes_restored
from convarium.recipes.recipe import Recipe
from convarium.seeding import derive_seed


@dataclass(frozen=True)
class LayerGradient:
    """The gradient of a layer's weights: its Euclidean norm, and its root mean square over the weights.

    `depth` counts the layers from the image, from 1.
    """

    depth: int
    name: str
    norm: float
    rms: float


def gradient_norms(
    network: nn.Module, images: Tensor, labels: Tensor, *, dropout_seed: int = 0
) -> tuple[LayerGradient, ...]:
    """The gradients of the mean cross-entropy, as a training step sees them: norms by batch, dropout at work.

    A layer is a module with weights of two dimensions or more of its own; norms and biases are left out. The network
    is left as it was, its running statistics included.

    Args:
        network: its layers count in the order in which it lists them.
        images, labels: one batch, (n, c, h, w) and (n,).
        dropout_seed: of what dropout leaves out.
    """
    listed = {name: _weights(module) for name, module in network.named_modules()}
    layers = {name: weights for name, weights in listed.items() if weights}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with modes_restored(network), torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        torch.manual_seed(dropout_seed)
        logits = torch.func.functional_call(network.train(), buffers, (images,))
    weights = [weight for own in layers.values() for weight in own]
    found = iter(torch.autograd.grad(F.cross_entropy(logits, labels), weights, materialize_grads=True))
    measured = []
    for depth, (name, own) in enumerate(layers.items(), start=1):
        norm = math.sqrt(sum(float(next(found).double().square().sum()) for _ in own))
        measured.append(LayerGradient(depth, name, norm, norm / math.sqrt(sum(weight.numel() for weight in own))))
    return tuple(measured)


def initial_gradients(recipe: Recipe, splits: Splits) -> tuple[LayerGradient, ...]:
    """The gradients at the weights that the recipe's seed starts from, on the seed's `training_sample`."""
    network = build_model(recipe.model, splits.train.spec, seed=derive_seed(recipe.seed, "init"))
    images, labels = training_sample(recipe, splits)
    return gradient_norms(network, images, labels, dropout_seed=derive_seed(recipe.seed, "dropout"))


def _weights(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters(recurse=False) if p.ndim > 1 and p.requires_grad]
