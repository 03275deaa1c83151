"""Diagnostics of networks that are small enough to know the results by hand."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn
from torch.nn import functional as F

from convarium.data import load_data
from convarium.data.batches import Batches
from convarium.diagnostics import (
    Diagnosis,
    MissingDiagnosis,
    augmented_samples,
    diagnose,
    diagnose_run,
    feature_maps,
    filter_normalized,
    first_filters,
    gradient_norms,
    loss_surface,
    unit_activity,
)
from convarium.errors import ConvariumError
from convarium.models.build import build_model
from convarium.models.zoo import MODELS
from convarium.models.zoo.layers import ACTIVATIONS, IDENTITY
from convarium.recipes.recipe import Recipe
from convarium.records import ImageSpec
from convarium.runs.store import Store
from convarium.seeding import derive_seed
from convarium.studies.resources import Resources
from convarium.studies.run import train_one
from made_studies import made_study

IMAGE, IMAGE_28 = ImageSpec(1, 8, 8, 10), ImageSpec(1, 28, 28, 10)


def assert_close(result: np.ndarray, expected: torch.Tensor) -> None:
    torch.testing.assert_close(torch.from_numpy(result), expected)


SPLITS = Resources(Store()).splits


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two runs with weights, of a network without a norm and of one with."""
    store = Store(tmp_path_factory.mktemp("store"))
    base = Recipe(epochs=1, batch_size=256, optimizer="adam", augment="flip, pad_crop(2)")
    lenet = dataclasses.replace(base, model="lenet")
    resnet = dataclasses.replace(base, model="resnet(depth=8)", augment="none")
    return {recipe.model: [train_one(recipe, Resources(store, device="cpu"))] for recipe in (lenet, resnet)}


# ---- gradients -----------------------------------------------------------------------------------------------------


def test_gradient_norms_are_those_of_backward():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 10))
    images, labels = torch.randn(16, 1, 8, 8), torch.arange(16) % 10
    before = {name: value.clone() for name, value in network.eval().state_dict().items()}
    result = gradient_norms(network, images, labels)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    F.cross_entropy(network.train()(images), labels).backward()
    assert [(g.depth, g.name) for g in result] == [(1, "0"), (2, "4")]
    for gradient, layer in zip(result, (network[0], network[4]), strict=True):
        assert gradient.norm == pytest.approx(float(layer.weight.grad.norm()), rel=1e-5)
        assert gradient.rms == pytest.approx(float(layer.weight.grad.square().mean().sqrt()), rel=1e-5)


def test_the_gradient_of_one_weight_by_hand():
    """Scores (w, 0) of the image 1 in class 0: the loss falls by 1 − softmax(w) a unit of w."""
    linear = nn.Linear(1, 2, bias=False)
    linear.weight.data = torch.tensor([[1.0], [0.0]])
    (result,) = gradient_norms(linear, torch.ones(1, 1), torch.tensor([0]))
    missing = 1 - math.e / (math.e + 1)
    assert result.norm == pytest.approx(math.sqrt(2) * missing, rel=1e-6)
    assert result.rms == pytest.approx(missing, rel=1e-6)


def test_both_matrices_of_a_memory_block_are_one_layer():
    network = build_model("memory_mlp(hidden=12)", IMAGE)
    result = gradient_norms(network, torch.rand(4, 1, 8, 8), torch.arange(4))
    assert [gradient.name for gradient in result] == ["1", "3"]


# ---- units ---------------------------------------------------------------------------------------------------------


def test_units_dead_by_construction_are_reported_dead():
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(256, 3), nn.ReLU())
    with torch.no_grad():
        network[0].weight.fill_(1.0)
        network[0].bias.copy_(torch.tensor([-5.0, 0.5, 0.5, -0.5]))  # pixels from 0 to 1: dead, never, never, half
        network[3].bias.copy_(torch.tensor([-1e3, 1e3, -1e3]))
    images = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8)
    first, second = unit_activity(network, images)
    assert (first.depth, first.name, first.activation, first.kind) == (1, "1", "relu", "dead")
    assert (first.units, first.inactive_units) == (4, 1)
    assert first.inactive_outputs == (64 + 32) / 256
    assert (second.units, second.inactive_units, second.inactive_outputs) == (3, 2, pytest.approx(2 / 3))


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_units_saturated_by_construction_are_reported_saturated(name):
    """Sigmoid passes under a hundredth of its steepest beyond ±5.29 (σ(1 − σ) < 0.0025), tanh beyond ±2.99."""
    edge = {
        "sigmoid": math.log(0.5 + math.sqrt(0.2475)) - math.log(0.5 - math.sqrt(0.2475)),
        "tanh": math.atanh(0.99**0.5),
    }[name]
    act = ACTIVATIONS[name]()
    inputs = torch.tensor([[edge + 0.01, -edge - 0.01, edge - 0.01, 0.0], [edge + 1, -9.0, 9.0, 0.0]])
    (result,) = unit_activity(act, inputs)
    assert (result.kind, result.units, result.inactive_units) == ("saturated", 4, 2)
    assert result.inactive_outputs == 5 / 8


