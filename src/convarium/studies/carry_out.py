"""How planned runs are carried out: what is missing is trained into the store, run by run or stack by stack.

Other processes may train into the same store. What one of them is training is left to it, and comes last.
"""

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from time import sleep

import torch

from convarium.analysis.comparison.formatting import count
from convarium.errors import DamageError, LockedError, RunError
from convarium.models.factories import source_digest
from convarium.runs.store import Store, StoredRun
from convarium.studies.events import StudyEvent
from convarium.studies.plan import PlannedRun
from convarium.studies.unit import Unit, train_unit

WAIT_SECONDS = 1.0
"""How often a process that waits for another one's run looks whether it has ended."""


def carry_out(
    units: Sequence[Sequence[PlannedRun]],
    store: Store,
    *,
    device: torch.device,
    notify: Callable[[StudyEvent], None],
    hints: dict[str, str],
    exact: bool,
) -> list[StoredRun]:
    """Trains what is missing, unit by unit. Those that another process is training come last, when it has ended.

    Args:
        units: single runs and stacks.
        store: into which they are trained.
        device: on which they train.
        notify: called with what happens.
        hints: a notice for some runs by their keys, of which the first is given when its run begins.
        exact: refuse to go on with a run that was begun in another environment.

    Returns:
        The runs, in the order in which they were finished.

    Raises:
        RunError: with `exact`, a run was begun or is stored in another environment.
        StoreError: a run may not be read, or the store cannot be written to.
    """
    total, finished = sum(map(len, units)), list[StoredRun]()
    graphs: set[str] = set()
    announced: set[str] = set()

    def on_begin(planned: PlannedRun, event: StudyEvent) -> None:
        if planned.key in hints:
            notify(dataclasses.replace(event, notice=hints[planned.key]))
            hints.clear()
        for note in planned.splits.notes:  # what a user may not expect of the images
            if note not in announced:
                announced.add(note)
                notify(dataclasses.replace(event, notice=note))

    while units:
        elsewhere = []
        for planned in units:
            events = [StudyEvent(n, total, run.recipe) for n, run in enumerate(planned, start=len(finished) + 1)]
            with_graph = planned[0].recipe.model not in graphs
            runs = _carry_out_unit(
                planned,
                events,
                store,
                device=device,
                notify=notify,
                on_begin=on_begin,
                with_graph=with_graph,
                exact=exact,
            )
            if runs is None:
                elsewhere.append(planned)
                continue
            finished += runs
            graphs.add(planned[0].recipe.model)
        if len(elsewhere) == len(units):
            first = elsewhere[0][0]
            if first.key not in announced:
                announced.add(first.key)
                notify(StudyEvent(len(finished) + 1, total, first.recipe, notice=_waiting_notice(elsewhere)))
            sleep(WAIT_SECONDS)
        units = elsewhere
    return finished


def _carry_out_unit(
    planned: Sequence[PlannedRun],
    events: Sequence[StudyEvent],
    store: Store,
    *,
    device: torch.device,
    notify: Callable[[StudyEvent], None],
    on_begin: Callable[[PlannedRun, StudyEvent], None],
    with_graph: bool,
    exact: bool,
) -> list[StoredRun] | None:
    """Trains what is missing of a unit, and returns its runs; None if another process is training one of them."""
    stored = [_finished_run(run, store) for run in planned]
    missing = [run.key for run, found in zip(planned, stored, strict=True) if found is None]
    with ExitStack() as locks:
        if missing:
            try:
                locks.enter_context(store.lock(missing))
            except LockedError:
                return None
            stored = [  # again, because another process may have finished them meanwhile
                found or _find_or_set_aside(run, event, store, notify)
                for run, event, found in zip(planned, events, stored, strict=True)
            ]
        for found in stored if exact else ():
            _refuse_if_mixed(found)
        unit = Unit(planned, stored, events, [store.folder(run.recipe, run.key) for run in planned])
        if unit.missing:
            on_begin(planned[0], events[0])
            notify(dataclasses.replace(events[0], begins=tuple(planned[member].recipe for member in unit.missing)))
            runs = train_unit(unit, store, device=device, notify=notify, with_graph=with_graph, exact=exact)
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


def _find_or_set_aside(
    planned: PlannedRun, event: StudyEvent, store: Store, notify: Callable[[StudyEvent], None]
) -> StoredRun | None:
    """As `_finished_run`, for a process that holds the run's lock; a damaged run's folder is renamed, with a notice.

    Raises:
        StoreError: the run may not be read, the store cannot be written to, or there are too many damaged copies.
    """
    try:
        return _unless_to_be_tried_again(store.find(planned.recipe, planned.key), planned)
    except DamageError as error:
        aside = store.set_aside(store.folder(planned.recipe, planned.key))
        notify(dataclasses.replace(event, notice=f"{error.wrong}; set aside as {aside.name} and trained again"))
        return None


def _unless_to_be_tried_again(run: StoredRun | None, planned: PlannedRun) -> StoredRun | None:
    """The run; None if it is the one that had failed before this study began, which is why it is tried again."""
    if run is None or run.outcome.status != "failed":
        return run
    before = planned.failed
    return None if before and before.outcome.environment == run.outcome.environment else run


def _waiting_notice(units: Sequence[Sequence[PlannedRun]]) -> str:
    first, others = units[0][0].recipe, sum(map(len, units)) - 1
    and_others = f" and {count(others, 'other run')}" if others else ""
    verb = "are" if others else "is"
    return (
        f"{first.model} seed {first.seed}{and_others} {verb} being trained by another process; waiting for it "
        "(Ctrl-C ends the waiting, and nothing is lost)"
    )
