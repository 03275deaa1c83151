"""How much each class counts in the training loss."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from convarium.recipes.recipe import Recipe
from convarium.training import fit
from convarium.training.class_weights import balanced_weights
from small_networks import few


@given(st.lists(st.integers(0, 5), min_size=1, max_size=100))
def test_balanced_weights_are_scikit_learns(labels):
    present = np.unique(labels)
    weights = balanced_weights(torch.tensor(labels), classes=7)
    assert weights[present].numpy() == pytest.approx(compute_class_weight("balanced", classes=present, y=labels))
    assert weights.count_nonzero() == len(present)
    assert float(weights[torch.tensor(labels)].mean()) == pytest.approx(1)


def test_equal_classes_weigh_the_same():
    assert balanced_weights(torch.arange(12) % 4, classes=4).tolist() == [1.0] * 4


def test_with_weights_a_network_finds_the_rare_class():
    """Gray images, one in 31 of the rare class, a little brighter but rarely enough."""
    splits = few(20)
    generator = torch.Generator().manual_seed(0)
    labels = (torch.arange(620) % 31 == 0).long()
    gray = (100 + 40 * labels + 40 * torch.randn(620, generator=generator)).clamp(0, 255).to(torch.uint8)
    images = gray.view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous()
    data = dataclasses.replace(splits.train, images=images, labels=labels, class_names=("common", "rare"))
    all_gray = dataclasses.replace(splits, train=data, validation=data, test=data)
    recipe = Recipe(model="memory_mlp(hidden=8)", epochs=5, batch_size=62, learning_rate=0.05, normalize="none")
    plain, weighted = (
        fit(dataclasses.replace(recipe, class_weights=weights), all_gray, device="cpu").test.per_class["rare"]
        for weights in ("none", "balanced")
    )
    assert plain < 0.1
    assert weighted > 0.5
