"""fit: the same bits again; every option does what it says; the test split is read once."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from convarium.data import load_data
from convarium.data.splits import ImageData
from convarium.errors import ImageSizeError, RecipeError
from convarium.models.build import build_model
from convarium.recipes.recipe import Recipe
from convarium.seeding import derive_seed
from convarium.training import evaluate, fit, recording
from convarium.training.loop import make_step
from convarium.training.optimizers import make_optimizer

CPU = torch.device("cpu")
SMALL = Recipe(model="lenet", epochs=3, batch_size=32, learning_rate=0.02, momentum=0.9, validation=40)


def few(splits, n=160):
    """The first images of every split: real digits, quickly trained."""

    def cut(data: ImageData, n: int) -> ImageData:
        return dataclasses.replace(data, images=data.images[:n], labels=data.labels[:n])

    return dataclasses.replace(
        splits, train=cut(splits.train, n), validation=cut(splits.validation, 40), test=cut(splits.test, 60)
    )


@pytest.fixture(scope="module")
def splits():
    return few(load_data("digits", validation=40))


def same(a, b):
    assert [dataclasses.replace(row, seconds=0) for row in a.history] == [
        dataclasses.replace(row, seconds=0) for row in b.history
    ]
    assert np.array_equal(a.step_loss, b.step_loss)
    assert np.array_equal(a.logits, b.logits)
    assert all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)
    assert a.test == b.test


def test_the_same_recipe_gives_the_same_bits(splits):
    same(fit(SMALL, splits, device="cpu"), fit(SMALL, splits, device="cpu"))


def test_another_seed_gives_other_weights(splits):
    other = fit(dataclasses.replace(SMALL, seed=1, epochs=1), splits, device="cpu")
    assert not np.array_equal(other.logits, fit(dataclasses.replace(SMALL, epochs=1), splits, device="cpu").logits)


def test_the_loop_is_plain_sgd_written_out(splits):
    """Three epochs of `fit` against the same arithmetic in a few lines of PyTorch."""
    recipe = dataclasses.replace(SMALL, momentum=0.0, weight_decay=1e-3, label_smoothing=0.1)
    outcome = fit(recipe, splits, device="cpu")
    network = build_model("lenet", splits.train.spec, seed=derive_seed(0, "init"))
    optimizer = torch.optim.SGD(network.parameters(), 0.02, weight_decay=1e-3)
    images = (splits.train.images / 255 - splits.mean[0]) / splits.std[0]
    for epoch in range(3):
        seed = derive_seed(derive_seed(0, "shuffle"), "shuffle", epoch)
        order = torch.randperm(160, generator=torch.Generator().manual_seed(seed))
        for batch in order.split(32):
            loss = F.cross_entropy(network(images[batch]), splits.train.labels[batch], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert float(loss.detach()) == pytest.approx(outcome.step_loss[-1], rel=1e-3)
    for name, weight in network.state_dict().items():
        torch.testing.assert_close(outcome.weights[name], weight, rtol=1e-3, atol=1e-4)


def test_the_epochs_means_are_weighted_by_samples(splits):
    recipe = dataclasses.replace(SMALL, batch_size=64, epochs=1)  # batches of 64, 64 and 32
    outcome = fit(recipe, splits, device="cpu")
    assert outcome.history[0].train_loss == pytest.approx(np.average(outcome.step_loss, weights=[64, 64, 32]), rel=1e-6)
    assert outcome.history[0].train_accuracy == pytest.approx(np.average(outcome.step_accuracy, weights=[64, 64, 32]))


def test_drop_last_leaves_the_smaller_batch_out(splits):
    outcome = fit(dataclasses.replace(SMALL, batch_size=64, drop_last=True, epochs=1), splits, device="cpu")
    assert len(outcome.step_loss) == outcome.history[0].steps == 2


def test_the_test_split_is_read_once_after_training(splits, monkeypatch):
    looks = []
    real = recording.split_logits

    def split_logits(run, data):
        looks.append("test" if data is splits.test else "validation")
        return real(run, data)

    monkeypatch.setattr(recording, "split_logits", split_logits)
    fit(SMALL, splits, device="cpu")
    assert looks.count("test") == 1
    assert looks[-1] == "test"
    looks.clear()
    watched = fit(dataclasses.replace(SMALL, watch_test=True), splits, device="cpu")
    assert looks.count("test") == 1 + SMALL.epochs
    assert all(row.test_accuracy is not None for row in watched.history)


@pytest.mark.parametrize("select", ["best_validation", "best_test"])
def test_the_selected_epoch_is_the_first_best_one_and_its_weights_are_scored(splits, select):
    recipe = dataclasses.replace(SMALL, select=select, watch_test=True, epochs=6, learning_rate=0.05)
    outcome = fit(recipe, splits, device="cpu")
    column = [row.validation_accuracy if select == "best_validation" else row.test_accuracy for row in outcome.history]
    assert outcome.selected_epoch == 1 + column.index(max(column))
    assert (outcome.validation if select == "best_validation" else outcome.test).accuracy == pytest.approx(max(column))
    network = build_model(recipe.model, splits.train.spec)
    network.load_state_dict(outcome.weights)
    for split in ("train", "validation", "test"):
        assert evaluate(network, recipe, splits, split=split, device="cpu") == getattr(outcome, split)


def test_divergence_is_a_result(splits):
    outcome = fit(dataclasses.replace(SMALL, learning_rate=1e6), splits, device="cpu")
    assert outcome.status == "diverged"
    assert "not finite in epoch" in outcome.message
    assert not math.isfinite(outcome.history[-1].train_loss)
    assert outcome.train is outcome.test is outcome.logits is outcome.selected_epoch is None


def test_norms_and_biases_can_be_spared_by_weight_decay(splits):
    recipe = dataclasses.replace(SMALL, model="mnist_resnet", weight_decay=0.1, decay_norms_and_biases=False)
    network = build_model(recipe.model, splits.train.spec)
    decayed, spared = make_optimizer(network, recipe).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim == 1 for p in spared["params"])
    assert len(decayed["params"]) + len(spared["params"]) == len(list(network.parameters()))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_every_optimizer_and_precision_learns(splits, optimizer):
    for precision in ("float32", "bfloat16"):
        rate = {"learning_rate": 0.01 if optimizer == "sgd" else 2e-3, "momentum": 0.9 if optimizer == "sgd" else 0.0}
        recipe = dataclasses.replace(SMALL, optimizer=optimizer, precision=precision, epochs=8, **rate)
        outcome = fit(recipe, splits, device="cpu")
        assert outcome.history[-1].train_loss < 0.5 * outcome.history[0].train_loss


def test_the_step_counts_what_is_right(splits):
    network = build_model("lenet", splits.train.spec)
    images, labels = splits.train.images[:32].float() / 255, splits.train.labels[:32]
    with torch.no_grad():
        right = int((network(images).argmax(1) == labels).sum())
    loss, counted = make_step(network, make_optimizer(network, SMALL), SMALL)(images, labels)
    assert int(counted) == right
    assert loss.requires_grad is False


def test_what_only_the_data_can_refuse(splits):
    with pytest.raises(
        RecipeError, match=r"batch_size 161 exceeds the 160 training images .* --batch-size 160 or less"
    ):
        fit(dataclasses.replace(SMALL, batch_size=161), splits)
    bare = dataclasses.replace(
        splits,
        validation=dataclasses.replace(splits.test, images=splits.test.images[:0], labels=splits.test.labels[:0]),
    )
    with pytest.raises(RecipeError, match="needs validation images"):
        fit(dataclasses.replace(SMALL, select="best_validation"), bare)
    with pytest.raises(RecipeError, match="no validation images"):
        evaluate(build_model("lenet", splits.train.spec), SMALL, bare, split="validation")
    with pytest.raises(RecipeError, match=r"resize=recipe\.resize"):
        fit(dataclasses.replace(SMALL, resize=32), splits)
    with pytest.raises(RecipeError, match="use cpu, cuda, cuda:0 or mps"):
        fit(SMALL, splits, device="gpu")
    with pytest.raises(ImageSizeError, match=r"alexnet cannot take 1×28×28 images: layer .* --resize 65"):
        fit(dataclasses.replace(SMALL, model="alexnet@d2l"), splits)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none(splits):
    with pytest.raises(RecipeError, match="use --device cpu"):
        fit(SMALL, splits, device="cuda")


def test_resizing_reaches_the_network():
    splits = few(load_data("digits", validation=40, resize=48), 64)
    outcome = fit(dataclasses.replace(SMALL, resize=48, epochs=1), splits, device="cpu")
    assert (
        outcome.cost.flops
        > fit(dataclasses.replace(SMALL, epochs=1), few(load_data("digits"), 64), device="cpu").cost.flops
    )
