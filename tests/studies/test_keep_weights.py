"""The weights by epoch that a run keeps are those of training, change nothing else, and have their digests."""

import dataclasses
import json

import pytest
import torch

from convarium.cli import main
from convarium.data.loading import load_data
from convarium.errors import DamageError, RecipeError, TimeLimitError
from convarium.recipes.recipe import Recipe
from convarium.runs.files import write_epoch_weights
from convarium.runs.merging import merge
from convarium.runs.removal import remove
from convarium.runs.seal import epoch_file, epoch_of
from convarium.runs.store import Store
from convarium.studies.resources import Resources
from convarium.studies.run import train_one
from convarium.training import fit, fit_stack
from convarium.training.side_by_side import fit_side_by_side
from convarium.training.stacked import fit_stacked_model
from convarium.training.trainer import initial_network
from convarium.workspace import Workspace
from small_networks import few

RECIPE = Recipe(model="residual_mlp", epochs=3, batch_size=64)


def resources(folder, **changes):
    return Resources(Store(folder), device="cpu", **changes)


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run of three epochs that keeps its weights every two."""
    return train_one(RECIPE, resources(tmp_path_factory.mktemp("kept"), keep_weights=2))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The same without."""
    return train_one(RECIPE, resources(tmp_path_factory.mktemp("plain")))


def test_neither_key_nor_bits_depend_on_what_is_kept(kept, plain):
    assert (kept.key, kept.kept_epochs, plain.kept_epochs) == (plain.key, (0, 2), ())
    shared = set(plain.files) - {"history.jsonl", "model.json", "weights.safetensors"}  # which say times
    assert {name: kept.files[name] for name in shared} == {name: plain.files[name] for name in shared}
    assert equal(kept.weights(), plain.weights())
    assert plain.epoch_weights(2) is None


def test_they_are_the_weights_of_these_epochs(kept, tmp_path):
    """A constant learning rate makes the first two of three epochs the same as two of two."""
    two = train_one(dataclasses.replace(RECIPE, epochs=2), resources(tmp_path))
    assert equal(kept.epoch_weights(2), two.weights())
    splits = load_data("digits")
    assert equal(kept.epoch_weights(0), initial_network(RECIPE, splits, torch.device("cpu")).state_dict())


def test_a_run_that_is_stopped_goes_on_to_the_same_files(kept, tmp_path, monkeypatch):
    heard = []
    monkeypatch.setattr(Resources, "is_time_over", lambda _: bool(heard))

    def listen(event):
        if event.training and event.training.epoch == 2:
            heard.append(event)

    with pytest.raises(TimeLimitError):
        train_one(RECIPE, resources(tmp_path, keep_weights=2), on_event=listen)
    (folder,) = (path.parent for path in tmp_path.glob("runs/*/last.ckpt"))
    assert (folder / epoch_file(2)).exists()
    monkeypatch.undo()
    (folder / epoch_file(8)).write_bytes(b"of another attempt")
    run = train_one(RECIPE, resources(tmp_path, keep_weights=2))
    assert [run.files[epoch_file(epoch)] for epoch in run.kept_epochs] == [
        kept.files[epoch_file(epoch)] for epoch in kept.kept_epochs
    ]
    assert not (folder / epoch_file(8)).exists()


def test_a_run_that_begins_anew_has_none_of_another_attempt(tmp_path):
    folder = Store(tmp_path).folder(RECIPE, RECIPE.key(load_data("digits").digest))
    folder.mkdir(parents=True)
    write_epoch_weights(folder, 1, {"of another attempt": torch.zeros(1)})
    (folder / "last.ckpt").write_bytes(b"damaged")
    assert train_one(RECIPE, resources(tmp_path)).kept_epochs == ()


def test_a_changed_or_missing_file_is_damage_and_an_epoch_that_never_was_too(kept, tmp_path):
    merge(Store(tmp_path), [Store(kept.path.parent.parent)])
    (run,) = Store(tmp_path).runs()
    assert equal(run.epoch_weights(2), kept.epoch_weights(2))  # merged
    file = run.path / epoch_file(2)
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for read in (lambda: run.epoch_weights(2), run.verify):
        with pytest.raises(DamageError, match=r"weights-epoch-0002\.safetensors is damaged"):
            read()
    file.unlink()
    with pytest.raises(DamageError, match=r"weights-epoch-0002\.safetensors is missing"):
        run.verify()
    remove(Store(tmp_path), [run.path.name])
    assert not list(tmp_path.glob(f"runs/{run.path.name}*"))


@pytest.mark.parametrize(
    "name", ["weights-epoch-2.safetensors", "weights-epoch-00002.safetensors", "../weights-epoch-0002.safetensors"]
)
def test_only_one_name_stands_for_an_epoch(name):
    assert epoch_of(name) is None
    assert epoch_of(epoch_file(12)) == 12


@pytest.mark.parametrize("method", [fit, fit_side_by_side, fit_stacked_model, fit_stack])
def test_every_way_of_training_reports_them(method):
    recipe, splits, found = Recipe(epochs=2, batch_size=10, validation=10, resize=16), few(20, resize=16), []

    def listen(*event):
        if event[-1].weights:
            found.append((event[0] if len(event) > 1 else 0, event[-1].epoch, event[-1].weights))

    settings = {"on_event": listen, "keep_weights": 1}
    if method is fit:
        outcomes = [fit(recipe, splits, device="cpu", **settings)]
    else:
        recipes = [dataclasses.replace(recipe, seed=seed) for seed in range(2)]
        if method is fit_stack:
            outcomes = fit_stack(recipes, splits, device="cpu", **settings)
        else:
            outcomes = method(recipes, splits, torch.device("cpu"), [None, None], **settings)
    assert sorted(each[:2] for each in found) == [
        (member, epoch) for member in range(len(outcomes)) for epoch in range(3)
    ]
    for member, epoch, weights in found:
        assert equal(weights, outcomes[member].weights) == (epoch == 2)


def test_a_diverged_epoch_is_not_kept():
    recipe, kept = Recipe(epochs=3, batch_size=10, learning_rate=1e30, validation=10, resize=16), []
    outcome = fit(recipe, few(20, resize=16), device="cpu", keep_weights=1,
                  on_event=lambda event: kept.append(event.epoch) if event.weights else None)  # fmt: skip
    assert outcome.status == "diverged"
    assert kept == list(range(len(outcome.history)))


def test_a_finished_run_without_them_says_what_to_do(plain):
    notices = []
    with_them = resources(plain.path.parent.parent, keep_weights=2)
    train_one(RECIPE, with_them, on_event=lambda event: notices.append(event.notice))
    (notice,) = filter(None, notices)
    assert notice == (
        f"{plain.path.name} has no weights by epoch, because they were not kept while it was trained; "
        f"`convarium remove {plain.path.name}` and the same command train it again and keep them"
    )


def test_the_number_of_epochs_is_checked(tmp_path, capsys):
    with pytest.raises(RecipeError, match=r"keep_weights is out of range: expected 1 or more epochs"):
        Workspace(tmp_path).train("lenet", keep_weights=0)
    assert main(["train", "lenet", "--keep-weights", "often", "--store", str(tmp_path)]) == 2
    assert "'often' is not every=N, with a number of epochs" in capsys.readouterr().err


def test_the_command_takes_every_n(tmp_path, capsys):
    command = ["train", "residual_mlp", "--epochs", "1", "--store", str(tmp_path), "--json"]
    assert main([*command, "--keep-weights", "every=1"]) == 0
    assert json.loads(capsys.readouterr().out)
    (run,) = Store(tmp_path).runs()
    assert run.kept_epochs == (0, 1)
