"""fit(recipe, splits): one run from seed to scores, in a loop that can be read in one sitting."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convarium.building import build_model
from convarium.cost import environment, measure_cost
from convarium.data.batches import Batches
from convarium.data.images import ImageData, Splits
from convarium.data.transforms import normalisation
from convarium.errors import RecipeError
from convarium.evaluation import scores
from convarium.recipe import Recipe
from convarium.records import Epoch, Outcome
from convarium.schedules import parse_schedule, rate_factor
from convarium.streams import stream
from convarium.training.checkpoint import Progressed, load_checkpoint, save_checkpoint
from convarium.training.scoring import logits_of, pick_device
from convarium.training.step import (
    exact_arithmetic,
    is_channels_last,
    lay_out,
    make_optimizer,
    make_step,
    set_learning_rate,
)

CHECKPOINT_SECONDS = 5.0


@dataclass(frozen=True)
class Progress:
    """What `fit` tells while it trains: after every step, and after every epoch with the history and its own steps.

    `test_predicted` counts the test images that the epoch's weights take for each class, where the recipe watches them.
    """

    epoch: int
    epochs: int
    step: int
    steps_per_epoch: int
    history: tuple[Epoch, ...] | None = None
    step_loss: Tensor | None = None
    step_accuracy: Tensor | None = None
    test_predicted: tuple[int, ...] | None = None


def fit(
    recipe: Recipe,
    splits: Splits,
    *,
    device: torch.device | str | None = None,
    folder: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Trains one recipe and scores it. The test split is read once, at the end, unless the recipe watches it.

    Args:
        recipe: what to train.
        splits: from `load_data(recipe.dataset, validation=recipe.validation, resize=recipe.resize)`.
        device: where; None: CUDA if there is a device, else the CPU.
        folder: where `last.ckpt` is kept while the run is unfinished; a run that was killed goes on from it and comes
            to the same bits as one that never was. None: nothing is kept.
        progress: called after every step and every epoch; whatever it raises ends the run.

    Raises:
        RecipeError, ImageSizeError: the recipe does not fit the data.
    """
    began = time.perf_counter()
    device = pick_device(device)
    check_batches(recipe, splits)
    network = build_model(recipe.model, splits.train.spec, seed=stream(recipe.seed, "init")).to(device)
    lay_out(network, recipe, device)
    optimizer = make_optimizer(network, recipe)
    step = make_step(network, optimizer, recipe, device)
    schedule = parse_schedule(recipe.schedule)
    batches = training_batches(recipe, splits, network, device)
    checkpoint = folder / "last.ckpt" if folder else None
    state = (checkpoint and load_checkpoint(checkpoint, network, optimizer)) or Progressed()
    saved = time.perf_counter()

    with exact_arithmetic(device):
        for epoch in range(len(state.history), recipe.epochs):
            epoch_began = time.perf_counter()
            network.train()
            torch.manual_seed(stream(recipe.seed, "dropout", epoch))
            losses, right, sizes = [], [], []
            for number, (images, labels) in enumerate(batches.epoch(epoch)):
                total = epoch * len(batches) + number
                rate = recipe.learning_rate * rate_factor(schedule, total, len(batches), recipe.epochs, recipe.warmup)
                set_learning_rate(optimizer, rate)
                loss, correct = step(images, labels)
                losses.append(loss)
                right.append(correct)
                sizes.append(len(labels))
                if progress:
                    progress(Progress(epoch, recipe.epochs, number + 1, len(batches)))
            steps = torch.stack(losses).cpu(), torch.stack(right).cpu(), torch.tensor(sizes)
            seconds = time.perf_counter() - epoch_began
            told = record_epoch(state, recipe, splits, network, device, *steps, learning_rate=rate, seconds=seconds)
            if progress:
                progress(told)
            if diverged(state):
                break
            if checkpoint and time.perf_counter() - saved > CHECKPOINT_SECONDS and epoch + 1 < recipe.epochs:
                save_checkpoint(checkpoint, network, optimizer, state)
                saved = time.perf_counter()

        return outcome_of(recipe, splits, network, state, device, total_seconds=time.perf_counter() - began)


def check_batches(recipe: Recipe, splits: Splits) -> None:
    """Refuses, before anything is trained, what only the data can tell.

    Raises:
        RecipeError: a batch larger than the training split, or a selection without validation images.
        SpecError: a normalisation of three channels for images with one.
    """
    normalisation(recipe.normalize, splits)
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
    mean, std = normalisation(recipe.normalize, splits)
    return Batches(
        splits.train,
        batch_size=recipe.batch_size,
        drop_last=recipe.drop_last,
        augment=recipe.augment,
        mean=mean,
        std=std,
        shuffle_seed=stream(recipe.seed, "shuffle"),
        augment_seed=stream(recipe.seed, "augment"),
        device=device,
        channels_last=is_channels_last(network),
        dtype=next(network.parameters()).dtype,
    )


