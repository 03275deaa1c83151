"""fit_stack(recipes, splits): several runs of one network, trained at the same time as a stack.

Every member of the stack sees the batches, augmentations, initial weights, learning rates and, on the CPU, dropout
masks that it would see alone, and `fit_stack` records of it what `fit` records. What differs is the order of summation,
hence the last bits; so a run's environment names the members of its stack.

On a CPU the members train `side_by_side`, each on threads of its own: two threads that share the step of a small
network wait for each other in every layer, and a member that has one for itself waits for nobody. In images per second,
members side by side on two threads against one run on both: 1.4 to 1.9 for memory_mlp, 1.5 for LeNet, 2.1 for
residual_cnn. On CUDA the members are one stacked model, so that eight members launch as many kernels as one: see
`stacked`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from convarium.data.splits import Splits
from convarium.errors import RecipeError
from convarium.recipes.recipe import Recipe
from convarium.records import Outcome
from convarium.training.scoring import pick_device
from convarium.training.side_by_side import fit_side_by_side
from convarium.training.stacked import fit_stacked_model
from convarium.training.starting import StartWeights
from convarium.training.state import TrainingEvent
from convarium.training.trainer import check_batches

LARGEST_STACK = 8
STACK_FIELDS = ("seed", "learning_rate", "weight_decay", "momentum")
"""The recipe fields in which the members of a stack may differ."""


def fit_stack(
    recipes: Sequence[Recipe],
    splits: Splits,
    *,
    device: torch.device | str | None = None,
    start: StartWeights | None = None,
    folders: Sequence[Path | None] | None = None,
    on_event: Callable[[int, TrainingEvent], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    exact: bool = False,
    keep_weights: int | None = None,
) -> list[Outcome]:
    """Trains recipes that differ only in STACK_FIELDS, all at once, and scores each of them.

    A member that diverges ends and leaves the others as they are. A member's seconds are its share of the stack's
    wall-clock time.

    Args:
        recipes: what to train; on CUDA, neighbors that differ only in the seed are updated fastest.
        splits: as for `fit`.
        device, start: as for `fit`.
        folders: one per member, for checkpoints as in `fit`: on the CPU one file per member, on CUDA one file for the
            stack, in the first folder given. None: no checkpoint is written.
        on_event: called after every step and every epoch of each member, with the member's index, by one thread at a
            time; any exception that it raises ends all runs.
        should_stop, exact, keep_weights: as for `fit`.

    Returns:
        Outcomes in the order of the recipes.

    Raises:
        RecipeError, ImageSizeError: the recipes do not fit each other or the data.
        RunError: a member was begun in another environment, with `exact`.
        TrainingStoppedError: `should_stop` answered True.
    """
    device = pick_device(device)
    check_batches(_common_recipe(recipes), splits)
    fit_members = _method_for(device)
    folders = folders or [None] * len(recipes)
    return fit_members(
        recipes,
        splits,
        device,
        folders,
        start=start,
        on_event=on_event,
        should_stop=should_stop,
        exact=exact,
        keep_weights=keep_weights,
    )


def plan_stacks(recipes: Sequence[Recipe]) -> list[list[Recipe]]:
    """Groups recipes that can train together into stacks of 2 to LARGEST_STACK, and leaves single recipes out.

    Recipes with equal settings are neighbors, as `fit_stack` prefers.
    """
    groups: dict[tuple[object, ...], list[Recipe]] = {}
    for recipe in dict.fromkeys(recipes):
        groups.setdefault(tuple(_common_fields(recipe).values()), []).append(recipe)
    stacks = []
    for group in groups.values():
        group.sort(key=lambda recipe: (recipe.learning_rate, recipe.weight_decay, recipe.momentum))
        pieces = -(-len(group) // LARGEST_STACK)
        size, larger = divmod(len(group), pieces)
        ends = [(piece + 1) * size + min(piece + 1, larger) for piece in range(pieces)]
        stacks += [group[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [stack for stack in stacks if len(stack) > 1]


def stacking_pays(device: torch.device) -> bool | None:
    """Whether a stack trains faster than one run after another; None where that has not been measured."""
    return torch.get_num_threads() > 1 if device.type == "cpu" else None


def _method_for(device: torch.device) -> Callable[..., list[Outcome]]:
    return fit_side_by_side if device.type == "cpu" else fit_stacked_model


def _common_recipe(recipes: Sequence[Recipe]) -> Recipe:
    """The first recipe, after a check that all agree in the fields that they must share."""
    if not recipes:
        raise RecipeError("a stack needs at least one recipe")
    first = _common_fields(recipes[0])
    for recipe in recipes[1:]:
        for name, value in _common_fields(recipe).items():
            if value != first[name]:
                raise RecipeError(
                    f"{name} differs within a stack: {first[name]!r} and {value!r}",
                    expected=f"recipes that differ only in {', '.join(STACK_FIELDS)}",
                    hint="train them in separate runs",
                )
    return recipes[0]


def _common_fields(recipe: Recipe) -> dict[str, object]:
    return {name: value for name, value in recipe.to_json().items() if name not in STACK_FIELDS}
