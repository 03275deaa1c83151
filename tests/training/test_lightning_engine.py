"""Runs whose steps Lightning carries out are recorded, stopped and taken up again as those of the native loop."""

import dataclasses
import logging
import math
import os
import signal

import numpy as np
import pytest
import torch

from convarium.errors import ConvariumError, RecipeError, RunError, SpecError
from convarium.recipes.recipe import Recipe
from convarium.runs.environment import environment_changes
from convarium.training import engines, fit, lightning_engine
from convarium.training.engines import LightningEngine, chosen_engine
from convarium.training.lightning_engine import fit_with_lightning
from convarium.training.stopping import TerminatedError, TrainingStoppedError, stop_on_signals
from small_networks import few, in_float64

ONE = LightningEngine()
SMALL = Recipe(epochs=2, batch_size=6, learning_rate=1e-3, momentum=0.9, validation=20, resize=16)
DROPOUT = dataclasses.replace(SMALL, model="residual_variant(depth=8, shortcut='dropout')", augment="pad_crop(2)")


@pytest.fixture(scope="module")
def splits():
    return few(20, resize=16)


def same_numbers(one, other, tolerance):
    def close(x, y):
        return x == y or (isinstance(x, float) and math.isclose(x, y, rel_tol=0, abs_tol=tolerance))

    for a, b in zip(one.history, other.history, strict=True):
        pairs = zip(dataclasses.asdict(a).items(), dataclasses.asdict(b).items(), strict=True)
        assert all(close(x, y) for (name, x), (_, y) in pairs if name != "seconds")
    np.testing.assert_allclose(one.step_loss, other.step_loss, rtol=0, atol=tolerance)
    np.testing.assert_allclose(one.logits, other.logits, rtol=0, atol=10 * tolerance)
    assert one.test == other.test or tolerance
    assert one.selected_epoch == other.selected_epoch
    for name, tensor in one.weights.items():
        torch.testing.assert_close(other.weights[name], tensor, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    "changes",
    [{"schedule": "cosine", "warmup": 1, "watch_test": True}, {"precision": "bfloat16", "select": "best_validation"}],
    ids=["float32", "bfloat16"],
)
def test_an_outcome_is_that_of_the_native_loop(splits, changes):
    recipe, events = dataclasses.replace(SMALL, **changes), []
    with in_float64():
        native = fit(recipe, splits, device="cpu")
        outcome = fit_with_lightning(recipe, splits, engine=ONE, device="cpu", on_event=events.append)
    same_numbers(native, outcome, 1e-7)
    assert [event.step for event in events] == [1, 2, 3, 4, 0] * 2
    assert outcome.environment.engine.startswith("Lightning 2.")
    assert environment_changes([native.environment, outcome.environment])[0].startswith("engine native, then Lightning")
    assert outcome.status == "finished"
    assert outcome.cost.train_seconds > 0


def test_the_same_recipe_gives_the_same_bits_and_its_weights_by_epoch(splits):
    kept = {}
    listen = lambda event: kept.setdefault(event.epoch, event.weights) if event.weights else None  # noqa: E731
    settings = {"engine": ONE, "device": "cpu"}
    one = fit_with_lightning(DROPOUT, splits, **settings)
    other = fit_with_lightning(DROPOUT, splits, on_event=listen, keep_weights=1, **settings)
    same_numbers(one, other, 0)
    assert list(kept) == [0, 1, 2]
    assert all(torch.equal(tensor, one.weights[name]) for name, tensor in kept[2].items())


@pytest.mark.parametrize("steps", [2, 4, 7])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path, splits, steps):
    """In the middle of an epoch, between two epochs, and in the second epoch."""
    whole, taken = fit_with_lightning(DROPOUT, splits, engine=ONE, device="cpu"), []
    stop = lambda: len(taken) >= steps  # noqa: E731
    step = lambda event: taken.append(event) if event.step else None  # noqa: E731
    settings = {"engine": ONE, "device": "cpu", "folder": tmp_path}
    with pytest.raises(TrainingStoppedError):
        fit_with_lightning(DROPOUT, splits, on_event=step, should_stop=stop, **settings)
    assert len(taken) == steps
    same_numbers(whole, fit_with_lightning(DROPOUT, splits, on_event=step, **settings), 0)
    assert len(taken) == 8


