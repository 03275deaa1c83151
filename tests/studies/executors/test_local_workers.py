"""Worker processes train the same bits as this process, lose at most one run's last steps, and end when they should."""

import dataclasses
import re
import signal
import sys
from collections import deque

import pytest
import torch

from convarium.cli import main
from convarium.errors import RecipeError, RunError, TimeLimitError
from convarium.recipes.recipe import Recipe
from convarium.runs.seal import epoch_file
from convarium.runs.store import Store
from convarium.studies import plan
from convarium.studies.executors.local_workers import LocalWorkers, count_workers
from convarium.studies.executors.round import Round
from convarium.studies.executors.work import Work
from convarium.studies.executors.worker_process import WorkerProcess
from convarium.studies.plan import PlannedRun
from convarium.studies.plan_sentence import describe_plan
from convarium.studies.progress_lines import ProgressLines
from convarium.studies.resources import Resources
from convarium.studies.run import run_study, train_one
from convarium.studies.study import Study, grid
from convarium.training import loop
from event_logs import told
from own_modules import forget

BASE = Recipe(model="residual_mlp", epochs=2, batch_size=64)
LONG = dataclasses.replace(BASE, model="lenet", epochs=1000)
CPU = torch.device("cpu")


OWN = """
from torch import nn

def flat(spec):
    return nn.Sequential(nn.Flatten(), nn.Linear(spec.height * spec.width, spec.classes))
"""


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Two workers, which start in a folder that has a network of a user's own."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "own_flat.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch, LocalWorkers(2, CPU) as workers:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        yield workers
    forget(folder)


@pytest.fixture
def resources(tmp_path, pool):
    return Resources(Store(tmp_path / "store"), device="cpu", executor=pool)


def in_process(folder):
    return Resources(Store(folder), device="cpu")


def is_same(one, other):
    """Whether two runs have the same numbers, times apart."""
    weights = one.weights(), other.weights()
    histories = ([dataclasses.replace(row, seconds=0.0) for row in run.outcome.history] for run in (one, other))
    return (
        next(histories) == next(histories)
        and one.outcome.test == other.outcome.test
        and all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0].keys() | weights[1].keys())
    )


def test_a_study_has_the_bits_that_one_process_gives_it_and_says_who_trained_it(resources, tmp_path):
    events = []
    study = Study(name="nets", question="?", recipes=grid(BASE, seed=range(3)))
    comparison = run_study(study, dataclasses.replace(resources, keep_weights=1), on_event=events.append)
    alone = run_study(study, dataclasses.replace(in_process(tmp_path / "here"), keep_weights=1))
    for one, other in zip(comparison.rows[0].runs, alone.rows[0].runs, strict=True):
        assert is_same(one, other)
        assert (one.outcome.environment.threads, one.outcome.environment.workers) == (1, 2)
        assert other.outcome.environment.workers == 1
        assert len(list(one.path.iterdir())) == len(list(other.path.iterdir()))
        assert one.kept_epochs == (0, 1, 2)
        assert [one.files[epoch_file(epoch)] for epoch in (0, 1, 2)] == [
            other.files[epoch_file(epoch)] for epoch in (0, 1, 2)
        ]
    assert [event.number for event in events if event.finished] == [1, 2, 3]
    assert {event.total for event in events if event.finished or event.begins} == {3}
    lines = list[str]()
    progress = ProgressLines(lines.append)
    for event in events:
        progress.on_event(event)
    ends = [re.search(rf"epoch {BASE.epochs}/{BASE.epochs}  .*  run (\d)/3", line) for line in lines]
    assert [end[1] for end in ends if end] == ["1", "2", "3"]
    assert any("1 thread in each of 2 workers" in note for note in comparison.notes)
    assert "workers" not in " ".join(alone.notes)
    events.clear()
    again = dataclasses.replace(resources, store=Store(resources.store.root))
    assert len(run_study(study, again, on_event=events.append).rows[0].runs) == 3
    assert [event.trained_now for event in events if event.finished] == [False] * 3


