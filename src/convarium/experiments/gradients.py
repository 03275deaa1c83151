"""How large the gradients are, layer by layer: whether what the loss says arrives at the first layers."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from convarium.building import build_model
from convarium.data.batches import Batches
from convarium.data.images import Splits
from convarium.data.transforms import normalisation
from convarium.recipe import Recipe
from convarium.streams import stream

IMAGES = 256


@dataclass(frozen=True)
class LayerGradient:
    """Root mean square of the gradient of a layer's weight, over its numbers; `depth` counts from the image."""

    depth: int
    name: str
    rms: float


def layer_gradients(recipe: Recipe, splits: Splits) -> tuple[LayerGradient, ...]:
    """The gradients of every convolution and linear layer at the start, on the first training images of the seed.

    Args:
        recipe: whose network, with the weights that its seed starts from.
        splits: of its data; 256 training images are used, in one batch.
    """
    network = build_model(recipe.model, splits.train.spec, seed=stream(recipe.seed, "init"))
    mean, std = normalisation(recipe.normalize, splits)
    size = min(IMAGES, len(splits.train))
    batches = Batches(
        splits.train, batch_size=size, mean=mean, std=std, shuffle_seed=stream(recipe.seed, "shuffle"), device="cpu"
    )
    images, labels = next(iter(batches.epoch(0)))
    network.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(recipe.seed, "dropout"))
        F.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
    layers = [(name, m) for name, m in network.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    return tuple(
        LayerGradient(depth, name, float(layer.weight.grad.square().mean().sqrt()))
        for depth, (name, layer) in enumerate(layers, start=1)
        if layer.weight.grad is not None
    )
