"""Which runs of a study train together: the stacks that its record names, new ones, and the hint where they pay."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from convarium.data.splits import Splits
from convarium.recipes.recipe import Recipe
from convarium.runs.store import StudyRecord
from convarium.training.stack import plan_stacks, stacking_pays

WORTH_A_HINT = 4
"""Runs that must fit into one stack before it is proposed."""


@dataclass(frozen=True)
class Planned:
    """One run of a study."""

    recipe: Recipe
    key: str
    splits: Splits


def stacks_of(wanted: Sequence[Planned], missing: Iterable[str], record: StudyRecord) -> tuple[tuple[str, ...], ...]:
    """The study's stacks: those it has and that are wanted whole, and new ones of the other runs that are missing."""
    there = {planned.key: planned.recipe for planned in reversed(wanted)}
    kept = tuple(keys for keys in record.stacks if all(key in there for key in keys))
    taken = {key for keys in kept for key in keys}
    free = {there[key]: key for key in missing if key not in taken}
    return (*kept, *(tuple(free[recipe] for recipe in stack) for stack in plan_stacks(list(free))))


def units_of(wanted: Sequence[Planned], record: StudyRecord | None) -> list[list[Planned]]:
    """What is trained together: the record's stacks, each in the place of its first run, and single runs."""
    stack_of = {key: keys for keys in (record.stacks if record else ()) for key in keys}
    of_key = {planned.key: planned for planned in reversed(wanted)}
    units, placed = [], set()
    for planned in wanted:
        keys = stack_of.get(planned.key)
        if keys is None or planned is not of_key[planned.key]:
            units.append([planned])
        elif keys not in placed:
            placed.add(keys)
            units.append([of_key[key] for key in keys])
    return units


def stack_notice(unit: Sequence[Planned], device: torch.device) -> str:
    how = "side by side" if device.type == "cpu" else "as one stack"
    told = f"{len(unit)} runs of {unit[0].recipe.model} train {how}"
    return f"{told}, which is no faster on one thread" if stacking_pays(device) is False else told


def worth_stacking(wanted: Sequence[Planned], device: torch.device) -> dict[str, str]:
    """A hint for each run that would train faster in a stack, by its key."""
    if not stacking_pays(device):
        return {}
    of = {planned.recipe: planned for planned in reversed(wanted)}
    hint = "--stack trains {} runs of {} side by side, which is faster than one after another"
    return {
        of[recipe].key: hint.format(len(stack), recipe.model)
        for stack in plan_stacks(list(of))
        if len(stack) >= WORTH_A_HINT
        for recipe in stack
    }