@pytest.mark.parametrize("activation", [a for a in ACTIVATIONS.values() if a is not IDENTITY], ids=lambda a: a.name)
def test_every_activation_is_known_and_none_is_flat_near_zero(activation):
    (result,) = unit_activity(activation(), torch.tensor([[0.1, 0.5], [0.2, 1.0]]))
    assert (result.activation, result.inactive_units, result.inactive_outputs) == (activation.name, 0, 0.0)


def test_a_leaky_relu_never_dies():
    (result,) = unit_activity(nn.LeakyReLU(), torch.full((4, 3), -1e6))
    assert (result.inactive_units, result.inactive_outputs) == (0, 0.0)


# ---- the loss surface ----------------------------------------------------------------------------------------------


def test_each_filter_of_a_direction_is_as_long_as_the_filter_of_the_weights():
    network = build_model("resnet(depth=8)", IMAGE)
    weights = dict(network.named_parameters())
    with torch.no_grad():
        weights["stem.0.weight"][3] = 0.0  # a filter that is not there does not move
    direction = filter_normalized(weights, seed=1)
    assert set(direction) == {name for name, weight in weights.items() if weight.ndim > 1}
    for name, moved in direction.items():
        expected = weights[name].detach().flatten(1).norm(dim=1)
        torch.testing.assert_close(moved.flatten(1).norm(dim=1), expected, atol=1e-7, rtol=1e-5)
        assert not torch.equal(moved, weights[name])
    again, other = filter_normalized(weights, seed=1), filter_normalized(weights, seed=2)
    assert torch.equal(direction["stem.0.weight"], again["stem.0.weight"])
    assert not torch.equal(direction["stem.0.weight"], other["stem.0.weight"])


def test_the_surface_of_a_linear_network_is_the_loss_at_the_moved_weights():
    torch.manual_seed(0)
    network = nn.Linear(4, 3).requires_grad_(False)
    images, labels = torch.randn(5, 4), torch.arange(5) % 3
    surface = loss_surface(network, images, labels, size=5, reach=0.5, seed=7)
    assert surface.offsets.tolist() == [-0.5, -0.25, 0, 0.25, 0.5]
    assert surface.losses.shape == (5, 5)
    assert surface.center == float(F.cross_entropy(network(images), labels))
    weights = {"weight": network.weight}
    first, second = (filter_normalized(weights, seed=derive_seed(7, "surface", i))["weight"] for i in range(2))
    moved = images @ (weights["weight"] - 0.5 * first + 0.25 * second).T + network.bias
    assert surface.losses[0, 3] == pytest.approx(float(F.cross_entropy(moved, labels)), rel=1e-6)


@pytest.mark.parametrize("model", ["lenet", "resnet(depth=8)"])
def test_the_centre_of_a_surface_is_the_stored_loss_and_the_network_is_left_alone(trained, digits, model):
    (run,) = trained[model]
    network = build_model(model, digits.train.spec)
    network.load_state_dict(run.weights())
    batches = Batches(digits.test, batch_size=len(digits.test), mean=digits.mean, std=digits.std)
    surface = loss_surface(network, *next(iter(batches.epoch(0))), size=3)
    assert surface.center == pytest.approx(run.outcome.test.loss, rel=1e-5)
    assert surface.image_count == len(digits.test)
    assert all(torch.equal(weight, run.weights()[name]) for name, weight in network.state_dict().items())


@pytest.mark.parametrize("size", [1, 4])
def test_a_surface_without_a_middle_is_refused(size):
    with pytest.raises(ConvariumError, match="an odd number from 3"):
        loss_surface(nn.Linear(1, 2), torch.ones(1, 1), torch.tensor([0]), size=size)


# ---- filters and maps ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_every_network_shows_its_first_layer_and_is_watched_without_a_change(model):
    image = ImageSpec(3, 64, 64, 10)
    small = {"memory_mlp": "memory_mlp(hidden=8)", "residual_mlp": "residual_mlp(hidden=8)"}
    network = build_model(small.get(model, model), image)
    if model in small:
        assert first_filters(network, image) is None  # too many pixels to probe
        return
    result = first_filters(network, image, most=4)
    assert result.weights.shape[:2] == (4, 3)
    maps = feature_maps(network, torch.rand(1, 3, 64, 64))
    assert 2 <= len(maps) <= 5
    assert all(len(of_layer.maps) == min(16, of_layer.total) for of_layer in maps)


def test_of_several_convolutions_that_read_the_image_the_largest_is_shown():
    result = first_filters(build_model("mnist_resnet", IMAGE_28), IMAGE_28)
    assert result.weights.shape == (16, 1, 3, 3)  # not the shortcut's 1×1, which is called first