def test_a_run_that_loses_its_worker_is_tried_again_once_and_its_record_says_so(resources, pool, tmp_path):
    notices, losses = [], {0: [signal.SIGKILL], 1: [signal.SIGKILL, signal.SIGTERM]}

    def listen(event):
        notices.extend([event.notice] if event.notice else [])
        to_come = losses[event.recipe.seed]
        if event.training and event.training.history is None and to_come:
            for worker in pool.busy():
                if worker.number == event.recipe.seed:
                    worker.process.send_signal(to_come.pop(0))
                    break

    comparison = run_study(
        Study(name="nets", question="?", recipes=grid(BASE, seed=[0, 1])), resources, on_event=listen
    )
    run, failed = comparison.rows[0].runs
    assert run.outcome.status == "finished"
    assert run.outcome.retried == "its worker process was killed by SIGKILL"
    assert set(told(run.path).values()) == {1}  # in TensorBoard
    again = "residual_mlp seed {}: its worker process was killed by SIGKILL; it is tried again from its last checkpoint"
    assert {again.format(0), again.format(1)} <= set(notices)
    assert "residual_mlp seed 1 failed: its worker process ended with exit code 143, twice" in notices
    assert failed.outcome.status == "failed"
    assert failed.outcome.message == "its worker process ended with exit code 143, twice"
    (note,) = (note for note in comparison.notes if note.startswith("Tried again from their last checkpoint: "))
    assert "residual_mlp seed 0 (its worker process was killed by SIGKILL)" in note
    assert Store(resources.store.root).run(run.key).outcome.retried == run.outcome.retried
    assert is_same(run, train_one(BASE, in_process(tmp_path / "here")))
    later = train_one(failed.recipe, resources)
    assert (later.outcome.status, later.outcome.retried) == ("finished", None)


def test_a_second_attempt_that_is_stopped_is_recorded_by_whoever_finishes_the_run(resources, pool):
    def listen(event):
        if event.notice and "it is tried again" in event.notice:
            raise KeyboardInterrupt
        if event.training and event.training.history is None and pool.busy():
            pool.busy()[0].process.kill()

    recipe = dataclasses.replace(BASE, epochs=4)
    with pytest.raises(KeyboardInterrupt):
        train_one(recipe, resources, on_event=listen)
    run = train_one(recipe, dataclasses.replace(resources, executor=None))
    assert run.outcome.retried == "its worker process was killed by SIGKILL"
    assert not (run.path / "last.retried").exists()


def test_a_run_that_a_lost_worker_had_finished_stays_as_it_is(resources, pool, tmp_path):
    run, events = train_one(BASE, in_process(tmp_path / "store")), []
    splits = resources.splits(BASE)
    units = [[PlannedRun(dataclasses.replace(BASE, seed=seed), "", splits) for seed in (0, 1)]]
    units = [[dataclasses.replace(each, key=each.recipe.key(splits.digest)) for each in units[0]]]
    work = Work(resources.store, CPU, events.append, lambda _: False)
    finished, failed = Round(pool, units, work, deque())._record_failure(units[0], "its worker process was killed")
    assert finished.outcome == run.outcome
    assert (failed.outcome.status, failed.outcome.retried) == ("failed", "its worker process was killed")
    assert [event.finished for event in events] == [finished, failed]
    with resources.store.lock([run.key]):
        assert Round(pool, units, work, deque())._record_failure(units[0], "…") is None


def test_a_worker_imports_a_network_of_ones_own(resources):
    run = train_one(dataclasses.replace(BASE, model="own_flat:flat"), resources)
    assert run.outcome.status == "finished"
    assert run.source is not None


