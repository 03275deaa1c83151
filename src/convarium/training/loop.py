"""fit(recipe, splits): one run from seed to scores, in a loop that can be read in one sitting."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from convarium.data.batches import Batches
from convarium.data.splits import Splits
from convarium.data.transforms import normalization
from convarium.errors import RecipeError
from convarium.models.build import build_model
from convarium.recipes.recipe import Recipe
from convarium.recipes.schedules import parse_schedule, rate_factor
from convarium.records import Outcome
from convarium.seeding import derive_seed
from convarium.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from convarium.training.dropout import own_dropout
from convarium.training.kernels import own_kernels, prepare_kernels
from convarium.training.memory import keep_freed_memory
from convarium.training.optimizers import make_optimizer, set_learning_rate
from convarium.training.recording import TrainingEvent, diverged, outcome_of, record_epoch
from convarium.training.scoring import pick_device
from convarium.training.step import (
    exact_arithmetic,
    is_channels_last,
    lay_out,
    make_step,
    merged_memory,
)

CHECKPOINT_SECONDS = 5.0


def fit(
    recipe: Recipe,
    splits: Splits,
    *,
    device: torch.device | str | None = None,
    folder: Path | None = None,
    on_event: Callable[[TrainingEvent], None] | None = None,
) -> Outcome:
    """Trains one recipe and scores it. The test split is read once, at the end, unless the recipe watches it.

    Args:
        recipe: what to train.
        splits: from `load_data(recipe.dataset, validation=recipe.validation, resize=recipe.resize)`.
        device: where; None: CUDA if there is a device, else the CPU.
        folder: where `last.ckpt` is kept while the run is unfinished; a run that was killed goes on from it and comes
            to the same bits as one that never was. None: nothing is kept.
        on_event: called after every step and every epoch; whatever it raises ends the run.

    Raises:
        RecipeError, ImageSizeError: the recipe does not fit the data.
    """
    began = time.perf_counter()
    training = Training(recipe, splits, pick_device(device))
    training.train(folder, on_event)
    return training.outcome(total_seconds=time.perf_counter() - began)


class Training:
    """One run, set up: `train` takes its steps, `outcome` scores what came of them.

    Args:
        recipe, splits: as for `fit`.
        device: on which it trains.
        beside: runs that train at the same time, this one counted; its seconds are its share of the clock's.

    Raises:
        RecipeError, ImageSizeError: as `fit`.
    """

    def __init__(self, recipe: Recipe, splits: Splits, device: torch.device, *, beside: int = 1):
        check_batches(recipe, splits)
        keep_freed_memory(device)
        prepare_kernels(device)
        self.recipe, self.splits, self.device, self.beside = recipe, splits, device, beside
        self.network = build_model(recipe.model, splits.train.spec, seed=derive_seed(recipe.seed, "init")).to(device)
        lay_out(self.network, recipe, device)
        self.dropout = own_dropout(self.network, device)
        with merged_memory(self.network, recipe):
            self.optimizer = make_optimizer(self.network, recipe)
        self.step = make_step(self.network, self.optimizer, recipe, device, self.dropout)
        self.batches = training_batches(recipe, splits, self.network, device)
        self.state = TrainingState()

    def train(self, folder: Path | None = None, on_event: Callable[[TrainingEvent], None] | None = None) -> None:
        """Trains to the end of the last epoch, or of that in which the run diverges; arguments as for `fit`."""
        recipe, state, batches, steps_per_epoch = self.recipe, self.state, self.batches, len(self.batches)
        schedule = parse_schedule(recipe.schedule)
        checkpoint = folder / "last.ckpt" if folder else None
        if checkpoint:
            state = self.state = load_checkpoint(checkpoint, self.network, self.optimizer) or state
        saved = time.perf_counter()

        with exact_arithmetic(self.device):
            for epoch in range(len(state.history), recipe.epochs):
                if diverged(state):
                    break
                epoch_began = time.perf_counter()
                self.network.train()
                self._seed(derive_seed(recipe.seed, "dropout", epoch))
                losses, right, sizes = [], [], []
                with merged_memory(self.network, recipe), own_kernels(self.network, recipe, self.device):
                    for number, (images, labels) in enumerate(batches.epoch(epoch)):
                        total = epoch * steps_per_epoch + number
                        factor = rate_factor(schedule, total, steps_per_epoch, recipe.epochs, recipe.warmup)
                        rate = recipe.learning_rate * factor
                        set_learning_rate(self.optimizer, rate)
                        loss, correct = self.step(images, labels)
                        losses.append(loss)
                        right.append(correct)
                        sizes.append(len(labels))
                        if on_event:
                            on_event(TrainingEvent(epoch, recipe.epochs, number + 1, steps_per_epoch))
                told = record_epoch(
                    state,
                    recipe,
                    self.splits,
                    self.network,
                    self.device,
                    torch.stack(losses).cpu(),
                    torch.stack(right).cpu(),
                    torch.tensor(sizes),
                    learning_rate=rate,
                    seconds=(time.perf_counter() - epoch_began) / self.beside,
                )
                if on_event:
                    on_event(told)
                if checkpoint and time.perf_counter() - saved > CHECKPOINT_SECONDS and epoch + 1 < recipe.epochs:
                    save_checkpoint(checkpoint, self.network, self.optimizer, state)
                    saved = time.perf_counter()

    def outcome(self, *, total_seconds: float, stack: tuple[str, ...] = ()) -> Outcome:
        """How the run ended, with its one look at the test split."""
        with exact_arithmetic(self.device):
            return outcome_of(
                self.recipe,
                self.splits,
                self.network,
                self.state,
                self.device,
                total_seconds=total_seconds,
                stack=stack,
            )

    def _seed(self, seed: int) -> None:
        torch.manual_seed(seed)
        for generator in self.dropout:
            generator.manual_seed(seed)


def check_batches(recipe: Recipe, splits: Splits) -> None:
    """Refuses, before anything is trained, what only the data can tell.

    Raises:
        RecipeError: a batch larger than the training split, or a selection without validation images.
        SpecError: a normalization of three channels for images with one.
    """
    normalization(recipe.normalize, splits)
    if recipe.batch_size > len(splits.train):
        raise RecipeError(
            f"batch_size {recipe.batch_size} exceeds the {len(splits.train)} training images of {recipe.dataset}",
            hint=f"use --batch-size {len(splits.train)} or less",
        )
    if splits.train.resize != recipe.resize:
        raise RecipeError(
            f"the images are resized to {splits.train.resize}, the recipe says {recipe.resize}",
            hint="load_data(…, resize=recipe.resize)",
        )
    if recipe.select == "best_validation" and not len(splits.validation):
        raise RecipeError(
            f"select='best_validation' needs validation images, and {recipe.dataset} holds none out",
            hint="use --validation N",
        )


def training_batches(recipe: Recipe, splits: Splits, network: nn.Module, device: torch.device) -> Batches:
    """The recipe's own batches, in the type and layout of the network that is to take them."""
    mean, std = normalization(recipe.normalize, splits)
    return Batches(
        splits.train,
        batch_size=recipe.batch_size,
        drop_last=recipe.drop_last,
        augment=recipe.augment,
        mean=mean,
        std=std,
        shuffle_seed=derive_seed(recipe.seed, "shuffle"),
        augment_seed=derive_seed(recipe.seed, "augment"),
        device=device,
        channels_last=is_channels_last(network),
        dtype=next(network.parameters()).dtype,
    )
