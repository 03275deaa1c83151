"""What training tells and what is written down of it: an epoch, the weights that are selected, how a run ended."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convarium.data.splits import ImageData, Splits
from convarium.metrics import scores
from convarium.models.cost import measure_cost
from convarium.models.describe import describe_network
from convarium.recipes.recipe import Recipe
from convarium.records import Epoch, Outcome, Scores
from convarium.runs.environment import environment, peak_memory_bytes
from convarium.training.checkpoint import TrainingState
from convarium.training.scoring import logits_of
from convarium.training.step import lay_out


@dataclass(frozen=True)
class TrainingEvent:
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


def record_epoch(
    state: TrainingState,
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
) -> TrainingEvent:
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
    return TrainingEvent(row.epoch, recipe.epochs, 0, len(losses), *told)


def diverged(state: TrainingState) -> bool:
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


def _select(recipe: Recipe, state: TrainingState, network: nn.Module) -> None:
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
    state: TrainingState,
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

    def scored(data: ImageData) -> Scores | None:
        if failed or not len(data):
            return None
        return scores(logits_of(network, data, recipe, splits, device), data.labels, data.class_names)

    train, validation = scored(splits.train), scored(splits.validation)
    test_logits = None if failed else logits_of(network, splits.test, recipe, splits, device)  # the one look at it
    description = describe_network(network, recipe.model, splits.train.spec)
    return Outcome(
        status="diverged" if failed else "finished",
        message=f"the training loss was not finite in epoch {len(state.history)}" if failed else None,
        history=tuple(state.history),
        environment=environment(device, stack=stack),
        cost=measure_cost(
            network,
            flops=description.root.flops,
            images=images_seen,
            train_seconds=state.train_seconds,
            total_seconds=total_seconds,
            peak_memory_bytes=peak_memory_bytes(device),
        ),
        selected_epoch=None if failed else state.selected_epoch,
        train=train,
        validation=validation,
        test=None if test_logits is None else scores(test_logits, splits.test.labels, splits.test.class_names),
        network=description,
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