def test_an_error_in_a_worker_is_raised_here(resources, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    threads = torch.get_num_threads()
    recipe = dataclasses.replace(BASE, epochs=12)

    def interrupt(event):
        if event.training and event.training.epoch:
            raise KeyboardInterrupt

    torch.set_num_threads(threads + 1)
    try:
        with pytest.raises(KeyboardInterrupt):
            train_one(recipe, dataclasses.replace(resources, executor=None), on_event=interrupt)
    finally:
        torch.set_num_threads(threads)
    with pytest.raises(RunError, match=r"was begun in another environment \(threads 2, then 1\)") as raised:
        train_one(recipe, dataclasses.replace(resources, exact=True))
    assert raised.value.hint.startswith("go on where it began")


def test_when_the_time_is_over_every_run_in_training_has_a_checkpoint_and_goes_on_to_the_same_bits(
    resources, tmp_path, monkeypatch
):
    study = Study(name="nets", question="?", recipes=grid(dataclasses.replace(BASE, epochs=12), seed=range(2)))
    begun = []
    monkeypatch.setattr(Resources, "is_time_over", lambda _: bool(begun))

    def listen(event):
        if event.training and event.training.epoch and event.recipe not in begun:
            begun.append(event.recipe)

    with pytest.raises(TimeLimitError, match="the time limit is reached with 0 of 2 runs finished; what was in") as end:
        run_study(study, resources, on_event=listen)
    assert end.value.exit_code == 75
    assert len(list(resources.store.root.glob("runs/*/last.ckpt"))) in (1, 2)  # a worker may just have started
    monkeypatch.undo()
    epochs = []

    def note_epoch(event):
        epochs.extend([event.training.epoch] if event.training and event.recipe == begun[0] else [])

    comparison = run_study(study, resources, on_event=note_epoch)
    assert min(epochs) >= 1
    (run,) = (run for run in comparison.rows[0].runs if run.recipe == begun[0])
    assert is_same(run, train_one(begun[0], in_process(tmp_path / "here")))
    assert not any(run.is_mixed for run in comparison.rows[0].runs)


def test_a_worker_that_is_killed_while_it_starts_is_replaced_and_a_run_that_ends_with_the_time_is_no_failure(
    resources, monkeypatch
):
    begin, killed, over = WorkerProcess.begin, [], []
    monkeypatch.setattr(Resources, "is_time_over", lambda _: bool(over))

    def begin_and_kill(process, number, job):
        begin(process, number, job)
        if not killed:
            assert not process.is_ready
            process.process.kill()
            killed.append(process)

    def listen(event):
        if event.training and event.training.history and event.training.epoch == BASE.epochs:
            over.append(event)  # after the last step, so that what is left is to finish

    monkeypatch.setattr(WorkerProcess, "begin", begin_and_kill)
    with LocalWorkers(1, CPU) as own:
        run = train_one(BASE, dataclasses.replace(resources, executor=own), on_event=listen)
    assert over
    assert run.outcome.status == "finished"
    assert run.outcome.retried == "its worker process was killed by SIGKILL"


@pytest.mark.parametrize("workers", [False, True])
def test_a_run_that_may_not_begin_lets_those_in_training_end(resources, workers):
    begun = []
    limited = resources if workers else dataclasses.replace(resources, executor=None)
    limited = dataclasses.replace(limited, may_begin=lambda recipes: not begun and not begun.extend(recipes))
    study = Study(name="nets", question="?", recipes=grid(BASE, seed=range(3)))
    with pytest.raises(TimeLimitError, match="the time limit is reached with 1 of 3 runs finished"):
        run_study(study, limited)
    assert [run.recipe for run in resources.store.runs()] == begun
    assert len(list(resources.store.root.glob("runs/digits-*"))) == 1


def test_an_error_of_a_listener_ends_the_workers_with_checkpoints(resources, pool):
    def interrupt(event):
        if event.training:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_one(LONG, resources, on_event=interrupt)
    assert len(list(resources.store.root.glob("runs/*/last.ckpt"))) == 1
    assert not pool.busy()


def test_a_worker_that_cannot_start_says_so(resources, monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with LocalWorkers(1, CPU) as own, pytest.raises(RunError, match="a worker process ended with exit code 1 before"):
        train_one(BASE, dataclasses.replace(resources, executor=own))


def test_auto_is_as_many_workers_as_cores_but_no_more_than_runs(monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    assert [count_workers("auto", CPU, runs=runs) for runs in (1, 3, 100)] == [None, 3, 8]
    assert count_workers(None, CPU, runs=100) is None
    assert count_workers(5, CPU, runs=2) == 5


def test_cores_are_divided(monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    for workers, threads in {1: 8, 2: 4, 3: 2, 16: 1}.items():
        with LocalWorkers(workers, CPU) as own:
            assert own.threads == threads


def test_the_plan_counts_with_the_workers_and_their_threads(tmp_path, monkeypatch):
    timed = []

    def run_seconds(*given, **options):
        timed.append(torch.get_num_threads())
        return 60.0

    monkeypatch.setattr(plan, "run_seconds", run_seconds)
    study, here = Study(name="nets", question="?", recipes=grid(BASE, seed=range(6))), in_process(tmp_path)
    prepared, threads = plan.prepare_study(study, here), torch.get_num_threads()
    with LocalWorkers(3, CPU) as own:
        monkeypatch.setattr(own, "threads", threads + 1)
        said = describe_plan(plan.plan_study(prepared, dataclasses.replace(here, executor=own)))
    assert "6 runs; about 2 min to go with 3 workers" in said
    assert "about 6 min to go; " in describe_plan(plan.plan_study(prepared, here))
    assert timed == [threads + 1, threads]
    assert torch.get_num_threads() == threads


def test_gpus_are_handed_out_in_turns(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-7")
    for device, gpus in {"cuda": ["4", "GPU-7"], "cuda:1": []}.items():
        with LocalWorkers(3, torch.device(device)) as own:
            assert own._gpus == gpus
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert count_workers("auto", torch.device("cuda"), runs=9) == 3


@pytest.mark.parametrize("workers", [0, -1, True, "many"])
def test_a_number_of_workers_that_cannot_be_is_refused(workers):
    with pytest.raises(RecipeError, match=r"workers is out of range: expected 1 or more, or auto"):
        count_workers(workers, CPU, runs=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--workers", "0"], "workers is out of range: expected 1 or more, or auto, received 0"),
        (["--workers", "x"], "--workers: 'x' is not a valid integer, nor auto"),
        (["--minutes", "0"], "minutes is out of range: expected more than 0, received 0.0"),
        (["--minutes", "nan"], "minutes is out of range: expected more than 0, received nan"),
    ],
)
def test_the_command_line_refuses_them_too(words, said, tmp_path, capsys):
    assert main(["compare", "lenet", *words, "--store", str(tmp_path)]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
