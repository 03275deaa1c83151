"""Several processes carry out one study in one store: every run is trained once, and nothing is lost or set aside.

Two and four writers take turns, and one is stopped before any of its operations on files and locks while the others go
on. `check_writers` and `check_takeover` are one such schedule each, of which the tests take a few.
"""

import contextlib
import dataclasses
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from convarium.recipes.recipe import Recipe
from convarium.records import Environment, Epoch, Outcome
from convarium.runs.store import Store
from convarium.runs.stored_run import read_run
from convarium.studies import fitting, plan, unit
from convarium.studies.resources import Resources
from convarium.studies.run import run_study
from convarium.studies.study import Study, grid
from convarium.training.state import TrainingEvent
from scheduler import Policy, Turns, at_random, stopped_at, take_turns

BASE = Recipe(model="lenet", epochs=1, batch_size=512)
TWO = ("lenet", "lenet(pool='avg')")
EXTENSIONS = (
    (TWO, 2),  # models and seeds
    (("lenet", "lenet(activation='tanh')"), 1),
    (TWO, 3),
    (("lenet(activation='tanh')",), 2),
)
"""What each writer asks for, all under one name: together every network with the seeds that one of them wants."""

HERE = Environment("0.1.0", "3.11", "2.13", "Linux", "a processor", "cpu", 1, started="2026-01-01")
ROW = Epoch(1, 3, 0.1, 2.0, 0.5, 1.0, 0.75, None, None, 0.25)


def asked(writer: int) -> Study:
    models, seeds = EXTENSIONS[writer]
    recipes = grid(BASE, seed=range(seeds), model=models)
    return Study(name="pools", question="Does the pool matter?", recipes=recipes)


def outcome(recipe: Recipe, status: str = "finished") -> Outcome:
    return Outcome(
        status, (ROW,), dataclasses.replace(HERE, started=f"{status} {recipe.seed}"), weights={"w": torch.ones(2)}
    )


def made_store(folder: Path) -> Store:
    """A store in which one run of the study has failed, one is damaged and one is finished."""
    store = Store(folder)
    states = zip(asked(0).recipes, ("failed", "damaged", "finished"), strict=False)
    for recipe, state in states:
        run = store.finish(store.begin(recipe, recipe.key()), outcome(recipe, state.replace("damaged", "finished")))
        if state == "damaged":
            (run.path / "history.jsonl").write_text("")
    return store


@contextlib.contextmanager
def stand_ins(trained: list[str]) -> Iterator[None]:
    """Training that takes no time, and leaves what training leaves: an epoch is written, then the run ends."""

    def fit(recipe, splits, *, folder, on_event, **options):
        ones = torch.ones(1)
        (folder / "last.ckpt").write_bytes(b"an epoch")
        on_event(TrainingEvent(1, 1, 0, 1, (ROW,), ones, ones))
        trained.append(recipe.key(splits.digest))
        return outcome(recipe)

    def fit_stack(recipes, splits, *, folders, on_event, **options):
        written = [(number, folder) for number, folder in enumerate(folders) if folder is not None]
        for number, folder in written:
            fit(recipes[number], splits, folder=folder, on_event=partial(on_event, number))
        return [outcome(recipe) for recipe in recipes]

    class Log:
        def graph(self, *given): ...
        def epoch(self, *given): ...
        def finish(self, *given): ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "fit", fit)
        patch.setattr(fitting, "fit_stack", fit_stack)
        patch.setattr(unit, "event_log", lambda path: contextlib.nullcontext(Log()))
        patch.setattr(plan, "check_recipe", lambda recipe, splits: None)  # it builds networks and touches no file
        patch.setattr(os, "fsync", lambda file: None)  # no power fails here
        yield


def check_writers(before: Store, folder: Path, writers: int, policy: Policy, *, stacks: Collection[int] = ()) -> Turns:
    """One schedule: several writers, from a copy of a store to the study's end.

    Args:
        before: from `made_store`; it stays as it is.
        folder: where the copy goes; it does not exist.
        writers: 2 or 4 of them.
        policy: whose turn is next.
        stacks: the writers that train the seeds of a network at the same time.
    """
    shutil.copytree(before.root, folder)
    trained: list[str] = []
    works = [
        lambda n=n: run_study(asked(n), Resources(Store(folder), device="cpu"), stack=n in stacks)
        for n in range(writers)
    ]
    with stand_ins(trained):
        turns = take_turns(works, folder, policy)
    wanted = check_store(Store(folder), writers)
    finished = asked(0).recipes[2].key()
    assert Counter(trained) == Counter(wanted - {finished})
    return turns


