"""A recipe's optimizer is PyTorch's, over the groups and with the rates that the recipe states."""

import dataclasses

import pytest
import torch
from torch import nn

from convarium.models.zoo.mlp import MemoryBlock
from convarium.recipes.recipe import Recipe
from convarium.training.optimizers import make_optimizer, merged_memory, optimizer_over, set_learning_rate

RECIPES = [
    Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.0, weight_decay=0.01),
    Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.9, nesterov=True),
    Recipe(optimizer="adam", learning_rate=0.01, weight_decay=0.01),
    Recipe(optimizer="adamw", learning_rate=0.01, weight_decay=0.01, decay_norms_and_biases=False),
]


def stepped(recipe, steps=range(6), begin=None):
    """Parameters and optimizer after these steps along random gradients."""
    torch.manual_seed(0)
    parameters = list(nn.Sequential(nn.Linear(30, 20), nn.BatchNorm1d(20), nn.Linear(20, 5)).parameters())
    optimizer = optimizer_over(parameters, recipe)
    if begin:
        for parameter, value in zip(parameters, begin[0], strict=True):
            parameter.data.copy_(value)
        optimizer.load_state_dict(begin[1])
    for step in steps:
        torch.manual_seed(step)
        set_learning_rate(optimizer, recipe.learning_rate / (1 + step))
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    return parameters, optimizer


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.optimizer)
def test_an_optimizer_continues_from_its_loaded_state(recipe):
    parameters, optimizer = stepped(recipe, range(3))
    resumed, _ = stepped(recipe, range(3, 6), begin=(parameters, optimizer.state_dict()))
    expected, _ = stepped(recipe)
    assert all(torch.equal(a, b) for a, b in zip(resumed, expected, strict=True))


def test_a_merged_matrix_moves_twice_as_far():
    recipe = dataclasses.replace(RECIPES[2], weight_decay=0.0)
    block = MemoryBlock(3, 4)
    with merged_memory(block, recipe), torch.no_grad():
        block.weight.zero_()
        optimizer = make_optimizer(block, recipe)
        for _ in range(2):
            set_learning_rate(optimizer, recipe.learning_rate)
            block.weight.grad = torch.ones(3, 4)
            optimizer.step()
        torch.testing.assert_close(block.weight, torch.full((3, 4), -4 * recipe.learning_rate))
