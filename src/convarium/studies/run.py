"""How a study is carried out: what is missing is trained into the store, run by run or stack by stack."""

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from convarium.analysis.comparison import Comparison
from convarium.analysis.comparison.formatting import listed
from convarium.errors import ConvariumError, RunError, StoreError
from convarium.models.build import build_model
from convarium.models.index import resolve
from convarium.recipes.recipe import Recipe
from convarium.records import Epoch, Outcome
from convarium.runs.environment import emulates_bfloat16, environment
from convarium.runs.files import write_history, write_predicted
from convarium.runs.store import Store, StoredRun
from convarium.runs.tensorboard import event_log
from convarium.studies.plan import (
    PlannedRun,
    PreparedStudy,
    check_recipe,
    prepare_study,
    stack_notice,
    stacking_hints,
    stacks_of,
    units_of,
)
from convarium.studies.resources import Resources
from convarium.studies.study import Study, compare_study
from convarium.training import TrainingEvent, fit, fit_stack
from convarium.training.checkpoint import checkpoint_environment, environment_fields
from convarium.training.scoring import pick_device


@dataclass(frozen=True)
class StudyEvent:
    """What happens while a study is carried out.

    Attributes:
        number, total: of the run, among those that are wanted; number is 0 before the first.
        recipe: of the run.
        training: what `fit` reports of it.
        finished: the run, as soon as the store has it.
        trained_now: whether the finished run was trained just now; False if the store had it already.
        notice: what a person should know, such as a run that failed.
        begins: the recipes that begin to train, one or a stack.
        message: a line about what comes next: the plan, a learning rate that was chosen, the page that follows.
    """

    number: int
    total: int
    recipe: Recipe
    training: TrainingEvent | None = None
    finished: StoredRun | None = None
    trained_now: bool = True
    notice: str | None = None
    begins: tuple[Recipe, ...] = ()
    message: str | None = None


def run_study(
    study: Study,
    resources: Resources,
    *,
    only: Sequence[Any] | None = None,
    stack: bool = False,
    on_event: Callable[[StudyEvent], None] | None = None,
) -> Comparison:
    """Trains what is missing of a study, one run after another in this process, and compares.

    Nothing is trained or written before every recipe is known to fit its data.

    Args:
        study: what to run. A study of this name that the store already has is extended by new seeds and networks.
        resources: the store, where finished runs are reused whichever study they were trained for; the data sets; the
            device.
        only: the compared values that are trained now; None: all. The others stay planned.
        stack: train runs of one network that differ in seed, learning rate, weight decay or momentum alone at the
            same time, see `fit_stack`. Which ones is written down in the study first, and they stay together: a stack
            of which runs are missing is trained again with all its runs, for the same bits.
        on_event: called often; whatever it raises, KeyboardInterrupt above all, ends the study, and what is finished
            stays in the store.

    Raises:
        ConvariumError: a recipe that does not fit its data, or a study of this name with another base recipe.
    """
    return run_prepared(prepare_study(study, resources, only=only), resources, stack=stack, on_event=on_event)


def run_prepared(
    prepared: PreparedStudy,
    resources: Resources,
    *,
    stack: bool = False,
    on_event: Callable[[StudyEvent], None] | None = None,
) -> Comparison:
    """Trains what is missing of a prepared study, and compares; arguments as for `run_study`."""
    notify, device = on_event or (lambda _: None), pick_device(resources.device)
    store, record, wanted = resources.store, prepared.record, prepared.runs
    if stack:
        missing = [planned.key for planned in wanted if planned.stored is None]
        record = dataclasses.replace(record, stacks=stacks_of(wanted, missing, record))
    store.save_study(record)
    hints = {} if stack else stacking_hints(wanted, device)
    graphs: set[str] = set()
    number = 1
    for unit in units_of(wanted, record if stack else None):
        at = [StudyEvent(n, len(wanted), planned.recipe) for n, planned in enumerate(unit, start=number)]
        number += len(unit)
        done = [_finished(store, p.recipe, p.key, here, notify) for p, here in zip(unit, at, strict=True)]
        now: Sequence[StoredRun | None] = done
        if None in done:
            if unit[0].key in hints:
                notify(dataclasses.replace(at[0], notice=hints[unit[0].key]))
                hints = {}
            begins = tuple(p.recipe for p, stored in zip(unit, done, strict=True) if stored is None)
            notify(dataclasses.replace(at[0], begins=begins))
            now = _train(unit, done, store, device, at, notify, with_graph=unit[0].recipe.model not in graphs)
        for here, before, run_now in zip(at, done, now, strict=True):
            notify(dataclasses.replace(here, finished=run_now, trained_now=before is None))
        graphs.add(unit[0].recipe.model)
    return compare_study(record, store)


def train_one(
    recipe: Recipe, resources: Resources, *, on_event: Callable[[StudyEvent], None] | None = None
) -> StoredRun:
    """One run into the store; if the store has it already, nothing is trained.

    Raises:
        ConvariumError: the recipe does not fit its data.
    """
    notify, device = on_event or (lambda _: None), pick_device(resources.device)
    splits = resources.splits(recipe)
    check_recipe(recipe, splits)
    key, at = recipe.key(splits.digest), StudyEvent(1, 1, recipe)
    done = _finished(resources.store, recipe, key, at, notify)
    if done is not None:
        notify(dataclasses.replace(at, finished=done, trained_now=False))
        return done
    return _train([PlannedRun(recipe, key, splits)], [None], resources.store, device, [at], notify, with_graph=True)[0]


