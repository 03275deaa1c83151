"""How one unit of a study is carried out by the process that trains it: under its locks, and only what is missing."""

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack

from convarium.errors import DamageError, LockedError, RunError
from convarium.models.factories import source_digest
from convarium.runs.store import Store, StoredRun
from convarium.studies.events import StudyEvent
from convarium.studies.executors.work import Work
from convarium.studies.plan import PlannedRun
from convarium.studies.unit import ONLY_ATTEMPT, Attempt, Unit, train_unit
from convarium.training.stopping import TrainingStoppedError


def carry_out_unit(
    planned: Sequence[PlannedRun], work: Work, *, attempt: Attempt = ONLY_ATTEMPT
) -> list[StoredRun] | None:
    """Trains what is missing of a unit, and returns its runs; None if another process is training one of them.

    Args:
        planned: the runs of the unit.
        work: the store, the device, and what is called meanwhile.
        attempt: what is known of an earlier one.

    Raises:
        RunError: with `work.exact`, a run was begun or is stored in another environment.
        StoreError: a run may not be read, or the store cannot be written to.
        TrainingStoppedError: `work.should_stop` answered True.
    """
    store, notify = work.store, work.notify
    events = [StudyEvent(0, 0, run.recipe) for run in planned]
    stored = [_finished_run(run, store) for run in planned]
    missing = [run.key for run, found in zip(planned, stored, strict=True) if found is None]
    with ExitStack() as locks:
        if missing:
            try:
                locks.enter_context(store.lock(missing))
            except LockedError:
                return None
            stored = [  # again, because another process may have finished them meanwhile
                found or _find_or_set_aside(run, event, work)
                for run, event, found in zip(planned, events, stored, strict=True)
            ]
        for found in stored if work.exact else ():
            _refuse_if_mixed(found)
        unit = Unit(planned, stored, events, [store.folder(run.recipe, run.key) for run in planned])
        if unit.missing:
            if work.should_stop():
                raise TrainingStoppedError
            notify(dataclasses.replace(events[0], begins=tuple(planned[member].recipe for member in unit.missing)))
            runs = train_unit(unit, work, attempt=attempt)
        else:
            runs = [run for run in stored if run is not None]
    for event, before, run in zip(events, stored, runs, strict=True):
        if before is not None and before.source not in (None, source_digest(before.recipe.model)):
            notice = (
                f"{run.path.name} was made with another source of {run.recipe.model}: a file that its network imports "
                f"has changed; `convarium remove {run.path.name}` and the same command train it again"
            )
            notify(dataclasses.replace(event, notice=notice))
        notify(dataclasses.replace(event, finished=run, trained_now=before is None))
    return runs


def _refuse_if_mixed(run: StoredRun | None) -> None:
    """Raises an error for a run that parts of were trained in different environments.

    Raises:
        RunError: it is such a run.
    """
    if run is not None and run.is_mixed:
        raise RunError(
            f"{run.recipe.model} seed {run.recipe.seed} is mixed: it was trained in several environments "
            f"({run.mixed_reason})",
            expected="one environment for the whole run, as --exact asks",
            hint=f"leave out --exact, or remove {run.path.name} and train it again",
        )


def _finished_run(planned: PlannedRun, store: Store) -> StoredRun | None:
    """The run if the store has it undamaged; None if it is to be trained.

    A run that failed is tried again, unless another process has tried it since this study was prepared.
    """
    try:
        return _unless_to_be_tried_again(store.find(planned.recipe, planned.key), planned)
    except DamageError:
        return None


def _find_or_set_aside(planned: PlannedRun, event: StudyEvent, work: Work) -> StoredRun | None:
    """As `_finished_run`, for a process that holds the run's lock; a damaged run's folder is renamed, with a notice.

    Raises:
        StoreError: the run may not be read, the store cannot be written to, or there are too many damaged copies.
    """
    store = work.store
    try:
        return _unless_to_be_tried_again(store.find(planned.recipe, planned.key), planned)
    except DamageError as error:
        aside = store.set_aside(store.folder(planned.recipe, planned.key))
        work.notify(dataclasses.replace(event, notice=f"{error.wrong}; set aside as {aside.name} and trained again"))
        return None


def _unless_to_be_tried_again(run: StoredRun | None, planned: PlannedRun) -> StoredRun | None:
    """The run; None if it is the one that had failed before this study began, which is why it is tried again."""
    if run is None or run.outcome.status != "failed":
        return run
    before = planned.failed
    return None if before and before.outcome.environment == run.outcome.environment else run
