"""TensorBoard shows every epoch of a run once, wherever it was killed."""

import dataclasses

import pytest
import torch
from tensorboard.summary.writer.record_writer import RecordWriter

from convarium.recipes.recipe import Recipe
from convarium.records import ImageSpec
from convarium.runs.store import Store
from convarium.runs.tensorboard import event_log
from convarium.studies.resources import Resources
from convarium.studies.run import run_study
from convarium.studies.study import Study, grid
from convarium.training import loop, parallel
from event_logs import of_epochs, told
from made_runs import epoch, run

STEPS = 4
RECIPE = Recipe(epochs=4)


def history(epochs):
    return tuple(dataclasses.replace(epoch(n, validation=n / 10), steps=STEPS * n) for n in range(1, epochs + 1))


def log_epochs(folder, first, last, *, went_on=0, graph=True):
    """One process: it goes on from an epoch, or from the beginning, and logs some epochs."""
    with event_log(folder) as log:
        if graph:
            log.graph(torch.nn.Flatten(), ImageSpec(1, 2, 2, 2))
        if went_on:
            log.go_on(history(went_on))
        for row in history(last)[first - 1 :]:
            log.epoch(row, [1.0] * STEPS, [0.5] * STEPS)
        if last == RECIPE.epochs:
            log.finish(RECIPE, run(RECIPE, 0.7, validation=0.4, history=history(last)).outcome)


@pytest.mark.parametrize("known", [1, 2, 3, 4])
def test_a_run_that_goes_on_from_an_older_checkpoint_tells_every_epoch_and_step_once(tmp_path, known):
    log_epochs(tmp_path, 1, 4)
    log_epochs(tmp_path, known + 1, 4, went_on=known)
    counted = told(tmp_path)
    assert of_epochs(counted) == dict.fromkeys(range(1, 5), 1)
    assert of_epochs(counted, "step/train_loss") == dict.fromkeys(range(1, 4 * STEPS + 1), 1)
    assert set(counted.values()) == {1}, counted


def test_a_run_may_be_interrupted_again_and_again(tmp_path):
    log_epochs(tmp_path, 1, 2)
    log_epochs(tmp_path, 2, 3, went_on=1, graph=False)
    log_epochs(tmp_path, 4, 3, went_on=3)
    log_epochs(tmp_path, 3, 4, went_on=2, graph=False)
    counted = told(tmp_path)
    assert of_epochs(counted) == dict.fromkeys(range(1, 5), 1)
    assert set(counted.values()) == {1}, counted


def test_what_is_told_twice_already_and_a_record_that_is_half_written_are_taken_out(tmp_path):
    log_epochs(tmp_path, 1, 3)
    (first,) = tmp_path.glob("events*")
    twice = first.with_name(first.name + ".copy")
    twice.write_bytes(first.read_bytes()[:-7])
    log_epochs(tmp_path, 4, 4, went_on=3)
    assert set(told(tmp_path).values()) == {1}
    assert not twice.exists()  # nothing was left in it


@pytest.mark.parametrize("of_records", [False, True])
def test_a_damaged_file_stops_no_run(tmp_path, of_records):
    """One without a whole record is deleted; one whose records are no events stays as it is."""
    damaged = tmp_path / "events.out.tfevents.1.host.1.0"
    with damaged.open("wb") as file:
        RecordWriter(file).write(b"\xff" * 100) if of_records else file.write(b"\xff" * 100)
    content = damaged.read_bytes()
    log_epochs(tmp_path, 2, 4, went_on=1)
    assert damaged.exists() == of_records
    if of_records:
        assert damaged.read_bytes() == content
        damaged.unlink()
    assert of_epochs(told(tmp_path)) == {2: 1, 3: 1, 4: 1}


class KilledError(Exception):
    pass


@pytest.mark.parametrize("stack", [False, True])
def test_a_study_that_is_killed_after_an_epoch_tells_it_once(tmp_path, monkeypatch, stack):
    """The checkpoint is older than the epoch, which is trained and told again."""
    for module in (loop, parallel):
        if hasattr(module, "CHECKPOINT_SECONDS"):
            monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)
    base = Recipe(model="memory_mlp(hidden=8)", epochs=4, batch_size=256)
    study = Study(name="one", question="?", recipes=grid(base, seed=range(1 + stack)))
    resources = Resources(Store(tmp_path), device="cpu")

    def kill(event):
        if event.training and event.training.history and event.training.epoch == 3:
            raise KilledError

    with pytest.raises(KilledError):
        run_study(study, resources, stack=stack, on_event=kill)
    begun = [told(folder) for folder in (tmp_path / "runs").iterdir()]
    assert any(of_epochs(counted) == {1: 1, 2: 1, 3: 1} for counted in begun)
    comparison = run_study(study, Resources(Store(tmp_path), device="cpu"), stack=stack)
    for done in comparison.rows[0].runs:
        counted = told(done.path)
        assert of_epochs(counted) == dict.fromkeys(range(1, 5), 1)
        assert set(counted.values()) == {1}, counted
