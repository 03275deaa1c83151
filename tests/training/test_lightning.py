"""A recipe in Lightning trains as the native loop does, and every image is used once."""

import copy
import dataclasses
import importlib.util
import logging
import sys
import threading
import warnings
from types import SimpleNamespace

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DistributedSampler

from convarium.errors import ConvariumError, RecipeError
from convarium.models.weights import load_weights
from convarium.recipes.recipe import Recipe
from convarium.records import ImageSpec
from convarium.training import evaluate, fit
from convarium.training.class_weights import balanced_weights
from convarium.training.lightning import Classifier, ImageDataModule
from convarium.training.lightning_data import PADDING, PartsOfBatches, check_parts
from convarium.training.scoring import scoring_batches
from convarium.training.state import TrainingRun
from models.tutorial5 import PRESETS, save_checkpoint, tensors
from small_networks import few, in_float64

CPU = torch.device("cpu")
CIFAR10 = ImageSpec(3, 32, 32, 10)
SMALL = Recipe(epochs=2, batch_size=4, learning_rate=1e-3, momentum=0.9, validation=20, resize=16)


@pytest.fixture(scope="module")
def splits():
    return few(20, resize=16)


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*LeafSpec")
        yield


def trainer(folder=None, **settings):
    """A Trainer on the CPU that writes nothing unless it is told to."""
    settings = {"logger": False, "enable_checkpointing": False} | settings
    return lightning.Trainer(
        accelerator="cpu",
        devices=1,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


class Losses(lightning.Callback):
    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.losses.append(float(outputs["mean_loss"]))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "lenet", "schedule": "cosine", "warmup": 1, "augment": "flip, pad_crop(2)", "nesterov": True},
        {"model": "resnet(depth=8)", "weight_decay": 1e-2, "decay_norms_and_biases": False, "label_smoothing": 0.1},
        {"model": "memory_mlp(hidden=16)", "schedule": "one_cycle", "optimizer": "adamw", "momentum": 0.0},
        {"model": "vgg(depth=11, width_divisor=8, dropout=0.5)", "class_weights": "balanced", "resize": 32},
        {"model": "preact_resnet(depth=8)", "schedule": "steps(milestones=[1])", "freeze": "stem", "drop_last": True},
    ],
    ids=lambda changes: changes["model"],
)
def test_steps_are_those_of_the_native_loop_in_float64(splits, changes):
    recipe = dataclasses.replace(SMALL, **changes)
    if recipe.resize != 16:
        splits = few(20, resize=recipe.resize)
    with in_float64():
        native, losses = fit(recipe, splits, device="cpu"), Losses()
        data = ImageDataModule(recipe, splits)
        classifier = Classifier(recipe, data.image)
        trainer(max_epochs=recipe.epochs, callbacks=[losses]).fit(classifier, data)
    assert len(losses.losses) == 10
    assert losses.losses == pytest.approx(native.step_loss.tolist(), abs=1e-7)
    state = classifier.network.state_dict()
    for name, tensor in native.weights.items():
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "changes", [{}, {"class_weights": "balanced", "label_smoothing": 0.1}], ids=["plain", "weights, smoothing"]
)
@pytest.mark.parametrize("images", [1, 5, 8])
def test_the_mean_of_the_devices_gradients_is_that_of_the_whole_batch(splits, changes, images):
    """Also where they have parts of different sizes, or one has none."""
    recipe = dataclasses.replace(SMALL, model="residual_mlp(hidden=16)", **changes)
    weights = balanced_weights(splits.train.labels, classes=10).tolist() if changes else None
    with in_float64():
        classifier = Classifier(recipe, splits.train.spec, class_weights=weights)
        batches = scoring_batches(TrainingRun(recipe, splits, classifier, CPU), splits.train.take(torch.arange(images)))
        whole, steps = on_devices(classifier, batches, 1), on_devices(classifier, batches, 3)
    for device in steps:
        assert float(device["mean_loss"]) == pytest.approx(float(whole[0]["mean_loss"]), abs=1e-12)
        assert int(device["images"]) == images
        assert int(device["correct"]) == int(whole[0]["correct"])
    for whole_gradient, *parts in zip(whole[0]["gradients"], *(device["gradients"] for device in steps), strict=True):
        torch.testing.assert_close(torch.stack(parts).mean(0), whole_gradient, rtol=0, atol=1e-12)


