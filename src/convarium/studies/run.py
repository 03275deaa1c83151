"""How a study is carried out: what is missing is trained into the store, run by run or stack by stack."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from convarium.analysis.comparison import Comparison
from convarium.errors import StoreError
from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store, StoredRun
from convarium.studies.events import StudyEvent
from convarium.studies.plan import PlannedRun, PreparedStudy, check_recipe, prepare_study
from convarium.studies.resources import Resources
from convarium.studies.stacks import stacking_hints, stacks_of, units_of
from convarium.studies.study import Study, compare_study
from convarium.studies.unit import Unit, train_unit
from convarium.training.scoring import pick_device


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
    told: set[str] = set()
    number = 1
    for planned in units_of(wanted, record if stack else None):
        events = [StudyEvent(n, len(wanted), run.recipe) for n, run in enumerate(planned, start=number)]
        number += len(planned)
        stored = [_find_or_set_aside(run, event, store, notify) for run, event in zip(planned, events, strict=True)]
        unit = Unit(planned, stored, events, [store.folder(run.recipe, run.key) for run in planned])
        finished: Sequence[StoredRun | None] = stored
        if unit.missing:
            if planned[0].key in hints:
                notify(dataclasses.replace(events[0], notice=hints[planned[0].key]))
                hints = {}
            _tell_of_data(planned[0], events[0], told, notify)
            notify(dataclasses.replace(events[0], begins=tuple(planned[member].recipe for member in unit.missing)))
            with_graph = planned[0].recipe.model not in graphs
            finished = train_unit(unit, store, device=device, notify=notify, with_graph=with_graph)
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
    _tell_of_data(planned, event, set(), notify)
    unit = Unit([planned], [None], [event], [resources.store.folder(recipe, planned.key)])
    return train_unit(unit, resources.store, device=device, notify=notify, with_graph=True)[0]


def _tell_of_data(planned: PlannedRun, event: StudyEvent, told: set[str], notify: Callable[[StudyEvent], None]) -> None:
    """Says what a user may not expect of a run's images, each sentence once."""
    for note in planned.splits.notes:
        if note not in told:
            told.add(note)
            notify(dataclasses.replace(event, notice=note))


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
