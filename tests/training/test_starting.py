"""start_from: a run begins with the weights of another one, and with a new last layer where the classes differ."""

import dataclasses

import numpy as np
import pytest
import safetensors.torch
import torch

from convarium.errors import RecipeError, StoreError, WeightsError
from convarium.models.build import build_model
from convarium.recipes.recipe import Recipe
from convarium.recipes.starting import split_start
from convarium.runs.store import Store
from convarium.studies.study import grid
from convarium.training import fit, fit_stack, parallel
from convarium.training.side_by_side import fit_side_by_side
from convarium.training.stacked import fit_stacked_model
from convarium.training.starting import describe_taken, read_start
from convarium.training.trainer import initial_network
from convarium.workspace import Workspace
from made_images import drawn, splits_of
from small_networks import NETWORKS, few

CPU = torch.device("cpu")
SMALL = Recipe(model="lenet", epochs=1, batch_size=6, learning_rate=0.02, validation=20, resize=16)


@pytest.fixture(scope="module")
def splits():
    return few(18, resize=16)


def with_classes(splits, names):
    """The same images, with other classes."""
    parts = {
        part: dataclasses.replace(data, labels=data.labels % len(names), class_names=tuple(names))
        for part, data in (("train", splits.train), ("validation", splits.validation), ("test", splits.test))
    }
    return dataclasses.replace(splits, **parts)


def save(path, model, splits, seed=7):
    network = build_model(model, splits.train.spec, seed=seed)
    torch.save(network.state_dict(), path)
    return network.state_dict()


def last_layers(model, splits):
    """The names of the tensors of those layers whose shapes change with the number of classes."""
    image = splits.train.spec
    first, second = (build_model(model, dataclasses.replace(image, classes=classes)).state_dict() for classes in (4, 5))
    layers = {name.rpartition(".")[0] for name in first if first[name].shape != second[name].shape}
    return {name for name in first if name.rpartition(".")[0] in layers}


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize("model", NETWORKS.values(), ids=NETWORKS)
def test_all_but_the_last_layer_are_the_files_bit_for_bit_before_the_first_step(model, splits, tmp_path):
    """And the last layer is that of the seed where the classes are others, and the file's where they are the same."""
    state = save(tmp_path / "w.pt", model, splits)
    recipe = dataclasses.replace(SMALL, model=model, seed=3, start_from=str(tmp_path / "w.pt"))
    fewer = with_classes(splits, "abc")
    start = read_start(recipe, fewer)
    begun = initial_network(recipe, fewer, CPU, start=start).state_dict()
    fresh = initial_network(dataclasses.replace(recipe, start_from=None), fewer, CPU).state_dict()
    new = last_layers(model, splits)
    assert new
    assert start.new == new
    assert all(torch.equal(begun[name], fresh[name] if name in new else state[name]) for name in state)
    whole = initial_network(recipe, splits, CPU, start=read_start(recipe, splits)).state_dict()
    assert all(torch.equal(whole[name], state[name]) for name in state)


def test_training_starts_from_the_weights_and_changes_neither_them_nor_the_file(splits, tmp_path):
    path = tmp_path / "w.pt"
    state, content = save(path, "lenet", splits), path.read_bytes()
    start = read_start(dataclasses.replace(SMALL, start_from=str(path)), splits)
    recipe = dataclasses.replace(SMALL, start_from=start.field, learning_rate=1e-12)
    outcome = fit(recipe, splits, device="cpu", start=start)
    assert all(torch.allclose(outcome.weights[name], state[name], atol=1e-9) for name in state)
    trained = fit(dataclasses.replace(recipe, learning_rate=0.02), splits, device="cpu", start=start)
    assert not torch.equal(trained.weights["0.weight"], state["0.weight"])
    assert all(torch.equal(start.tensors[name], state[name]) for name in state)
    assert path.read_bytes() == content
    frozen = fit(dataclasses.replace(recipe, learning_rate=0.02, freeze="0, 3"), splits, device="cpu", start=start)
    kept = {name for name in state if torch.equal(frozen.weights[name], state[name])}
    assert kept == {"0.weight", "0.bias", "3.weight", "3.bias"}
    assert frozen.cost.parameters == trained.cost.parameters  # the size of the network


@pytest.mark.parametrize("method", [fit_side_by_side, fit_stacked_model])
def test_a_stack_starts_from_the_weights_as_its_members_do_alone(method, splits, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "_method_for", lambda device: method)
    save(tmp_path / "w.pt", "lenet", splits)
    fewer = with_classes(splits, "abc")
    start = read_start(dataclasses.replace(SMALL, start_from=str(tmp_path / "w.pt")), fewer)
    recipes = grid(dataclasses.replace(SMALL, start_from=start.field), seed=[0, 1])
    for outcome, recipe in zip(fit_stack(recipes, fewer, device="cpu", start=start), recipes, strict=True):
        np.testing.assert_allclose(
            outcome.step_loss, fit(recipe, fewer, device="cpu", start=start).step_loss, rtol=1e-5
        )