def on_devices(classifier, batches, number):
    """What a training step returns on each of so many devices, which are threads here, with its gradients."""
    parts, barrier = [None] * number, threading.Barrier(number)
    found = [None] * number

    def train(rank):
        def add_up(part):
            parts[rank] = part
            barrier.wait(10)
            return torch.stack(parts).sum(0)

        own = copy.deepcopy(classifier)
        own.trainer, own.sum_over_devices = SimpleNamespace(world_size=number), add_up
        own._begin("train")
        (batch,) = PartsOfBatches(batches, rank, number)
        found[rank] = own.training_step(batch, 0)
        found[rank]["loss"].backward()
        found[rank]["gradients"] = [parameter.grad for parameter in own.network.parameters()]

    threads = [threading.Thread(target=train, args=(rank,)) for rank in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("devices", [1, 3, 7])
def test_every_image_is_scored_once_where_lightnings_sampler_repeats_some(splits, devices):
    """30 test images cannot be divided by 7, nor 20 by 3."""
    run = TrainingRun(SMALL, splits, Classifier(SMALL, splits.train.spec), CPU)
    for data in (splits.validation, splits.test, splits.test.take(torch.arange(2))):
        parts = [list(PartsOfBatches(scoring_batches(run, data), rank, devices)) for rank in range(devices)]
        counted = torch.cat([labels for part in parts for _, labels in part])
        assert counted[counted != PADDING].tolist() == data.labels.tolist()
        assert all(len(part) == len(parts[0]) for part in parts)
    samplers = [DistributedSampler(splits.test, devices, rank, shuffle=False) for rank in range(devices)]
    assert sum(map(len, samplers)) == (30 if devices < 7 else 35)


def test_a_trainer_of_ones_own_has_checkpoints_rates_graph_and_hyperparameters(tmp_path, splits):
    recipe = dataclasses.replace(SMALL, learning_rate=0.02, schedule="cosine")
    data = ImageDataModule(recipe, splits)
    logger = TensorBoardLogger(tmp_path, name="log")
    conductor = trainer(tmp_path, max_epochs=2, logger=logger, enable_checkpointing=True, log_every_n_steps=1)
    classifier = Classifier(recipe, data.image)
    conductor.fit(classifier, data)
    native = fit(recipe, splits, device="cpu")
    history = native.history[-1]
    assert float(conductor.callback_metrics["validation_accuracy"]) == pytest.approx(history.validation_accuracy)
    assert float(conductor.callback_metrics["train_loss"]) == pytest.approx(history.train_loss, abs=1e-5)

    best = conductor.checkpoint_callback
    assert isinstance(best, ModelCheckpoint)
    assert float(best.best_model_score) == pytest.approx(max(row.validation_accuracy for row in native.history))
    (tested,) = conductor.test(classifier, datamodule=data, verbose=False)
    scored = evaluate(classifier.network, recipe, splits, device="cpu")
    assert tested == pytest.approx({"test_loss": scored.loss, "test_accuracy": scored.accuracy}, abs=1e-6)

    loaded = Classifier.load_from_checkpoint(best.last_model_path, weights_only=True)
    assert (loaded.recipe, loaded.image) == (recipe, data.image)
    for name, tensor in classifier.network.state_dict().items():
        assert torch.equal(tensor, loaded.network.state_dict()[name])

    events = EventAccumulator(logger.log_dir).Reload()
    assert events.Tags()["graph"]
    rates = [event.value for event in events.Scalars("lr-SGD")]
    assert rates == pytest.approx([0.02, 0.01])  # of the first step in each epoch
    assert (
        "recipe/learning_rate" in (tmp_path / "log/version_0/hparams.yaml").read_text()
        or "learning_rate: 0.02" in (tmp_path / "log/version_0/hparams.yaml").read_text()
    )
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_without_validation_images_the_last_checkpoint_counts_as_the_best(tmp_path, splits):
    recipe = dataclasses.replace(SMALL, validation=0)
    data = ImageDataModule(recipe, dataclasses.replace(splits, validation=splits.validation.take(torch.arange(0))))
    conductor = trainer(tmp_path, max_epochs=2, enable_checkpointing=True)
    conductor.fit(Classifier(recipe, data.image), data)
    assert "epoch=1" in conductor.checkpoint_callback.best_model_path
    (tested,) = conductor.test(ckpt_path="best", datamodule=data, verbose=False, weights_only=True)
    assert 0 <= tested["test_accuracy"] <= 1


def test_a_trainer_goes_on_from_lightnings_own_checkpoint_in_the_middle_of_an_epoch(tmp_path, splits):
    dropout = "residual_variant(depth=8, shortcut='dropout')"
    recipe = dataclasses.replace(SMALL, model=dropout, augment="pad_crop(2)", schedule="one_cycle")
    middle = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=7, save_top_k=-1)
    networks = []
    for path in (None, tmp_path / "step=7.ckpt"):
        classifier = Classifier(recipe, splits.train.spec)
        conductor = trainer(max_epochs=2, enable_checkpointing=True, callbacks=[middle])
        conductor.fit(classifier, ImageDataModule(recipe, splits), ckpt_path=path)
        networks.append(classifier.network.state_dict())
    for name, tensor in networks[0].items():
        torch.testing.assert_close(networks[1][name], tensor, rtol=0, atol=0)


