"""fit_stack(recipes, splits): several runs of one network, trained at the same time.

Every member sees the batches, augmentations, initial weights, learning rates and, on the CPU, dropout masks that it
would see alone, and what is written down of it is what `fit` writes down. What differs is the order of summation, hence
the last bits; so a run's environment names the members of its stack.

On a CPU the members train side by side, each on threads of its own: one thread does two thirds of the work of two
that share one small network's step. On CUDA they are one stacked model, so that eight members launch as many
kernels as one.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from convarium.data.splits import Splits
from convarium.errors import RecipeError
from convarium.recipes.recipe import Recipe
from convarium.records import Outcome
from convarium.training.loop import check_batches
from convarium.training.recording import TrainingEvent
from convarium.training.scoring import pick_device
from convarium.training.side_by_side import fit_side_by_side
from convarium.training.stacked_loop import fit_as_one

LARGEST_STACK = 8
VARIED = ("seed", "learning_rate", "weight_decay", "momentum")
"""The recipe fields in which the members of a stack may differ."""


def fit_stack(
    recipes: Sequence[Recipe],
    splits: Splits,
    *,
    device: torch.device | str | None = None,
    folders: Sequence[Path | None] | None = None,
    on_event: Callable[[int, TrainingEvent], None] | None = None,
) -> list[Outcome]:
    """Trains recipes that differ in the VARIED fields alone, all at once, and scores each; their outcomes in order.

    A member that diverges ends there and leaves the others as they are. A member's seconds are its share of the
    stack's wall-clock time.

    Args:
        recipes: what to train; neighbours with equal settings but the seed are updated fastest on CUDA.
        splits: as for `fit`.
        device: as for `fit`.
        folders: one a member, where checkpoints are kept as by `fit`: on the CPU each member's own; on CUDA the whole
            stack's, in the first there is. None: nothing is kept.
        on_event: called after every step and every epoch of each member, with the member's number, never twice at
            once; whatever it raises ends the runs.

    Raises:
        RecipeError, ImageSizeError: the recipes do not fit each other or the data.
    """
    device = pick_device(device)
    check_batches(_common(recipes), splits)
    return _way(device)(recipes, splits, device, folders or [None] * len(recipes), on_event)


def plan_stacks(recipes: Sequence[Recipe]) -> list[list[Recipe]]:
    """The recipes that can train together, in stacks of 2 to LARGEST_STACK; those that have no company are left out.

    Equal settings stand side by side, as `fit_stack` likes them.
    """
    alike: dict[tuple[object, ...], list[Recipe]] = {}
    for recipe in dict.fromkeys(recipes):
        alike.setdefault(tuple(_shared(recipe).values()), []).append(recipe)
    stacks = []
    for group in alike.values():
        group.sort(key=lambda recipe: (recipe.learning_rate, recipe.weight_decay, recipe.momentum))
        pieces = -(-len(group) // LARGEST_STACK)
        size, larger = divmod(len(group), pieces)
        ends = [(piece + 1) * size + min(piece + 1, larger) for piece in range(pieces)]
        stacks += [group[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [stack for stack in stacks if len(stack) > 1]


def stacking_pays(device: torch.device) -> bool | None:
    """Whether stacks train faster than one run after another; None where that has not been measured."""
    return torch.get_num_threads() > 1 if device.type == "cpu" else None


def _way(device: torch.device) -> Callable[..., list[Outcome]]:
    return fit_side_by_side if device.type == "cpu" else fit_as_one


def _common(recipes: Sequence[Recipe]) -> Recipe:
    """The first recipe, for the fields that all share."""
    if not recipes:
        raise RecipeError("a stack needs at least one recipe")
    first = _shared(recipes[0])
    for recipe in recipes[1:]:
        for name, value in _shared(recipe).items():
            if value != first[name]:
                raise RecipeError(
                    f"{name} differs within a stack: {first[name]!r} and {value!r}",
                    expected=f"recipes that differ in {', '.join(VARIED)} alone",
                    hint="train them apart",
                )
    return recipes[0]


def _shared(recipe: Recipe) -> dict[str, object]:
    return {name: value for name, value in recipe.to_json().items() if name not in VARIED}