def record_epoch(
    state: Progressed,
    recipe: Recipe,
    splits: Splits,
    network: nn.Module,
    device: torch.device,
    losses: Tensor,
    right: Tensor,
    sizes: Tensor,
    *,
    learning_rate: float,
    seconds: float,
) -> Progress:
    """Writes an epoch down: its own steps, what the weights are worth at its end, and the weights if it is selected.

    Args:
        losses, right, sizes: (steps,): mean loss, images classified rightly, and images.
        learning_rate: of the last step.
        seconds: of the steps.
    """
    finite = bool(torch.isfinite(losses).all())
    watched = {"validation": splits.validation} if len(splits.validation) else {}
    watched |= {"test": splits.test} if recipe.watch_test else {}
    seen = {name: _look(network, data, recipe, splits, device) for name, data in watched.items()} if finite else {}
    validation, test = (seen.get(name, (None, None, None)) for name in ("validation", "test"))
    row = Epoch(
        epoch=len(state.history) + 1,
        steps=(len(state.history) + 1) * len(losses),
        learning_rate=learning_rate,
        train_loss=float((losses.double() * sizes).sum() / sizes.sum()),
        train_accuracy=float(right.sum() / sizes.sum()),
        validation_loss=validation[0],
        validation_accuracy=validation[1],
        test_loss=test[0],
        test_accuracy=test[1],
        seconds=seconds,
    )
    state.history.append(row)
    accuracies = right / sizes
    state.step_loss = torch.cat([state.step_loss, losses])
    state.step_accuracy = torch.cat([state.step_accuracy, accuracies])
    state.train_seconds += seconds
    _select(recipe, state, network)
    told = tuple(state.history), losses, accuracies, test[2]
    return Progress(row.epoch, recipe.epochs, 0, len(losses), *told)


def diverged(state: Progressed) -> bool:
    """Whether the last epoch had a loss that is not finite, with which a run ends."""
    return bool(state.history) and not math.isfinite(state.history[-1].train_loss)


def _look(
    network: nn.Module, data: ImageData, recipe: Recipe, splits: Splits, device: torch.device
) -> tuple[float, float, tuple[int, ...]]:
    """Mean loss and accuracy of the weights as they stand, and how many images they take for each class."""
    logits, labels = logits_of(network, data, recipe, splits, device), data.labels.cpu()
    predicted = logits.argmax(1)
    counts = torch.bincount(predicted, minlength=logits.shape[1]).tolist()
    return float(F.cross_entropy(logits, labels)), float((predicted == labels).double().mean()), tuple(counts)


def _select(recipe: Recipe, state: Progressed, network: nn.Module) -> None:
    """Keeps the weights of the epoch that the recipe selects, of equally good ones the first; or the last ones of a run
    that has diverged.
    """
    state.selected_epoch, before = len(state.history), state.selected_epoch
    if not diverged(state):
        if recipe.select == "last":
            return
        of = attrgetter("validation_accuracy" if recipe.select == "best_validation" else "test_accuracy")
        if before and of(state.history[-1]) <= of(state.history[before - 1]):
            state.selected_epoch = before
            return
    state.selected = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def outcome_of(
    recipe: Recipe,
    splits: Splits,
    network: nn.Module,
    state: Progressed,
    device: torch.device,
    *,
    total_seconds: float,
    stack: tuple[str, ...] = (),
) -> Outcome:
    """How the run ended, with its one look at the test split. `network` is left with the selected weights."""
    failed = diverged(state)
    lay_out(network, recipe, device)  # as `evaluate` will find it, for the same bits
    if state.selected:
        network.load_state_dict(state.selected)
    n = len(splits.train)
    images_seen = len(state.history) * (n - n % recipe.batch_size if recipe.drop_last else n)

    names = splits.train.class_names
    validation = None
    if len(splits.validation) and not failed:
        validation = scores(
            logits_of(network, splits.validation, recipe, splits, device), splits.validation.labels, names
        )
    test_logits = None if failed else logits_of(network, splits.test, recipe, splits, device)  # the one look at it
    return Outcome(
        status="diverged" if failed else "finished",
        message=f"the training loss was not finite in epoch {len(state.history)}" if failed else None,
        history=tuple(state.history),
        environment=environment(device, stack=stack),
        cost=measure_cost(
            network,
            splits.train.spec,
            images=images_seen,
            train_seconds=state.train_seconds,
            total_seconds=total_seconds,
            device=device,
        ),
        selected_epoch=None if failed else state.selected_epoch,
        validation=validation,
        test=None if test_logits is None else scores(test_logits, splits.test.labels, names),
        step_loss=state.step_loss.numpy(),
        step_accuracy=state.step_accuracy.numpy(),
        logits=None if test_logits is None else test_logits.numpy(),
        labels=splits.test.labels.cpu().numpy(),
        weights=_contiguous(network.state_dict()),
    )


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, laid out in the order of their dimensions, as files keep them."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
