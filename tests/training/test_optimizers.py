"""The optimizers' kernels, called without their optimizers, do the same to the bit."""

import dataclasses

import pytest
import torch
from torch import nn

from convarium.models.zoo.mlp import MemoryBlock
from convarium.recipes.recipe import Recipe
from convarium.training.optimizers import make_optimizer, make_update, optimizer_over, set_learning_rate
from convarium.training.step import merged_memory

RECIPES = [
    Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.0, weight_decay=0.01),
    Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.9, nesterov=True),
    Recipe(optimizer="adam", learning_rate=0.01, weight_decay=0.01),
    Recipe(optimizer="adamw", learning_rate=0.01, weight_decay=0.01, decay_norms_and_biases=False),
]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(30, 20), nn.BatchNorm1d(20), nn.Linear(20, 5))


def gradients(parameters, step, late):
    """Of every parameter, but of the last one only from step `late` on."""
    torch.manual_seed(step)
    found = [torch.randn_like(parameter) for parameter in parameters]
    return found if step >= late else [*found[:-1], None]


def stepped(recipe, take, steps=range(6), dtype=torch.float32, begin=None):
    parameters = list(network().to(dtype).parameters())
    optimizer = optimizer_over(parameters, recipe)
    if begin:
        for parameter, value in zip(parameters, begin[0], strict=True):
            parameter.data.copy_(value)
        optimizer.load_state_dict(begin[1])
    update = take(optimizer)
    late = 0 if recipe.momentum else 2  # PyTorch's SGD fails where momentum begins late
    for step in steps:
        set_learning_rate(optimizer, recipe.learning_rate / (1 + step))
        for parameter, gradient in zip(parameters, gradients(parameters, step, late), strict=True):
            parameter.grad = gradient
        update()
    return parameters, optimizer


def theirs(optimizer):
    return optimizer.step


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.optimizer)
def test_steps_have_pytorchs_bits(recipe, dtype):
    ours, optimizer = stepped(recipe, make_update, dtype=dtype)
    expected, other = stepped(recipe, theirs, dtype=dtype)
    assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))
    states, others = optimizer.state_dict()["state"], other.state_dict()["state"]
    assert states.keys() == others.keys()
    for key, state in states.items():
        assert state.keys() == others[key].keys()
        assert all(torch.equal(value, others[key][name]) for name, value in state.items())
    assert all(parameter.grad is None for parameter in ours)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.optimizer)
def test_a_loaded_state_is_gone_on_with(recipe):
    parameters, optimizer = stepped(recipe, make_update, steps=range(3))
    ours, _ = stepped(recipe, make_update, steps=range(3, 6), begin=(parameters, optimizer.state_dict()))
    expected, _ = stepped(recipe, theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))


@pytest.mark.parametrize(("recipe", "times"), list(zip(RECIPES, (0, 1, 2, 2), strict=True)))
def test_the_optimizer_is_called_until_it_has_its_state(recipe, times, monkeypatch):
    """In the first step, and when the last parameter has its first gradient."""
    calls = []
    kind = type(optimizer_over(list(network().parameters()), recipe))
    real = kind.step
    monkeypatch.setattr(kind, "step", lambda self: calls.append(1) or real(self))
    stepped(recipe, make_update)
    assert len(calls) == times


def test_a_merged_matrix_moves_twice_as_far():
    recipe, found = dataclasses.replace(RECIPES[2], weight_decay=0.0), []
    for take in (make_update, theirs):
        block = MemoryBlock(3, 4)
        with merged_memory(block, recipe), torch.no_grad():
            block.weight.zero_()
            optimizer = make_optimizer(block, recipe)
            update = take(optimizer)
            for _ in range(2):
                set_learning_rate(optimizer, recipe.learning_rate)
                block.weight.grad = torch.ones(3, 4)
                update()
            found.append(block.weight.clone())
    torch.testing.assert_close(found[0], torch.full((3, 4), -4 * recipe.learning_rate))
    assert torch.equal(*found)
