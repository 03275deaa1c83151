"""What the kernels' tests share: images, distances from exact results, and which modules are accelerated."""

import torch

from convarium.recipes.recipe import Recipe
from convarium.training.accelerate import accelerate

CPU = torch.device("cpu")
RECIPE = Recipe(optimizer="sgd", learning_rate=0.01)


def images(*shape, dtype=torch.float32, mean=0.0):
    x = (torch.randn(*shape) + mean).to(dtype)
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


def distance(a, b):
    a, b = a.detach().double(), b.detach()
    return float((a - b).norm() / b.norm().clamp_min(1e-30))


def rounded(tensor):
    return tensor.detach().bfloat16().double().requires_grad_()


def accelerated_modules(network, recipe=RECIPE):
    """The names of the modules that have a faster class in the accelerated network."""
    pairs = zip(network.named_modules(), accelerate(network, recipe, CPU).modules(), strict=True)
    return [name for (name, module), copy in pairs if type(copy) is not type(module)]
