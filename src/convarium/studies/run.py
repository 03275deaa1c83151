"""A study, or one run: what is missing is planned, written down and trained into the store."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from convarium.analysis.comparison import Comparison
from convarium.recipes.recipe import Recipe
from convarium.runs.store import StoredRun, StudyRecord
from convarium.studies.carry_out import carry_out
from convarium.studies.compare import compare_study
from convarium.studies.events import StudyEvent
from convarium.studies.extension import extended_record
from convarium.studies.plan import PreparedStudy, check_recipe, planned_run, prepare_study, reading_events
from convarium.studies.resources import Resources
from convarium.studies.stacks import stacking_hints, stacks_of, units_of
from convarium.studies.starts import find_start
from convarium.studies.study import Study


def run_study(
    study: Study,
    resources: Resources,
    *,
    only: Sequence[Any] | None = None,
    stack: bool = False,
    on_event: Callable[[StudyEvent], None] | None = None,
) -> Comparison:
    """Trains what is missing of a study, and compares.

    Nothing is trained or written before every recipe is known to fit its data.

    Args:
        study: what to run. A study of this name that the store already has is extended by new seeds and networks.
        resources: the store, where finished runs are reused whichever study they were trained for; the data sets; the
            device; who trains, and until when.
        only: the compared values that are trained now; None: all. The others stay planned.
        stack: train runs of one network that differ in seed, learning rate, weight decay or momentum alone at the
            same time, see `fit_stack`. Which ones is written down in the study first, and they stay together: a stack
            of which runs are missing is trained again with all its runs, for the same bits.
        on_event: called often; whatever it raises, KeyboardInterrupt above all, ends the study, and what is finished
            stays in the store.

    Raises:
        ConvariumError: a recipe that does not fit its data, or a study of this name with another base recipe.
        TimeLimitError: the time was over before all runs were finished.
    """
    return run_prepared(
        prepare_study(study, resources, only=only, on_event=on_event), resources, stack=stack, on_event=on_event
    )


def run_prepared(
    prepared: PreparedStudy,
    resources: Resources,
    *,
    stack: bool = False,
    on_event: Callable[[StudyEvent], None] | None = None,
) -> Comparison:
    """Trains what is missing of a prepared study, and compares; arguments as for `run_study`."""
    notify, device = on_event or (lambda _: None), resources.training_device
    store, wanted = resources.store, prepared.runs
    missing = [planned.key for planned in wanted if planned.stored is None]

    def extend(before: StudyRecord | None) -> StudyRecord:
        record = extended_record(prepared.study, prepared.record.keys, before, abandoned=prepared.abandoned)
        return dataclasses.replace(record, stacks=stacks_of(wanted, missing, record)) if stack else record

    record = store.find_study(prepared.study.name)
    if record is None or missing or extend(record) != record:  # else there is nothing to write, which may be forbidden
        record = store.update_study(prepared.study.name, extend)
    hints = {} if stack or resources.executor or resources.engine else stacking_hints(wanted, device)
    carry_out(
        units_of(wanted, record if stack else None),
        resources,
        notify=notify,
        hints=hints,
    )
    # Another process may have extended the study meanwhile, and its page is that of all runs.
    return compare_study(store.find_study(record.name) or record, store, drawn=True)


def train_one(
    recipe: Recipe, resources: Resources, *, on_event: Callable[[StudyEvent], None] | None = None
) -> StoredRun:
    """One run into the store; if the store has it already, nothing is trained.

    Raises:
        ConvariumError: the recipe does not fit its data.
    """
    notify = on_event or (lambda _: None)
    _ = resources.training_device  # which is refused before anything is read
    splits = resources.splits(recipe, on_event=reading_events(recipe, 1, on_event))
    recipe, start = find_start(recipe, resources)
    check_recipe(recipe, splits)
    planned = planned_run(recipe, splits, resources.store, start=start)
    (run,) = carry_out([[planned]], resources, notify=notify, hints={})
    return run