def test_first_filters_are_the_weights_themselves():
    convolution = build_model("lenet", IMAGE_28)
    result = first_filters(convolution, IMAGE_28)
    assert np.array_equal(result.weights, next(convolution.parameters()).detach())
    residual, memory = build_model("residual_mlp(hidden=9)", IMAGE), build_model("memory_mlp(hidden=9)", IMAGE)
    assert_close(first_filters(residual, IMAGE).weights, residual[1].weight.reshape(9, 1, 8, 8))
    whole = (memory[1].weight + memory[1].memory).T.reshape(9, 1, 8, 8)
    assert_close(first_filters(memory, IMAGE, most=9).weights, whole)
    assert first_filters(memory, IMAGE, most=2).total == 9


def test_feature_maps_are_what_the_activations_put_out():
    conv = nn.Conv2d(1, 3, 3)
    network = nn.Sequential(conv, nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 10), nn.ReLU())
    image = torch.randn(1, 1, 8, 8)
    (result,) = feature_maps(network, image, most=2)
    assert (result.layer, result.total) == ("1", 3)
    assert np.array_equal(result.maps, conv(image).relu()[0, :2].detach())
    assert feature_maps(build_model("residual_mlp(hidden=9)", IMAGE), image) == ()


# ---- augmentation --------------------------------------------------------------------------------------------------


def test_augmented_images_are_the_originals_moved_by_the_recipes_law(digits):
    assert augmented_samples(Recipe(), digits) is None
    result = augmented_samples(Recipe(augment="flip"), digits, images=4, times=12)
    assert result.images.dtype == np.uint8
    assert result.augmented.shape == (4, 12, 1, 28, 28)
    mirrored = [
        [np.array_equal(one, image[..., ::-1]) for one in changed]
        for image, changed in zip(result.images, result.augmented, strict=True)
    ]
    same = [
        [np.array_equal(one, image) for one in row] for image, row in zip(result.images, result.augmented, strict=True)
    ]
    assert (np.array(mirrored) ^ np.array(same)).all()
    assert 0 < np.sum(mirrored) < 48


# ---- a study -------------------------------------------------------------------------------------------------------


def test_a_study_is_diagnosed_row_by_row_and_its_surfaces_are_kept(trained, monkeypatch):
    events = []
    result = diagnose(trained, SPLITS, size=3, on_event=events.append)
    assert events == list(trained)
    assert [one.label for one in result] == list(trained)
    lenet, resnet = result
    assert isinstance(lenet, Diagnosis)
    assert isinstance(resnet, Diagnosis)
    assert len(lenet.initial) == len(lenet.final) == 5
    assert lenet.augmented.augment == "flip, pad_crop(2)"
    assert resnet.augmented is None
    assert resnet.image.shape == (1, 28, 28)
    assert resnet.surface.image_count == lenet.surface.image_count == 256
    monkeypatch.setattr("convarium.diagnostics.diagnose_runs.loss_surface", None)  # not measured again
    again = diagnose(trained, SPLITS, size=3)
    assert again[0].surface.losses.tolist() == lenet.surface.losses.tolist()
    with pytest.raises(TypeError):
        diagnose(trained, SPLITS, size=5)  # but for another grid it would be


def test_a_damaged_surface_is_measured_again(trained):
    (run,) = trained["lenet"]
    path = run.path / "surface.safetensors"
    diagnose({"lenet": [run]}, SPLITS, size=3)
    sound = path.read_bytes()
    flipped = bytearray(sound)
    flipped[-1] ^= 1  # in a number of the surface, whose digest stands in the file
    other_shapes = save({name: torch.zeros(3, 1) for name in ("images", "losses", "offsets")})
    for damaged in (b"no surface", b"", sound[:-9], bytes(flipped), other_shapes):
        path.write_bytes(damaged)
        (result,) = diagnose({"lenet": [run]}, SPLITS, size=3)
        assert isinstance(result, Diagnosis)
        assert path.read_bytes() == sound


def test_what_cannot_be_diagnosed_says_why(tmp_path, trained, monkeypatch):
    made = made_study(tmp_path, {"lenet": 0.9, "residual_cnn": None}, seeds=1)
    lenet, diverged = diagnose({row.label: row.runs for row in made.rows}, SPLITS)
    assert lenet == MissingDiagnosis("lenet", "its runs were stored without their weights")
    assert diverged == MissingDiagnosis("residual_cnn", "none of its runs finished")
    (run,) = trained["lenet"]
    away = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, dataset="folder:/nowhere/pets"))
    other = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, model="nin(width_divisor=8)"))
    missing, misfit = diagnose({"away": [away], "other": [other]}, SPLITS)
    assert "/nowhere/pets" in missing.reason
    assert "missing" in misfit.reason
    record = dataclasses.replace(run, files={})
    with pytest.raises(ConvariumError, match="holds no weights"):
        diagnose_run(record, load_data("digits"), label="lenet")
    with pytest.raises(ConvariumError, match="odd"):
        diagnose({}, SPLITS, size=4)


def test_diagnosing_uses_the_data_and_the_device_that_it_is_given(trained, digits, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    recipes = []
    (result,) = diagnose(
        {"lenet": trained["lenet"]}, lambda recipe: recipes.append(recipe) or digits, device=torch.device("cpu"), size=3
    )
    assert isinstance(result, Diagnosis)
    assert recipes == [run.recipe for run in trained["lenet"]]
