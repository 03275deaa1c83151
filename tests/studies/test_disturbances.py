"""A study meets another process, a run that failed, a full disk: it waits, goes on, and loses nothing."""

import dataclasses
import errno
import importlib
import os
import sys
import textwrap
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from convarium.cli import main
from convarium.errors import DamageError, StoreError
from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store
from convarium.studies import carry_out, unit
from convarium.studies.compare import compare_study
from convarium.studies.resources import Resources
from convarium.studies.run import run_study, train_one
from convarium.studies.study import Study, grid
from convarium.training import loop
from html_page import Reader

BASE = Recipe(model="lenet", epochs=1, batch_size=256)


class Killed(BaseException):
    """What ends a run as a kill does: nothing of ours handles it."""


def resources(folder):
    return Resources(Store(folder), device="cpu")


@pytest.fixture
def flaky(tmp_path, monkeypatch):
    """The recipe of a network of one's own that fails in the training step that `fail_in` counts down to."""
    (tmp_path / "code").mkdir()
    monkeypatch.chdir(tmp_path / "code")
    (tmp_path / "code" / "flaky_network.py").write_text(
        textwrap.dedent("""
            from torch import nn

            error, fail_in = None, 0

            class Flaky(nn.Module):
                def __init__(self, spec):
                    super().__init__()
                    self.head = nn.Linear(spec.height * spec.width, spec.classes)

                def forward(self, x):
                    global fail_in
                    fail_in -= self.training
                    if self.training and error is not None and fail_in == 0:
                        raise error
                    return self.head(x.flatten(1))

            def flaky(spec, activation):
                return Flaky(spec)
            """)
    )
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    recipe = dataclasses.replace(BASE, model="flaky_network:flaky", epochs=4)

    def fails(error, step):
        module = importlib.import_module("flaky_network")
        module.error, module.fail_in = error, step

    recipe.key("0" * 64)  # imports the module
    yield recipe, fails
    sys.modules.pop("flaky_network", None)


