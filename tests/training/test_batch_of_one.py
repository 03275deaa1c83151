"""A last batch of one image: refused beforehand where the network's batch norm needs two, and nowhere else."""

import dataclasses

import pytest
import torch

from convarium import Workspace
from convarium.errors import ConvariumError, RecipeError
from convarium.models.build import build_model, trains_on_one_image
from convarium.recipes.recipe import Recipe
from convarium.records import ImageSpec
from convarium.training import fit, fit_stack
from convarium.training.trainer import check_batches, has_batch_of_one, larger_batch_hint
from small_networks import NETWORKS, few

BASE = Recipe(model=NETWORKS["vgg"], resize=16, epochs=1, batch_size=32)
OWN = """
from torch import nn

class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(784), nn.Linear(784, 10)

    def forward(self, x):
        CHECK
        return self.head(self.norm(x.flatten(1)))

def own(spec):
    return Own()
"""


@pytest.fixture(scope="module")
def splits():
    return few(65, resize=16)


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize("size", [8, 16])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_answer_is_what_a_network_does_with_one_image(name, size):
    image = ImageSpec(1, size, size, 10)
    try:
        network = build_model(NETWORKS[name], image).train()
    except ConvariumError:
        assert trains_on_one_image(NETWORKS[name], image)  # it fails for its size, not for the batch
        return
    if trains_on_one_image(NETWORKS[name], image):
        network(torch.rand(1, 1, size, size))
        return
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(torch.rand(1, 1, size, size))


def test_it_is_refused_with_a_batch_size_that_works(splits):
    with pytest.raises(RecipeError, match=r"65 training images leave at batch_size 32: .* --batch-size 31, or --drop-"):
        fit(BASE, splits, device="cpu")
    with pytest.raises(RecipeError, match="use --batch-size 31, or --drop-last"):
        fit_stack([BASE, dataclasses.replace(BASE, seed=1)], splits, device="cpu")
    with pytest.raises(RecipeError, match=r"use --batch-size 3$"):
        check_batches(dataclasses.replace(BASE, batch_size=1, drop_last=True), splits)
    for works in ({"batch_size": 31}, {"drop_last": True}):
        assert fit(dataclasses.replace(BASE, **works), splits, device="cpu").status == "finished"
    check_batches(dataclasses.replace(BASE, model="lenet", batch_size=1), splits)  # it has no batch norm


@pytest.mark.parametrize("size", [1, 2, 31, 32, 64])
@pytest.mark.parametrize("n", [2, 3, 64, 65, 66])
def test_the_suggested_batch_size_leaves_no_batch_of_one(splits, n, size):
    data = dataclasses.replace(splits.train, images=splits.train.images[:1].expand(n, -1, -1, -1))
    data = dataclasses.replace(data, labels=splits.train.labels[:1].expand(n))
    of_n, recipe = dataclasses.replace(splits, train=data), dataclasses.replace(BASE, batch_size=size)
    suggested = int(larger_batch_hint(recipe, of_n).split()[2].rstrip(","))
    assert 2 <= suggested <= n
    assert not has_batch_of_one(dataclasses.replace(recipe, batch_size=suggested), of_n)


def test_a_single_training_image_is_too_few(splits):
    data = dataclasses.replace(splits.train, images=splits.train.images[:1], labels=splits.train.labels[:1])
    with pytest.raises(RecipeError, match="give it two training images or more"):
        check_batches(dataclasses.replace(BASE, batch_size=1), dataclasses.replace(splits, train=data))


def test_a_network_of_ones_own_is_tried_and_a_failure_that_could_not_be_foreseen_is_explained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace, settings = Workspace(tmp_path, device="cpu"), {"epochs": 1, "batch_size": 628}
    (tmp_path / "batch_own.py").write_text(OWN.replace("CHECK", "float(x.sum())"))  # not possible on "meta"
    with pytest.raises(RecipeError, match=r"batch_own:own cannot be trained on a batch of one image.* 627"):
        workspace.train("batch_own:own", **settings)
    (tmp_path / "batch_own_2.py").write_text(OWN.replace("CHECK", "assert float(x.std()) or not self.training"))
    outcome = workspace.train("batch_own_2:own", **settings).outcome
    assert outcome.status == "failed"
    assert outcome.message.endswith("is too small for its batch norm, use --batch-size 627, or --drop-last")
