"""fit_stack(recipes, splits): several runs of one network, trained as one stacked model.

Every member sees the batches, augmentations, initial weights, learning rates and, on the CPU, dropout masks that it
would see alone, and what is written down of it is what `fit` writes down. What differs is the order of summation, hence
the last bits; so a run's environment names the members of its stack.

Where it pays on a CPU, as the rate of eight members together by that of one run: 1.1 to 1.6 for memory_mlp, 1.2 to 1.8
where it is 64 wide, about 1 for residual_mlp, whose matrix products are already as fast as they get. Stacked
convolutions are grouped convolutions, which a CPU computes more slowly than one network's: 0.5 for LeNet, 0.75 for
residual_cnn. (One thread, processor time. By wall clock the figures for memory_mlp scattered around 1; a GPU has not
been measured yet.)
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from convarium.building import build_model
from convarium.data.images import ImageData, Splits
from convarium.errors import RecipeError
from convarium.recipe import Recipe
from convarium.records import Outcome
from convarium.schedules import parse_schedule, rate_factor
from convarium.streams import stream
from convarium.training import loop
from convarium.training.checkpoint import Progressed, load_stack, save_stack
from convarium.training.loop import check_batches, training_batches
from convarium.training.recording import Progress, diverged, outcome_of, record_epoch
from convarium.training.scoring import pick_device
from convarium.training.stacked_step import make_optimizers, make_stacked_step, separate, share_memory
from convarium.training.step import exact_arithmetic, set_learning_rate

LARGEST_STACK = 8
VARIED = ("seed", "learning_rate", "weight_decay", "momentum")
"""The recipe fields in which the members of a stack may differ."""


def fit_stack(
    recipes: Sequence[Recipe],
    splits: Splits,
    *,
    device: torch.device | str | None = None,
    folder: Path | None = None,
    progress: Callable[[int, Progress], None] | None = None,
) -> list[Outcome]:
    """Trains recipes that differ in the VARIED fields alone, all at once, and scores each; their outcomes in order.

    A member that diverges ends there and leaves the others as they are. A member's seconds are its share of the
    stack's: the wall-clock time by the number of members.

    Args:
        recipes: what to train; neighbours with equal settings but the seed are updated fastest.
        splits: as for `fit`.
        device: as for `fit`.
        folder: where the whole stack's `last.ckpt` is kept, as by `fit`.
        progress: called after every step, with the number of a member that is still training, and after every epoch
            for each member that was; whatever it raises ends the runs.

    Raises:
        RecipeError, ImageSizeError: the recipes do not fit each other or the data.
    """
    began = time.perf_counter()
    device = pick_device(device)
    first = _common(recipes)
    check_batches(first, splits)
    keys = tuple(recipe.key(splits.digest)[:8] for recipe in recipes)
    networks = [build_model(r.model, splits.train.spec, seed=stream(r.seed, "init")).to(device) for r in recipes]
    parameters, buffers = share_memory(networks)
    optimizers = make_optimizers(parameters, recipes)
    dropout = [torch.Generator(device) for _ in recipes]
    step = make_stacked_step(networks[0], parameters, buffers, optimizers, first, device, dropout)
    schedule = parse_schedule(first.schedule)
    there = dataclasses.replace(splits, train=_moved(splits.train, device))  # once, not once a member
    batches = [training_batches(recipe, there, networks[0], device) for recipe in recipes]
    steps_per_epoch = len(batches[0])
    checkpoint = folder / "last.ckpt" if folder else None
    kept = keys, networks, [optimizer for _, _, optimizer in optimizers]
    states = (checkpoint and load_stack(checkpoint, *kept)) or [Progressed() for _ in recipes]
    saved = time.perf_counter()

    with exact_arithmetic(device):
        for epoch in range(max(len(state.history) for state in states), first.epochs):
            training = [m for m, state in enumerate(states) if not diverged(state)]
            if not training:
                break
            epoch_began = time.perf_counter()
            torch.manual_seed(stream(first.seed, "dropout", epoch))
            for recipe, generator in zip(recipes, dropout, strict=True):
                generator.manual_seed(stream(recipe.seed, "dropout", epoch))
            losses, right, sizes = [], [], []
            for number, of_members in enumerate(zip(*(b.epoch(epoch) for b in batches), strict=True)):
                total = epoch * steps_per_epoch + number
                factor = rate_factor(schedule, total, steps_per_epoch, first.epochs, first.warmup)
                for members, _, optimizer in optimizers:
                    set_learning_rate(optimizer, recipes[members.start].learning_rate * factor)
                images, labels = (torch.stack(tensors) for tensors in zip(*of_members, strict=True))
                loss, correct = step(images, labels)
                losses.append(loss)
                right.append(correct)
                sizes.append(labels.shape[1])
                if progress:
                    progress(training[0], Progress(epoch, first.epochs, number + 1, steps_per_epoch))
            loss_of, right_of, n = torch.stack(losses, 1).cpu(), torch.stack(right, 1).cpu(), torch.tensor(sizes)
            share = (time.perf_counter() - epoch_began) / len(recipes)
            for m in training:
                told = record_epoch(
                    states[m],
                    recipes[m],
                    splits,
                    networks[m],
                    device,
                    loss_of[m],
                    right_of[m],
                    n,
                    learning_rate=recipes[m].learning_rate * factor,
                    seconds=share,
                )
                if progress:
                    progress(m, told)
            if checkpoint and time.perf_counter() - saved > loop.CHECKPOINT_SECONDS and epoch + 1 < first.epochs:
                save_stack(checkpoint, *kept, states)
                saved = time.perf_counter()

        separate(networks)  # so that the stored weights, loaded again, give the very scores that are stored
        return [
            outcome_of(
                recipe,
                splits,
                network,
                state,
                device,
                total_seconds=(time.perf_counter() - began) / len(recipes),
                stack=keys,
            )
            for recipe, network, state in zip(recipes, networks, states, strict=True)
        ]


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


def stacking_pays(network: nn.Module, device: torch.device) -> bool | None:
    """Whether a stack of these networks trains faster than one after another; None where that has not been measured."""
    if device.type != "cpu":
        return None
    return not any(isinstance(module, nn.Conv2d) for module in network.modules())


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


def _moved(data: ImageData, device: torch.device) -> ImageData:
    return dataclasses.replace(data, images=data.images.to(device), labels=data.labels.to(device))