def _finished(
    store: Store, recipe: Recipe, key: str, at: StudyEvent, notify: Callable[[StudyEvent], None]
) -> StoredRun | None:
    """The run if the store has it undamaged. A damaged one is set aside; a failed one is trained again."""
    try:
        run = store.find(recipe, key)
    except StoreError as error:
        aside = store.set_aside(store.folder(recipe, key))
        notify(dataclasses.replace(at, notice=f"{error.wrong}; set aside as {aside.name} and trained again"))
        return None
    return run if run and run.outcome.status != "failed" else None


def _train(
    unit: Sequence[PlannedRun],
    done: Sequence[StoredRun | None],
    store: Store,
    device: torch.device,
    at: Sequence[StudyEvent],
    notify: Callable[[StudyEvent], None],
    *,
    with_graph: bool,
) -> list[StoredRun]:
    """Trains one run, or a stack of runs; of a stack, only the runs that are not `done` are written."""
    paths = [store.folder(planned.recipe, planned.key) for planned in unit]
    missing = [m for m, stored in enumerate(done) if stored is None]
    histories: dict[int, tuple[Epoch, ...]] = dict.fromkeys(missing, ())
    splits = unit[0].splits
    if unit[0].recipe.precision == "bfloat16" and emulates_bfloat16(device):
        slow = "this processor has no instructions for bfloat16; in float32 its matrix products are many times as fast"
        notify(dataclasses.replace(at[0], notice=slow))
    for m in missing:
        other = _other_environment(paths[m], device, compare_threads=len(unit) == 1)
        if other:
            name = f"{unit[m].recipe.model} seed {unit[m].recipe.seed}"
            notice = f"{name} was begun {other}; it begins anew, so that no run mixes the two"
            notify(dataclasses.replace(at[0], notice=notice))
    with ExitStack() as locks:
        for m in missing:
            locks.enter_context(store.lock(paths[m]))
            store.begin(unit[m].recipe, unit[m].key)
        with ExitStack() as opened:
            events = {m: opened.enter_context(event_log(paths[m])) for m in missing}
            if with_graph:
                events[missing[0]].graph(build_model(unit[0].recipe.model, splits.train.spec), splits.train.spec)

            def record_event(member: int, training: TrainingEvent) -> None:
                if member in events and training.history and training.step_loss is not None:
                    assert training.step_accuracy is not None
                    histories[member] = training.history
                    write_history(paths[member], training.history)
                    if training.test_predicted is not None:
                        write_predicted(paths[member], len(training.history), training.test_predicted)
                    losses, accuracies = training.step_loss.tolist(), training.step_accuracy.tolist()
                    events[member].epoch(training.history[-1], losses, accuracies)
                notify(dataclasses.replace(at[0], recipe=unit[member].recipe, training=training))

            recipes = [planned.recipe for planned in unit]
            folders = [paths[m] if m in missing else None for m in range(len(unit))]
            try:
                if len(unit) == 1:
                    outcomes = [
                        fit(recipes[0], splits, device=device, folder=folders[0], on_event=partial(record_event, 0))
                    ]
                else:
                    notify(dataclasses.replace(at[0], notice=stack_notice(unit, device)))
                    outcomes = fit_stack(recipes, splits, device=device, folders=folders, on_event=record_event)
            except Exception as error:
                # Memory may be full, and a user's own network may raise anything; any other error is a bug to show.
                custom = any(resolve(recipe.model).is_custom for recipe in recipes)
                if isinstance(error, ConvariumError) or not (custom or isinstance(error, (RuntimeError, MemoryError))):
                    raise
                message = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
                outcomes = [
                    Outcome("failed", histories.get(m, ()), environment(device), message=message)
                    for m in range(len(unit))
                ]
                way_out = "" if len(unit) == 1 else "; without --stack they train one by one"
                failed = "the run" if len(unit) == 1 else f"the stack of {len(unit)} runs"
                notify(dataclasses.replace(at[0], notice=f"{failed} failed: {message}{way_out}"))
            for m, log in events.items():
                log.finish(recipes[m], outcomes[m])
        # The folder that may hold the stack's checkpoint is finished last: a stack that is killed in between goes on
        # from there.
        outcomes = [dataclasses.replace(outcome, image=splits.train.spec) for outcome in outcomes]
        finished = {m: store.finish(paths[m], outcomes[m]) for m in reversed(missing)}
    return [stored or finished[m] for m, stored in enumerate(done)]


def _other_environment(folder: Path, device: torch.device, *, compare_threads: bool) -> str | None:
    """Describes the other environment in which the unfinished run of a folder was begun; None if it can resume here."""
    before, now = checkpoint_environment(folder / "last.ckpt"), environment_fields(device)
    if before is None:
        return None
    if not before:
        return "by an older version of Convarium"
    differing = [
        f"{name} {before.get(name)} instead of {value}"
        for name, value in now.items()
        if before.get(name) != value and (compare_threads or name != "threads")
    ]
    return f"with {listed(differing)}" if differing else None


def check_failures(runs: Sequence[StoredRun]) -> None:
    """Raises an error if some of the runs were broken off by one.

    Raises:
        RunError: says how many failed.
    """
    failed = sum(run.outcome.status == "failed" for run in runs)
    if failed:
        wrong = "the run failed" if len(runs) == 1 else f"{failed} of {len(runs)} runs failed"
        raise RunError(wrong, hint="mend what the note above names and give the same command again, which retries it")