def test_the_digest_is_that_of_the_content(splits, tmp_path):
    """Not of the place, the format, the prefix or the precision in which the same numbers are stored."""
    state = save(tmp_path / "w.pt", "lenet", splits)
    torch.save({"model": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "other.pth.tar")
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    save(tmp_path / "else.pt", "lenet", splits, seed=8)

    def digest(name):
        return read_start(dataclasses.replace(SMALL, start_from=str(tmp_path / name)), splits).digest

    assert digest("w.pt") == digest("other.pth.tar") == digest("w.safetensors") != digest("else.pt")


def test_a_digest_never_moves(tmp_path):
    """Keys of stored runs cover it. Here it is that of zeros, as it was when starting from weights was added."""
    splits = splits_of(drawn(20, side=28))
    network = build_model("lenet", splits.train.spec)
    torch.save({name: torch.zeros_like(tensor) for name, tensor in network.state_dict().items()}, tmp_path / "w.pt")
    start = read_start(Recipe(start_from=str(tmp_path / "w.pt")), splits)
    assert start.digest == "e60d2f8f87a138b60ad0fa845f4642888f58a0fbad899347ac762557e74a6fb9"
    recipe = Recipe(start_from=start.field)
    assert recipe.key() == dataclasses.replace(recipe, start_from=f"elsewhere sha256:{start.digest}").key()
    assert recipe.key() != Recipe().key()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with one run, which has learned the digits for a moment."""
    folder = tmp_path_factory.mktemp("store")
    run = Workspace(folder).train("lenet", epochs=1, batch_size=256)
    return folder, run


def test_a_run_is_found_by_its_name_its_path_and_the_beginning_of_its_key(store):
    folder, run = store
    splits = Workspace(folder).splits(run.recipe)
    names = [run.path.name, str(run.path), run.key[:8], run.key]
    starts = [read_start(Recipe(start_from=name), splits, Store(folder)) for name in names]
    assert {start.name for start in starts} == {run.path.name}
    assert len({start.digest for start in starts}) == 1
    assert not starts[0].new  # the same classes
    by_file = read_start(Recipe(start_from=str(run.path / "weights.safetensors")), splits)
    assert by_file.digest == starts[0].digest  # its metadata name the classes
    elsewhere = read_start(Recipe(start_from=str(run.path)), splits, Store(folder / "other"))
    assert (elsewhere.name, elsewhere.digest) == (str(run.path), starts[0].digest)
    assert describe_taken(starts[0]) == (
        f"training starts from the weights of {run.path.name} (SHA-256 {starts[0].digest[:8]}…)"
    )


def test_other_classes_of_the_same_number_get_a_new_last_layer(store):
    """A run knows the names of its classes, a bare file does not."""
    folder, run = store
    splits = Workspace(folder).splits(run.recipe)
    letters = with_classes(splits, "abcdefghij")
    start = read_start(Recipe(start_from=run.key[:8]), letters, Store(folder))
    assert start.new == {"11.weight", "11.bias"}
    assert describe_taken(start).endswith("; the last layer (11) is new, because the classes differ")
    torch.save(run.weights(), folder / "bare.pt")
    assert not read_start(Recipe(start_from=str(folder / "bare.pt")), letters).new


def test_what_does_not_fit_is_said_with_its_shapes(store):
    folder, run = store
    recipe = Recipe(start_from=run.path.name)
    for channels, side, complaint in (
        (
            3,
            28,
            r"on images of 3×28×28 with 10 classes: 1 of another shape \(0\.weight \(6, 1, 5, 5\) for \(6, 3, 5, 5\)",
        ),
        (
            1,
            40,
            r"on images of 1×40×40 with 10 classes: 1 of another shape \(7\.weight \(120, 400\) for \(120, 784\)\)",
        ),
    ):
        with pytest.raises(WeightsError, match=complaint):
            read_start(recipe, splits_of(drawn(20, channels, side)), Store(folder))
    with pytest.raises(WeightsError, match=r"does not fit residual_cnn .*missing .*unknown"):
        read_start(dataclasses.replace(recipe, model="residual_cnn"), Workspace(folder).splits(recipe), Store(folder))


def test_what_cannot_be_started_from_is_named(store, splits, tmp_path):
    stored = Store(store[0])
    with pytest.raises(
        StoreError, match=r"no weights file and no finished run 'nix'; see convarium list runs, or give"
    ):
        read_start(Recipe(start_from="nix"), splits, stored)
    with pytest.raises(WeightsError, match=r"nix is not there"):
        read_start(Recipe(start_from="nix"), splits)
    state = save(tmp_path / "w.pt", "lenet", splits)
    state["0.bias"][2] = float("nan")
    torch.save(state, tmp_path / "w.pt")
    recipe = dataclasses.replace(SMALL, start_from=str(tmp_path / "w.pt"))
    with pytest.raises(
        WeightsError, match=r"w\.pt cannot be started from: 1 of the .* not finite, the first in 0\.bias"
    ):
        read_start(recipe, splits)
    save(tmp_path / "w.pt", "lenet", splits)
    start = read_start(recipe, splits)
    save(tmp_path / "w.pt", "lenet", splits, seed=8)
    with pytest.raises(
        RecipeError, match=r"the weights of .*w\.pt have changed: expected SHA-256 .*use --start-from .*pt"
    ):
        read_start(dataclasses.replace(recipe, start_from=start.field), splits)
    with pytest.raises(RecipeError, match=r"the weights of .*w\.pt were not read|w\.pt .* were not read"):
        fit(recipe, splits, device="cpu")
    with pytest.raises(RecipeError, match=r"the weights are not those that the recipe starts from: expected other"):
        fit(dataclasses.replace(recipe, start_from=f"other sha256:{64 * '0'}"), splits, device="cpu", start=start)
    with pytest.raises(RecipeError, match=r"the digest of the weights 'w\.pt' is not known"):
        Recipe(start_from="w.pt").key()
    file = tmp_path / "w.safetensors"
    safetensors.torch.save_file(state, file, {"convarium": "{"})
    with pytest.raises(WeightsError, match=r"the metadata of .*w\.safetensors are damaged: .*; copy the file again"):
        read_start(dataclasses.replace(SMALL, start_from=str(file)), splits)


def test_a_recipe_names_its_weights_with_and_without_their_digest():
    digest = 64 * "a"
    assert split_start(f"a b.pt sha256:{digest}") == ("a b.pt", digest)
    assert split_start("a sha256:b") == ("a sha256:b", None)
