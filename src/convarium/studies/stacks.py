"""Which runs of a study train at the same time, and what a person should know about it."""

from collections.abc import Iterable, Sequence

import torch

from convarium.runs.store import StudyRecord
from convarium.studies.plan import PlannedRun
from convarium.training.parallel import plan_stacks, stacking_pays

WORTH_A_HINT = 4
"""Stacking is proposed if at least this many runs fit into one stack."""


def stacks_of(wanted: Sequence[PlannedRun], missing: Iterable[str], record: StudyRecord) -> tuple[tuple[str, ...], ...]:
    """The keys of the runs that train together: the stacks that the record has and that are wanted entirely or not at
    all, and new stacks of the other runs that are missing.
    """
    recipes = {planned.key: planned.recipe for planned in reversed(wanted)}
    old = tuple(keys for keys in record.stacks if len({key in recipes for key in keys}) == 1)
    taken = {key for keys in old for key in keys}
    free = {recipes[key]: key for key in missing if key not in taken}
    return (*old, *(tuple(free[recipe] for recipe in stack) for stack in plan_stacks(list(free))))


def units_of(wanted: Sequence[PlannedRun], record: StudyRecord | None) -> list[list[PlannedRun]]:
    """The runs in the order in which they train: single runs, and each of the record's stacks where its first run
    stands.
    """
    stack_of = {key: keys for keys in (record.stacks if record else ()) for key in keys}
    planned_by_key = {planned.key: planned for planned in reversed(wanted)}
    units, placed = [], set()
    for planned in wanted:
        keys = stack_of.get(planned.key)
        if keys is None or planned is not planned_by_key[planned.key]:
            units.append([planned])
        elif keys not in placed:
            placed.add(keys)
            units.append([planned_by_key[key] for key in keys])
    return units


def stack_notice(unit: Sequence[PlannedRun], device: torch.device) -> str:
    """What a person should know about runs that train at the same time."""
    how = "side by side" if device.type == "cpu" else "as one stack"
    text = f"{len(unit)} runs of {unit[0].recipe.model} train {how}"
    return f"{text}, which is no faster on one thread" if stacking_pays(device) is False else text


def stacking_hints(wanted: Sequence[PlannedRun], device: torch.device) -> dict[str, str]:
    """A hint for each run that would train faster in a stack, by its key."""
    if not stacking_pays(device):
        return {}
    runs = {planned.recipe: planned for planned in reversed(wanted)}
    hint = "--stack trains {} runs of {} side by side, which is faster than one after another"
    return {
        runs[recipe].key: hint.format(len(stack), recipe.model)
        for stack in plan_stacks(list(runs))
        if len(stack) >= WORTH_A_HINT
        for recipe in stack
    }
