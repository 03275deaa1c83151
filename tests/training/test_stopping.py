"""Ctrl-C and a signal to terminate end training between two steps, after its checkpoint; a second Ctrl-C at once."""

import inspect
import os
import signal
import threading
import time

import numpy as np
import pytest

from convarium.cli import main
from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store
from convarium.studies.resources import Resources
from convarium.studies.run import run_study, train_one
from convarium.studies.study import Study, grid
from convarium.training import fit, loop, trainer
from convarium.training.stopping import (
    TerminatedError,
    TrainingStoppedError,
    interruptible,
    stop_on_signals,
)
from small_networks import few

RECIPE = Recipe(model="memory_mlp(hidden=8)", epochs=2, batch_size=256)
SIGNALS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: TerminatedError, signal.SIGHUP: TerminatedError}


@pytest.fixture(autouse=True)
def _none_is_ignored():
    """Signals are handled as a terminal leaves them, also where the tests run under nohup, which ignores SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def handlers():
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("stack", [False, True], ids=["one run", "stack"])
def test_a_signal_ends_training_after_its_checkpoint_and_nothing_is_lost(number, stack, tmp_path):
    before, steps = handlers(), []
    study = Study(name="s", question="?", recipes=grid(RECIPE, seed=[0, 1]))

    def send(event):
        if event.training and event.training.history is None:
            steps.append(event.recipe.seed)
            if len(steps) == 2:
                received = inspect.getclosurevars(signal.getsignal(number)).nonlocals["received"]
                os.kill(os.getpid(), number)
                while not received:  # members of a stack train in threads, and the main thread is to note the signal
                    time.sleep(0.01)

    def train(folder, on_event=None):
        if stack:
            run_study(study, Resources(Store(folder), device="cpu"), stack=True, on_event=on_event)
        else:
            train_one(RECIPE, Resources(Store(folder), device="cpu"), on_event=on_event)

    with pytest.raises(SIGNALS[number]) as interruption:
        train(tmp_path / "cut", send)
    assert type(interruption.value) is SIGNALS[number]
    assert handlers() == before
    assert list((tmp_path / "cut").glob("runs/*/last.ckpt"))
    assert not list((tmp_path / "cut").glob("runs/*/outcome.json"))
    taken = len(steps)
    train(tmp_path / "cut", lambda event: steps.append(1) if event.training and not event.training.history else None)
    train(tmp_path / "whole")
    resumed, whole = (Store(tmp_path / name).runs() for name in ("cut", "whole"))
    assert len(steps) - taken <= sum(len(run.steps()[0]) for run in whole) - 2
    for a, b in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(a.steps()[0], b.steps()[0])
        np.testing.assert_array_equal(a.predictions()[0], b.predictions()[0])
        assert not a.is_mixed


def test_a_second_ctrl_c_ends_training_at_once(tmp_path):
    def send(event):
        if event.training:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    before = handlers()
    with pytest.raises(KeyboardInterrupt):
        train_one(RECIPE, Resources(Store(tmp_path), device="cpu"), on_event=send)
    assert handlers() == before
    assert not list(tmp_path.glob("runs/*/last.ckpt"))


def test_a_signal_after_the_last_step_ends_the_process_with_the_run_in_the_store(tmp_path):
    def send(event):
        if event.training and event.training.history and event.training.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    store = Store(tmp_path)
    with pytest.raises(TerminatedError):
        train_one(RECIPE, Resources(store, device="cpu"), on_event=send)
    assert [run.outcome.status for run in store.runs()] == ["finished"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_command_ends_with_the_code_of_its_signal(number, tmp_path, monkeypatch, capsys):
    calls, real = [], loop.rate_factor

    def rate_factor(*arguments, **named):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), number)
        return real(*arguments, **named)

    monkeypatch.setattr(loop, "rate_factor", rate_factor)
    before = handlers()
    words = ["train", RECIPE.model, "--epochs", "2", "--batch-size", "256", "--store", str(tmp_path), "--device", "cpu"]
    assert main(words) == 128 + number
    assert handlers() == before
    assert "the same command continues from there" in capsys.readouterr().err
    assert list(tmp_path.glob("runs/*/last.ckpt"))
    assert main(words) == 0


def test_outside_of_training_a_signal_to_terminate_is_like_ctrl_c():
    with pytest.raises(TerminatedError) as error, interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
    assert error.value.exit_code == 143
    assert isinstance(error.value, KeyboardInterrupt)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interruption_that_an_import_turns_into_another_error_stays_one(number):
    def imported():
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None

    before = handlers()
    with pytest.raises(SIGNALS[number]), interruptible():
        imported()
    assert handlers() == before
    with pytest.raises(ImportError), interruptible():
        raise ImportError


def test_signals_that_are_ignored_or_handled_elsewhere_stay_so():
    before = handlers()
    own = lambda number, frame: None  # noqa: E731
    signal.signal(signal.SIGINT, own)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals() as should_stop, interruptible():
            assert signal.getsignal(signal.SIGINT) is own
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGHUP)
            assert not should_stop()
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)


def test_outside_of_the_main_thread_no_handler_is_set():
    before, seen = handlers(), []

    def train():
        with stop_on_signals() as should_stop:
            seen.extend([handlers(), should_stop()])

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert seen == [before, False]


def test_who_else_asks_training_to_stop_gets_the_answer():
    with pytest.raises(TrainingStoppedError), stop_on_signals():
        raise TrainingStoppedError


def test_platforms_without_a_signal_do_without_it(monkeypatch):
    for name in ("SIGHUP", "SIGTERM"):
        monkeypatch.delattr(signal, name)
    with stop_on_signals() as should_stop, interruptible():
        assert not should_stop()


def test_an_interruption_while_a_network_is_built_waits_until_it_is(monkeypatch):
    """PyTorch swaps its tensors there for a moment, and turns a KeyboardInterrupt into another error."""
    built = []

    def interrupted(network, *others):
        os.kill(os.getpid(), signal.SIGINT)
        built.append(network)
        return network

    monkeypatch.setattr(trainer, "accelerate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(Recipe(model="memory_mlp(hidden=8)", batch_size=4, validation=8, resize=8), few(8, resize=8), device="cpu")
    assert len(built) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
