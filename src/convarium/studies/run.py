"""How a study is carried out: what is missing is trained into the store, run by run or stack by stack."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from convarium.analysis.comparison import Comparison
from convarium.errors import ConvariumError, StoreError
from convarium.models.build import build_model
from convarium.models.index import resolve
from convarium.recipes.recipe import Recipe
from convarium.records import Epoch, Outcome
from convarium.runs.environment import emulates_bfloat16, environment
from convarium.runs.files import write_history, write_predicted
from convarium.runs.store import Store, StoredRun
from convarium.runs.tensorboard import EventLog, event_log
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
from convarium.training.checkpoint import checkpoint_mismatch
from convarium.training.parallel import stack_members, threads_per_member
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
    for planned in units_of(wanted, record if stack else None):
        events = [StudyEvent(n, len(wanted), run.recipe) for n, run in enumerate(planned, start=number)]
        number += len(planned)
        stored = [_find_or_set_aside(run, event, store, notify) for run, event in zip(planned, events, strict=True)]
        unit = _Unit(planned, stored, events, [store.folder(run.recipe, run.key) for run in planned])
        finished: Sequence[StoredRun | None] = stored
        if unit.missing:
            if planned[0].key in hints:
                notify(dataclasses.replace(events[0], notice=hints[planned[0].key]))
                hints = {}
            notify(dataclasses.replace(events[0], begins=tuple(planned[member].recipe for member in unit.missing)))
            with_graph = planned[0].recipe.model not in graphs
            finished = _train(unit, store, device=device, notify=notify, with_graph=with_graph)
        for event, before, run in zip(events, stored, finished, strict=True):
            notify(dataclasses.replace(event, finished=run, trained_now=before is None))
        graphs.add(planned[0].recipe.model)
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
    planned, event = PlannedRun(recipe, recipe.key(splits.digest), splits), StudyEvent(1, 1, recipe)
    stored = _find_or_set_aside(planned, event, resources.store, notify)
    if stored is not None:
        notify(dataclasses.replace(event, finished=stored, trained_now=False))
        return stored
    unit = _Unit([planned], [None], [event], [resources.store.folder(recipe, planned.key)])
    return _train(unit, resources.store, device=device, notify=notify, with_graph=True)[0]


@dataclass(frozen=True)
class _Unit:
    """One run, or the runs of a stack, which train at the same time. All lists have the same length.

    Attributes:
        planned: the runs.
        stored: each run as the store has it; None: it is missing.
        events: an event with each run's number.
        paths: each run's folder.
    """

    planned: Sequence[PlannedRun]
    stored: Sequence[StoredRun | None]
    events: Sequence[StudyEvent]
    paths: Sequence[Path]

    @property
    def missing(self) -> list[int]:
        """The positions of the runs that the store does not have."""
        return [member for member, stored in enumerate(self.stored) if stored is None]


def _find_or_set_aside(
    planned: PlannedRun, event: StudyEvent, store: Store, notify: Callable[[StudyEvent], None]
) -> StoredRun | None:
    """The run if the store has it undamaged; None if it is to be trained, because it is missing, failed or damaged.

    The folder of a damaged run is renamed, with a notice.

    Raises:
        StoreError: the store cannot be written to, or there are too many damaged copies of the run.
    """
    try:
        run = store.find(planned.recipe, planned.key)
    except StoreError as error:
        aside = store.set_aside(store.folder(planned.recipe, planned.key))
        notify(dataclasses.replace(event, notice=f"{error.wrong}; set aside as {aside.name} and trained again"))
        return None
    return run if run and run.outcome.status != "failed" else None


def _train(
    unit: _Unit, store: Store, *, device: torch.device, notify: Callable[[StudyEvent], None], with_graph: bool
) -> list[StoredRun]:
    """Trains one run, or a stack of runs; of a stack, only the runs that are missing are written."""
    planned, paths, image = unit.planned, unit.paths, unit.planned[0].splits.train.spec
    _notify_before_training(unit, device, notify)
    with ExitStack() as locks:
        for member in unit.missing:
            locks.enter_context(store.lock(paths[member]))
            store.begin(planned[member].recipe, planned[member].key)
        with ExitStack() as opened:
            logs = {member: opened.enter_context(event_log(paths[member])) for member in unit.missing}
            if with_graph:
                logs[unit.missing[0]].graph(build_model(planned[0].recipe.model, image), image)
            outcomes = _fit_unit(unit, logs, device=device, notify=notify)
            for member, log in logs.items():
                log.finish(planned[member].recipe, outcomes[member])
        # The folder that may hold the stack's checkpoint is finished last: a stack that is killed in between goes on
        # from there.
        outcomes = [dataclasses.replace(outcome, image=image) for outcome in outcomes]
        finished = {member: store.finish(paths[member], outcomes[member]) for member in reversed(unit.missing)}
    return [stored or finished[member] for member, stored in enumerate(unit.stored)]


def _notify_before_training(unit: _Unit, device: torch.device, notify: Callable[[StudyEvent], None]) -> None:
    if unit.planned[0].recipe.precision == "bfloat16" and emulates_bfloat16(device):
        slow = "this processor has no instructions for bfloat16; in float32 its matrix products are many times as fast"
        notify(dataclasses.replace(unit.events[0], notice=slow))
    threads = threads_per_member(len(unit.planned), device)
    members = stack_members([planned.key for planned in unit.planned], device)
    for member in unit.missing:
        path, key = unit.paths[member] / "last.ckpt", unit.planned[member].key
        other = checkpoint_mismatch(path, device, key, members=members, threads=threads)
        if other:
            recipe = unit.planned[member].recipe
            notice = (
                f"{recipe.model} seed {recipe.seed} was begun {other}; it begins anew, so that no run mixes the two"
            )
            notify(dataclasses.replace(unit.events[0], notice=notice))


def _fit_unit(
    unit: _Unit, logs: Mapping[int, EventLog], *, device: torch.device, notify: Callable[[StudyEvent], None]
) -> list[Outcome]:
    """Fits the runs of a unit; if the network or the memory fails, every outcome has the status "failed".

    Args:
        unit: the runs.
        logs: the TensorBoard file of each run that is missing, by its position.
        device: on which they train.
        notify: called with what `fit` reports; whatever it raises is raised.

    Raises:
        ConvariumError: a recipe that does not fit its data.
        Exception: an error of Convarium itself.
    """
    histories: dict[int, tuple[Epoch, ...]] = {}
    raised_by_notify: list[BaseException] = []

    def record_event(member: int, training: TrainingEvent) -> None:
        if member in logs and training.history and training.step_loss is not None:
            histories[member] = training.history
            _record_epoch(unit.paths[member], logs[member], training)
        try:
            notify(dataclasses.replace(unit.events[0], recipe=unit.planned[member].recipe, training=training))
        except BaseException as error:
            raised_by_notify.append(error)
            raise

    recipes, splits = [planned.recipe for planned in unit.planned], unit.planned[0].splits
    folders = [path if stored is None else None for path, stored in zip(unit.paths, unit.stored, strict=True)]
    if len(recipes) > 1:
        notify(dataclasses.replace(unit.events[0], notice=stack_notice(unit.planned, device)))
    try:
        if len(recipes) == 1:
            on_event = partial(record_event, 0)
            return [fit(recipes[0], splits, device=device, folder=folders[0], on_event=on_event)]
        return fit_stack(recipes, splits, device=device, folders=folders, on_event=record_event)
    except Exception as error:
        if raised_by_notify:
            raise raised_by_notify[0] from None
        # Memory may be full, and a user's own network may raise anything; any other error is a bug to show.
        custom = any(resolve(recipe.model).is_custom for recipe in recipes)
        if isinstance(error, ConvariumError) or not (custom or isinstance(error, (RuntimeError, MemoryError))):
            raise
        message = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
    way_out = "" if len(recipes) == 1 else "; without --stack they train one by one"
    failed = "the run" if len(recipes) == 1 else f"the stack of {len(recipes)} runs"
    notify(dataclasses.replace(unit.events[0], notice=f"{failed} failed: {message}{way_out}"))
    hardware = environment(device)
    return [Outcome("failed", histories.get(member, ()), hardware, message=message) for member in range(len(recipes))]


def _record_epoch(path: Path, log: EventLog, training: TrainingEvent) -> None:
    """Writes the end of an epoch into a run's folder, so that it can be read while the run goes on."""
    assert training.history is not None
    assert training.step_loss is not None
    assert training.step_accuracy is not None
    write_history(path, training.history)
    if training.test_predicted is not None:
        write_predicted(path, len(training.history), training.test_predicted)
    log.epoch(training.history[-1], training.step_loss.tolist(), training.step_accuracy.tolist())
