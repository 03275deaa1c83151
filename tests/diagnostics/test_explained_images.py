"""All networks of a study are asked about the same test images, those on which they disagree first."""

import dataclasses

import numpy as np
import pytest
import torch

from convarium.diagnostics import diagnose, explain
from convarium.diagnostics.explained_images import explain_images, pick_images
from convarium.models.build import build_model
from convarium.models.weights import set_weights
from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store
from convarium.studies.resources import Resources
from convarium.studies.run import train_one

MODELS = ("memory_mlp(hidden=4)", "lenet")


@pytest.fixture(scope="module")
def resources(tmp_path_factory):
    return Resources(Store(tmp_path_factory.mktemp("store")), device="cpu")


@pytest.fixture(scope="module")
def runs(resources):
    return [train_one(Recipe(model=model, epochs=1, batch_size=256), resources) for model in MODELS]


def test_networks_disagree_on_the_first_images_and_all_explain_the_same(runs, resources):
    chosen = pick_images(runs)
    first, second = (run.predictions()[0].argmax(1) for run in runs)
    differing = set(np.flatnonzero(first != second))
    assert len(chosen) == 4
    assert {i in differing for i in chosen[: len(differing)]} <= {True}
    found = diagnose({run.recipe.model: [run] for run in runs}, resources.splits, size=3)
    for diagnosis, run in zip(found, runs, strict=True):
        assert tuple(image.number for image in diagnosis.explained) == chosen
        for image in diagnosis.explained:
            assert image.answer == str(run.predictions()[0][image.number].argmax())
            assert image.true == str(run.predictions()[1][image.number])
    assert [len(diagnosis.explained[0].explanations) for diagnosis in found] == [2, 3]  # Grad-CAM takes a convolution


def test_an_image_is_explained_as_the_network_was_given_it(runs, resources):
    run = runs[1]
    splits = resources.splits(run.recipe)
    network = build_model(run.recipe.model, splits.train.spec)
    set_weights(network, run.weights())
    (image,) = explain_images(network, run.recipe, splits, [3])
    assert torch.equal(torch.from_numpy(image.image), splits.test.images[3])
    mean, std = splits.train.images.float().mean() / 255, splits.train.images.float().std() / 255
    again = explain(network, (splits.test.images[3] / 255 - mean) / std)
    assert image.explanations[0].heat == pytest.approx(again.heat, rel=1e-2, abs=1e-2 * float(again.heat.max()))


def test_nothing_is_explained_unless_all_were_scored_on_the_same_images(runs, monkeypatch):
    logits, labels = runs[1].predictions()
    assert pick_images([]) == ()
    for others in (None, (logits, (labels + 1) % 10)):
        answers = iter([(logits, labels), others])
        monkeypatch.setattr(type(runs[1]), "predictions", lambda _, answers=answers: next(answers))
        assert pick_images(runs) == ()


def test_large_networks_and_many_explain_fewer_images(runs):
    cost = runs[1].outcome.cost
    large = dataclasses.replace(runs[1].outcome, cost=dataclasses.replace(cost, flops=8_000_000_000))
    assert len(pick_images([dataclasses.replace(runs[1], outcome=large)])) == 1
    assert len(pick_images([runs[0]] * 30)) == 2
