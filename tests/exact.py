"""What the kernels' tests share: images, distances from exact results, and what a network exchanges."""

import torch

from convarium.recipes.recipe import Recipe
from convarium.training.kernels import own_kernels

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


def exchanged(network, recipe=RECIPE):
    with own_kernels(network, recipe, CPU):
        return [name for name, module in network.named_modules() if "forward" in vars(module)]
