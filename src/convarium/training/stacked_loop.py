"""fit_as_one(recipes, splits): several runs of one network, trained as one stacked model."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from convarium.data.splits import ImageData, Splits
from convarium.models.build import build_model
from convarium.recipes.recipe import Recipe
from convarium.recipes.schedules import parse_schedule, rate_factor
from convarium.records import Outcome
from convarium.seeding import derive_seed
from convarium.training import loop
from convarium.training.checkpoint import TrainingState, load_stack, save_stack
from convarium.training.loop import training_batches
from convarium.training.optimizers import set_learning_rate
from convarium.training.recording import TrainingEvent, diverged, outcome_of, record_epoch
from convarium.training.stacked_step import make_optimizers, make_stacked_step, separate, share_memory
from convarium.training.step import exact_arithmetic


def fit_as_one(
    recipes: Sequence[Recipe],
    splits: Splits,
    device: torch.device,
    folders: Sequence[Path | None],
    on_event: Callable[[int, TrainingEvent], None] | None = None,
) -> list[Outcome]:
    """What `fit_stack` does on CUDA: a step of all members is one step of a model with a dimension more."""
    began, first = time.perf_counter(), recipes[0]
    keys = tuple(recipe.key(splits.digest)[:8] for recipe in recipes)
    networks = [build_model(r.model, splits.train.spec, seed=derive_seed(r.seed, "init")).to(device) for r in recipes]
    parameters, buffers = share_memory(networks)
    optimizers = make_optimizers(parameters, recipes)
    dropout = [torch.Generator(device) for _ in recipes]
    step = make_stacked_step(networks[0], parameters, buffers, optimizers, first, device, dropout)
    schedule = parse_schedule(first.schedule)
    there = dataclasses.replace(splits, train=_moved(splits.train, device))  # once, not once a member
    batches = [training_batches(recipe, there, networks[0], device) for recipe in recipes]
    steps_per_epoch = len(batches[0])
    folder = next((folder for folder in folders if folder), None)
    checkpoint = folder / "last.ckpt" if folder else None
    kept = keys, networks, [optimizer for _, _, optimizer in optimizers]
    states = (checkpoint and load_stack(checkpoint, *kept)) or [TrainingState() for _ in recipes]
    saved = time.perf_counter()

    with exact_arithmetic(device):
        for epoch in range(max(len(state.history) for state in states), first.epochs):
            training = [m for m, state in enumerate(states) if not diverged(state)]
            if not training:
                break
            epoch_began = time.perf_counter()
            torch.manual_seed(derive_seed(first.seed, "dropout", epoch))
            for recipe, generator in zip(recipes, dropout, strict=True):
                generator.manual_seed(derive_seed(recipe.seed, "dropout", epoch))
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
                if on_event:
                    for m in training:
                        on_event(m, TrainingEvent(epoch, first.epochs, number + 1, steps_per_epoch))
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
                if on_event:
                    on_event(m, told)
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


def _moved(data: ImageData, device: torch.device) -> ImageData:
    return dataclasses.replace(data, images=data.images.to(device), labels=data.labels.to(device))