def test_a_run_that_failed_goes_on_from_its_checkpoint_also_when_the_new_attempt_is_killed(flaky, tmp_path):
    recipe, fails = flaky
    steps = []

    def listen(event):
        steps.extend([(event.training.epoch, event.training.step)] if event.training else [])

    def kill(event):
        listen(event)
        if event.training and event.training.epoch == 3:
            raise Killed

    store = Store(tmp_path / "store")
    per_epoch = -(-len(resources(tmp_path).splits(recipe).train) // recipe.batch_size)
    fails(RuntimeError("out of luck"), 2 * per_epoch + 2)
    failed = train_one(recipe, resources(store.root), on_event=listen)
    assert failed.outcome.status == "failed"
    assert (failed.path / "last.ckpt").exists()
    fails(None, 0)
    steps.clear()
    with pytest.raises(Killed):
        train_one(recipe, resources(store.root), on_event=kill)
    assert min(steps)[0] == 2
    assert Store(store.root).find(recipe, failed.key).outcome == failed.outcome
    steps.clear()
    run = train_one(recipe, resources(store.root), on_event=listen)
    assert min(steps)[0] >= 2
    assert run.outcome.status == "finished"
    whole = train_one(recipe, resources(tmp_path / "whole"))
    assert all(torch.equal(run.weights()[name], weight) for name, weight in whole.weights().items())
    assert not [file for file in run.path.iterdir() if file.name in ("failed", "last.ckpt")]


def test_a_networks_own_error_about_a_file_is_a_failure_of_the_run(flaky, tmp_path):
    recipe, fails = flaky
    fails(FileNotFoundError(errno.ENOENT, "No such file or directory", "my_filters.npy"), 2)
    run = train_one(recipe, resources(tmp_path / "store"))
    assert run.outcome.status == "failed"
    assert "my_filters.npy" in run.outcome.message


def test_a_full_disk_is_no_failure_of_a_network_of_ones_own(flaky, tmp_path):
    recipe, fails = flaky
    store = Store(tmp_path / "store")
    place = store.folder(recipe, recipe.key(resources(tmp_path).splits(recipe).digest))
    fails(OSError(errno.ENOSPC, "No space left on device", str(place / "last.ckpt")), 2)
    with pytest.raises(OSError, match="No space left on device"):
        train_one(recipe, resources(store.root))
    assert Store(store.root).runs() == []
    fails(None, 0)
    assert train_one(recipe, resources(store.root)).outcome.status == "finished"


def test_epochs_that_cannot_be_written_are_told_once_and_the_record_is_whole(tmp_path, monkeypatch):
    def full(path, history):
        raise OSError(errno.ENOSPC, "No space left on device", str(path / "history.jsonl"))

    monkeypatch.setattr(unit, "write_history", full)
    notices = []
    recipe = dataclasses.replace(BASE, epochs=3)
    run = train_one(recipe, resources(tmp_path), on_event=lambda e: notices.extend([e.notice] if e.notice else []))
    assert notices == [
        f"an epoch could not be written: No space left on device ({run.path / 'history.jsonl'}); training goes on"
    ]
    assert len(Store(tmp_path).run(run.key).outcome.history) == 3


@pytest.mark.parametrize("name", ["history.jsonl", "weights.safetensors", "outcome.json"])
def test_a_disk_that_is_full_at_the_end_leaves_an_unfinished_run_that_goes_on(tmp_path, monkeypatch, name):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    recipe, full = dataclasses.replace(BASE, epochs=2), []

    def fsync(file):
        if full and f"/.{name}." in str(Path(f"/proc/self/fd/{file}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    steps = []

    def fill_the_disk(event):
        steps.extend([event.training.epoch] if event.training else [])
        full.extend([True] if event.training and event.training.epoch == 2 else [])

    if name == "history.jsonl":  # it is written during training too, where it stops nothing
        monkeypatch.setattr(unit, "write_history", lambda path, history: None)
    with pytest.raises(OSError, match="No space left on device") as raised:
        train_one(recipe, resources(tmp_path), on_event=fill_the_disk)
    assert raised.value.filename.endswith(name)
    assert Store(tmp_path).runs() == []
    full.clear()
    steps.clear()
    run = train_one(
        recipe, resources(tmp_path), on_event=lambda e: steps.extend([e.training.epoch] if e.training else [])
    )
    assert min(steps) >= 1
    assert run.outcome.status == "finished"


@pytest.fixture
def others(monkeypatch):
    """Other processes, of which the one that trains a run ends when this one has waited twice for it."""
    held, waits = ExitStack(), []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            held.close()

    monkeypatch.setattr(carry_out, "sleep", wait)
    with held:
        yield held, waits


def test_a_run_in_training_elsewhere_is_waited_for_after_all_others(tmp_path, others):
    held, waits = others
    study = Study(name="pools", question="?", recipes=grid(BASE, seed=range(3)))
    held.enter_context(Store(tmp_path).lock([study.recipes[0].key()]))
    notices, order = [], []

    def listen(event):
        notices.extend([event.notice] if event.notice and "process" in event.notice else [])
        order.extend([(event.number, event.recipe.seed)] if event.finished else [])

    comparison = run_study(study, resources(tmp_path), on_event=listen)
    assert order == [(1, 1), (2, 2), (3, 0)]
    assert len(comparison.rows[0].runs) == 3
    assert len(waits) == 2
    (notice,) = notices
    assert notice.startswith("lenet seed 0 is being trained by another process; waiting for it (Ctrl-C ends the wait")


def test_train_waits_for_a_run_in_training_elsewhere(tmp_path, others, capsys):
    held, _ = others
    held.enter_context(Store(tmp_path).lock([BASE.key()]))
    call = ["train", "lenet", "--epochs", "1", "--batch-size", "256", "--device", "cpu", "--store", str(tmp_path)]
    assert main(call) == 0
    shown = capsys.readouterr()
    assert "lenet seed 0 is being trained by another process; waiting for it" in " ".join(shown.err.split())
    assert "test accuracy" in shown.out


def test_waiting_ends_with_ctrl_c_and_nothing_is_written(tmp_path, monkeypatch):
    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(carry_out, "sleep", interrupt)
    with Store(tmp_path).lock([BASE.key()]), pytest.raises(KeyboardInterrupt):
        train_one(BASE, resources(tmp_path))
    assert [path.name for path in (tmp_path / "runs").iterdir() if path.is_dir()] == []


def test_a_run_that_another_process_has_just_tried_and_failed_is_not_tried_again(flaky, tmp_path, others):
    recipe, fails = flaky
    held, _ = others
    fails(RuntimeError("out of luck"), 1)
    before = train_one(recipe, resources(tmp_path / "elsewhere"))
    store, key = Store(tmp_path / "store"), before.key
    held.enter_context(store.lock([key]))
    held.callback(lambda: store.finish(store.begin(recipe, key), before.outcome))
    fails(RuntimeError("it was tried again"), 1)
    assert train_one(recipe, resources(store.root)).outcome.message == "RuntimeError: out of luck"
    assert "tried again" in train_one(recipe, resources(store.root)).outcome.message


def test_what_another_process_adds_to_a_study_meanwhile_is_compared_too(tmp_path):
    more = train_one(dataclasses.replace(BASE, seed=5), resources(tmp_path))

    def extend(event):
        if event.finished:
            Store(tmp_path).update_study("pools", lambda now: dataclasses.replace(now, keys=(*now.keys, more.key)))

    study = Study(name="pools", question="?", recipes=(BASE,))
    (row,) = run_study(study, resources(tmp_path), on_event=extend).rows
    assert [run.recipe.seed for run in row.runs] == [0, 5]


def test_a_finished_run_needs_no_lock_so_that_a_read_only_store_can_be_read(tmp_path, monkeypatch):
    run = train_one(BASE, resources(tmp_path))

    def refuse(*given, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr("convarium.runs.store.lock_file", refuse)
    assert train_one(BASE, resources(tmp_path)).key == run.key


def test_a_run_that_may_not_be_read_is_not_set_aside(tmp_path, monkeypatch):
    run = train_one(BASE, resources(tmp_path))

    def refuse(path, **options):
        raise StoreError(f"{path / 'recipe.json'} cannot be read: Permission denied")

    monkeypatch.setattr("convarium.runs.reading.read_run", refuse)
    with pytest.raises(StoreError, match="cannot be read: Permission denied") as raised:
        train_one(BASE, resources(tmp_path))
    assert not isinstance(raised.value, DamageError)
    assert [path.name for path in (tmp_path / "runs").iterdir() if path.is_dir()] == [run.path.name]


def test_a_file_of_one_run_that_only_reports_read_hides_none_of_its_study(tmp_path, capsys):
    run_study(Study(name="pools", question="?", recipes=grid(BASE, seed=range(2))), resources(tmp_path))
    victim = Store(tmp_path).run(BASE.key())
    for file in ("predictions.npz", "network.json"):
        path = victim.path / file
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"?")
        assert main(["results", "pools", "--store", str(tmp_path)]) == 0  # it does not read the file
        assert "left out" not in capsys.readouterr().out
        assert main(["report", "pools", "--store", str(tmp_path)]) == 0
        page = (tmp_path / "studies" / "pools" / "report.html").read_text("utf-8")
        assert f"A run is left out: {path} is damaged" in Reader(page).visible
        assert f"A run is left out: {path} is damaged" in " ".join(capsys.readouterr().err.split())
        path.write_bytes(content)


def test_a_verdict_on_single_runs_is_not_stopped_by_damaged_predictions(tmp_path):
    recipes = grid(dataclasses.replace(BASE), model=[BASE.model, "residual_mlp"])
    run_study(Study(name="nets", question="?", recipes=recipes), resources(tmp_path))
    victim = Store(tmp_path).run(recipes[1].key()).path / "predictions.npz"
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    comparison = compare_study(Store(tmp_path).study("nets"), Store(tmp_path))
    assert [row.label for row in comparison.rows] == [BASE.model]
    assert comparison.warnings[0].startswith(f"A run is left out: {victim} is damaged")


def test_a_damaged_run_hides_none_of_its_study(tmp_path, capsys):
    study = Study(name="pools", question="?", recipes=grid(BASE, seed=range(3)))
    run_study(study, resources(tmp_path))
    victim = Store(tmp_path).run(BASE.key())
    (victim.path / "history.jsonl").write_text("")
    record = Store(tmp_path).study("pools")
    comparison = compare_study(record, Store(tmp_path))
    assert [len(row.runs) for row in comparison.rows] == [2]
    assert comparison.warnings[0].startswith(f"A run is left out: {victim.path / 'history.jsonl'} is damaged")
    for command in ("results", "report"):
        assert main([command, "pools", "--store", str(tmp_path)]) == 0
    assert "A run is left out: " in " ".join(capsys.readouterr().out.split())
    assert "A run is left out: " in (tmp_path / "studies" / "pools" / "report.html").read_text("utf-8")
    for seed in range(3):
        (Store(tmp_path).folder(BASE, study.recipes[seed].key()) / "outcome.json").write_text("{")
    with pytest.raises(DamageError, match=r"outcome.json"):
        compare_study(record, Store(tmp_path))
