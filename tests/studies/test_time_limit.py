"""A study whose time is over ends at the next step, keeps all that it has, and goes on to the same bits."""

import dataclasses
import time

import pytest
import torch

from convarium.cli import main
from convarium.errors import TimeLimitError
from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store
from convarium.studies import carry_out
from convarium.studies.catalogue import Entry, run_claims
from convarium.studies.resources import Resources
from convarium.studies.run import run_study, train_one
from convarium.studies.study import Study, grid

BASE = Recipe(model="residual_mlp", epochs=2, batch_size=64)
STUDY = Study(name="nets", question="?", recipes=grid(BASE, seed=range(3)))


def ending(monkeypatch, *, epoch, seed):
    """A listener; when it hears of this epoch of the run with this seed, the time is over."""
    heard = []
    monkeypatch.setattr(Resources, "is_time_over", lambda _: bool(heard))

    def listen(event):
        if event.training and (event.training.epoch, event.recipe.seed) == (epoch, seed):
            heard.append(event)

    return listen


def test_the_run_in_training_has_a_checkpoint_and_the_next_call_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    resources = Resources(Store(tmp_path / "store"), device="cpu")
    with pytest.raises(TimeLimitError) as raised:
        run_study(STUDY, resources, on_event=ending(monkeypatch, epoch=1, seed=1))
    assert str(raised.value) == (
        "the time limit is reached with 1 of 3 runs finished; what was in training has a checkpoint: give the same "
        "command again to go on"
    )
    assert raised.value.exit_code == 75
    begun = {folder.name for folder in (tmp_path / "store" / "runs").iterdir() if folder.is_dir()}
    assert len(begun) == 2  # the third was not begun
    assert len(list(resources.store.root.glob("runs/*/last.ckpt"))) == 1
    monkeypatch.undo()
    comparison = run_study(STUDY, resources)
    run = comparison.rows[0].runs[1]
    whole = train_one(STUDY.recipes[1], Resources(Store(tmp_path / "whole"), device="cpu"))
    assert all(torch.equal(run.weights()[name], weight) for name, weight in whole.weights().items())
    assert not run.is_mixed


def test_what_is_stored_needs_no_time(tmp_path):
    resources = Resources(Store(tmp_path), device="cpu")
    train_one(BASE, resources)
    over = dataclasses.replace(resources, deadline=time.monotonic() - 1)
    assert train_one(BASE, over).outcome.status == "finished"
    with pytest.raises(TimeLimitError, match="with 0 of 1 run finished"):
        train_one(dataclasses.replace(BASE, seed=1), over)


def test_waiting_for_another_process_ends_too(tmp_path, monkeypatch):
    resources = Resources(Store(tmp_path), device="cpu", deadline=time.monotonic() + 0.5)
    monkeypatch.setattr(carry_out, "WAIT_SECONDS", 0.1)
    with Store(tmp_path).lock([BASE.key()]), pytest.raises(TimeLimitError):
        train_one(BASE, resources)


def test_the_time_of_reproduce_is_that_of_all_its_studies(tmp_path):
    from convarium.analysis.claims import Better

    claim = Better("residual_mlp", than="lenet", metric="test_accuracy", source="nobody")
    entries = [
        Entry(name, claim, Study(name=name, question="?", recipes=grid(BASE, model=["residual_mlp", "lenet"])))
        for name in ("first", "second")
    ]
    messages = []
    with pytest.raises(TimeLimitError):
        run_claims(
            entries,
            Resources(Store(tmp_path), device="cpu", deadline=time.monotonic() - 1),
            on_event=lambda e: messages.extend([e.message] if e.message else []),
        )
    assert not any("second" in message for message in messages)


def test_the_command_line_ends_with_exit_code_75_and_says_how_to_go_on(tmp_path, capsys):
    words = ["train", "lenet", "--epochs", "1000", "--minutes", "0.05", "--device", "cpu", "--store", str(tmp_path)]
    began = time.monotonic()
    assert main(words) == 75
    assert time.monotonic() - began < 30
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "convarium: the time limit is reached with 0 of 1 run finished; what was in training has a checkpoint" in said
    )
    assert len(list(tmp_path.glob("runs/*/last.ckpt"))) == 1