def test_published_checkpoints_of_the_tutorial_are_loaded(tmp_path, monkeypatch):
    """Those of the other networks are read by the same function, and tested with it."""
    name = "ResNetPreAct"
    save_checkpoint(tmp_path / "published.ckpt", tensors(name), monkeypatch)
    classifier = Classifier(Recipe(model=PRESETS[name], dataset="cifar10"), CIFAR10)
    classifier.load_weights(tmp_path / "published.ckpt")
    expected = load_weights(tmp_path / "published.ckpt", PRESETS[name], CIFAR10).state_dict()
    assert expected.keys() == classifier.network.state_dict().keys()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in classifier.network.state_dict().items())


def test_without_lightning_the_import_says_what_to_type(monkeypatch):
    spec = importlib.util.find_spec("convarium.training.lightning")
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    with pytest.raises(ConvariumError, match=r'Lightning is not installed; pip install "convarium\[lightning\]"'):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_a_trainer_that_does_not_fit_the_recipe_is_refused(splits):
    def fit_one(changes, *, images=splits, loader=None, **settings):
        recipe = dataclasses.replace(SMALL, **changes)
        classifier = Classifier(recipe, splits.train.spec)
        data = None if loader else ImageDataModule(recipe, images)
        trainer(**{"max_epochs": 2} | settings).fit(classifier, loader, datamodule=data)

    with pytest.raises(RecipeError, match="another number of epochs: expected at most 2"):
        fit_one({}, max_epochs=3)
    with pytest.raises(RecipeError, match="another number of epochs"):
        fit_one({}, max_epochs=-1)
    fit_one({}, max_epochs=-1, max_steps=1)
    with pytest.raises(RecipeError, match=r"float16 needs a scaled loss.*16-mixed"):
        fit_one({"precision": "float16"})
    with pytest.raises(RecipeError, match=r"balances the classes.*pass class_weights"):
        fit_one({"class_weights": "balanced"}, loader=[(torch.zeros(2, 1, 16, 16), torch.zeros(2).long())])
    with pytest.raises(RecipeError, match="weights that the recipe starts from were not read"):
        fit_one({"start_from": "some.safetensors"})
    with pytest.raises(RecipeError, match="number of batches in an epoch is not known"):
        fit_one({}, loader=(batch for batch in [(torch.zeros(2, 1, 16, 16), torch.zeros(2).long())]))
    with pytest.raises(RecipeError, match="two images or more for each of 4 devices"):
        check_parts(dataclasses.replace(SMALL, model="resnet18(stem='7x7')"), splits, devices=4)
