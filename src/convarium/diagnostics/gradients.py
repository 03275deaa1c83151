"""The size of the gradients layer by layer: whether they vanish or explode on their way to the first layers."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convarium.data.splits import Splits
from convarium.diagnostics.results import LayerGradient
from convarium.diagnostics.samples import training_sample
from convarium.models.build import build_model
from convarium.models.modes import modes_restored
from convarium.recipes.recipe import Recipe
from convarium.seeding import derive_seed


def gradient_norms(
    network: nn.Module, images: Tensor, labels: Tensor, *, dropout_seed: int = 0
) -> tuple[LayerGradient, ...]:
    """The gradients of the mean cross-entropy in training mode: with batch statistics and with dropout.

    A layer is a module with weights of its own of two dimensions or more; normalization layers and biases are left
    out. The network is left unchanged, including its running statistics.

    Args:
        network: its layers are numbered in the order of `named_modules`.
        images: (n, c, h, w), one normalized batch.
        labels: (n,).
        dropout_seed: seed of the dropout masks.
    """
    layers = {name: weights for name, module in network.named_modules() if (weights := _weights(module))}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with modes_restored(network), torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        torch.manual_seed(dropout_seed)
        logits = torch.func.functional_call(network.train(), buffers, (images,))
    all_weights = [weight for weights in layers.values() for weight in weights]
    gradients = iter(torch.autograd.grad(F.cross_entropy(logits, labels), all_weights, materialize_grads=True))
    measured = []
    for depth, (name, weights) in enumerate(layers.items(), start=1):
        norm = math.sqrt(sum(float(next(gradients).cpu().double().square().sum()) for _ in weights))
        measured.append(LayerGradient(depth, name, norm, norm / math.sqrt(sum(weight.numel() for weight in weights))))
    return tuple(measured)


def initial_gradients(recipe: Recipe, splits: Splits) -> tuple[LayerGradient, ...]:
    """The gradients at the initial weights of the recipe's seed, on its `training_sample`."""
    network = build_model(recipe.model, splits.train.spec, seed=derive_seed(recipe.seed, "init"))
    images, labels = training_sample(recipe, splits)
    return gradient_norms(network, images, labels, dropout_seed=derive_seed(recipe.seed, "dropout"))


def _weights(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters(recurse=False) if p.ndim > 1 and p.requires_grad]