def check_store(store: Store, writers: int, may_lie_there: Collection[str] = ()) -> set[str]:
    """Checks that the study of some writers is whole, and returns the keys of its runs.

    Args:
        store: in which it lies.
        writers: how many there were.
        may_lie_there: what a writer that is killed between sealing a run and tidying up leaves in the run's folder.
    """
    folder, damaged = store.root, asked(0).recipes[1].key()
    record, wanted = store.study("pools"), {recipe.key() for n in range(writers) for recipe in asked(n).recipes}
    assert set(record.keys) == wanted
    assert {run.outcome.status for run in store.runs_of(record)} == {"finished"}
    assert len(store.runs_of(record)) == len(wanted)
    names = sorted(path.name for path in (folder / "runs").iterdir() if path.is_dir())
    assert [name for name in names if ".damaged-" in name] == [f"{store.run(damaged).path.name}.damaged-1"]
    assert len(names) == len(wanted) + 1
    for run in store.runs_of(record):
        assert read_run(run.path) == run
        left_over = {file.name for file in run.path.iterdir() if file.name.startswith((".", "last", "failed"))}
        assert left_over <= set(may_lie_there)
    return wanted


def check_takeover(before: Store, folder: Path, stop: int) -> bool:
    """One writer is killed before its operation number `stop`, while another one waits for it or has ended.

    Returns:
        False if the first writer ended before it had so many operations.
    """
    shutil.copytree(before.root, folder)
    trained: list[str] = []
    with stand_ins(trained):
        process, stopped = forked_writer(
            lambda: run_study(asked(0), Resources(Store(folder), device="cpu")), folder, stop
        )

        def policy(turns: Turns) -> int:
            if turns.writers[0].waits:
                os.kill(process, signal.SIGKILL)
            return 0

        take_turns([lambda: run_study(asked(1), Resources(Store(folder), device="cpu"))], folder, policy)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        run_study(asked(0), Resources(Store(folder), device="cpu"))
    check_store(Store(folder), 2, may_lie_there={"last.ckpt", "failed"})
    assert max(Counter(trained).values(), default=1) == 1
    return stopped


def forked_writer(work: Callable[[], object], folder: Path, stop: int) -> tuple[int, bool]:
    """Starts a process that stands still before its operation number `stop`: its number, and whether it came so far."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:

        def policy(turns: Turns) -> int:
            if len(turns.writers[0].operations) == stop:
                os.write(writing, b"s")
                signal.pause()
            return 0

        try:
            take_turns([work], folder, policy)
            os.write(writing, b"e")
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        return process, pipe.read(1) == b"s"


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    return made_store(tmp_path_factory.mktemp("before"))


@pytest.fixture(scope="module")
def operations(before, tmp_path_factory):
    """How many operations the first of two writers has that is never stopped."""
    turns = check_writers(before, tmp_path_factory.mktemp("alone") / "store", 2, stopped_at(10**6))
    return len(turns.writers[0].operations)


@pytest.mark.parametrize(("writers", "schedules"), [(2, 12), (4, 6)])
def test_a_writer_that_stands_still_anywhere_costs_the_others_nothing(before, operations, tmp_path, writers, schedules):
    for stop in range(writers, operations, operations // schedules):
        check_writers(before, tmp_path / str(stop), writers, stopped_at(stop))


@pytest.mark.parametrize("stacks", [{0}, {1}, {0, 1}])
def test_stacks_and_single_runs_wait_for_each_other(before, operations, tmp_path, stacks):
    for stop in range(2, operations, operations // 4):
        check_writers(before, tmp_path / str(stop), 2, stopped_at(stop), stacks=stacks)
        check_writers(before, tmp_path / f"{stop} at random", 2, at_random(stop), stacks=stacks)


@pytest.mark.parametrize(("writers", "schedules"), [(2, 6), (4, 4)])
def test_writers_in_any_order_train_every_run_once(before, tmp_path, writers, schedules):
    for seed in range(schedules):
        check_writers(before, tmp_path / str(seed), writers, at_random(seed))


def test_a_writer_that_is_killed_anywhere_is_taken_over_from(before, operations, tmp_path):
    for stop in range(3, operations - 20, operations // 5):
        assert check_takeover(before, tmp_path / str(stop), stop)