def test_a_run_goes_on_in_the_other_engine_as_mixed(tmp_path, splits):
    recipe = dataclasses.replace(SMALL, optimizer="adam", momentum=0.0)
    with in_float64():
        with pytest.raises(TrainingStoppedError):
            fit(recipe, splits, device="cpu", folder=tmp_path, should_stop=lambda: True)
        with pytest.raises(RunError, match=r"begun in another environment .*engine native, then Lightning"):
            fit_with_lightning(recipe, splits, engine=ONE, device="cpu", folder=tmp_path, exact=True)
        outcome = fit_with_lightning(recipe, splits, engine=ONE, device="cpu", folder=tmp_path)
        assert [environment.engine for environment in outcome.earlier] == ["native"]
        same_numbers(fit(recipe, splits, device="cpu"), outcome, 1e-7)


def test_a_run_that_diverges_ends_there(splits):
    recipe = dataclasses.replace(SMALL, learning_rate=1e30, epochs=3)
    outcome = fit_with_lightning(recipe, splits, engine=ONE, device="cpu")
    native = fit(recipe, splits, device="cpu")
    assert (outcome.status, outcome.message, len(outcome.history)) == (
        native.status,
        native.message,
        len(native.history),
    )


def test_float16_scales_the_loss_and_counts_the_steps_that_it_skips(splits):
    recipe = dataclasses.replace(SMALL, precision="float16")
    native, outcome = fit(recipe, splits, device="cpu"), fit_with_lightning(recipe, splits, engine=ONE, device="cpu")
    assert outcome.skipped_steps == native.skipped_steps
    np.testing.assert_allclose(outcome.step_loss, native.step_loss, rtol=1e-2)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, TerminatedError)])
def test_a_signal_ends_training_after_a_checkpoint_and_is_handled_as_before_afterwards(tmp_path, splits, number, error):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def interrupt(event):
        if event.step == 2:
            os.kill(os.getpid(), number)

    with pytest.raises(error), stop_on_signals() as is_interrupted:
        fit_with_lightning(
            SMALL, splits, engine=ONE, device="cpu", folder=tmp_path, on_event=interrupt, should_stop=is_interrupted
        )
    assert (tmp_path / "last.ckpt").exists()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_what_a_listener_raises_is_raised_and_lightning_says_nothing(splits, capfd):
    def interrupt(event):
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT), logging.getLogger("lightning.pytorch").level, torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        fit_with_lightning(SMALL, splits, engine=ONE, device="cpu", on_event=interrupt)
    after = signal.getsignal(signal.SIGINT), logging.getLogger("lightning.pytorch").level, torch.get_num_threads()
    assert after == before
    assert capfd.readouterr() == ("", "")


def test_settings_that_cannot_be_are_refused(monkeypatch, splits):
    monkeypatch.setattr(lightning_engine, "pick_device", torch.device)
    with pytest.raises(RecipeError, match="cuda:1 is one device, and 2 were asked for; leave out --device"):
        fit_with_lightning(SMALL, splits, engine=LightningEngine(devices=2), device="cuda:1")
    with pytest.raises(RecipeError, match=r"devices is out of range: expected 1 or more, received 0"):
        LightningEngine(devices=0)
    with pytest.raises(RecipeError, match=r"unknown strategy: expected auto, ddp, .* received 'fsdp'; in a Trainer of"):
        LightningEngine(strategy="fsdp")
    with pytest.raises(SpecError, match="unknown engine 'lightening'; did you mean 'lightning'"):
        chosen_engine("lightening", {})
    with pytest.raises(RecipeError, match="--devices is for Lightning; add --engine lightning"):
        chosen_engine("native", {"devices": 2, "strategy": None})
    assert chosen_engine("native", {"devices": None}) is None
    assert chosen_engine("lightning", {"devices": 2, "nodes": None}) == LightningEngine(devices=2)
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(ConvariumError, match=r'Lightning is not installed; pip install "convarium\[lightning\]"'):
        LightningEngine()


def test_two_devices_train_as_one_where_there_is_no_batch_norm(splits):
    """The last batch of an epoch has two images, one for each; dropout, whose masks differ, is not in this network."""
    recipe = dataclasses.replace(SMALL, augment="pad_crop(2)", class_weights="balanced")
    with in_float64():
        outcome = fit_with_lightning(recipe, splits, engine=LightningEngine(devices=2), device="cpu")
        same_numbers(fit(recipe, splits, device="cpu"), outcome, 1e-7)
    assert outcome.environment.engine.endswith("on 2 devices")
    assert not torch.distributed.is_initialized()
    assert "LOCAL_RANK" not in os.environ
