"""What a run records: its epochs, the weights that are selected, and how it ended."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from convarium.data.preprocessing import preprocessing_of
from convarium.data.splits import ImageData
from convarium.metrics import scores
from convarium.models.cost import measure_cost
from convarium.models.describe import describe_network
from convarium.records import Epoch, Outcome, Scores
from convarium.runs.environment import peak_memory_bytes
from convarium.training.freezing import unfreeze
from convarium.training.numerics import exact_arithmetic, set_memory_format
from convarium.training.scoring import split_logits
from convarium.training.state import TrainingEvent, TrainingRun
from convarium.training.trainer import Trainer


class EpochSteps(NamedTuple):
    """One run's steps of one epoch, on the CPU.

    Attributes:
        losses, correct, sizes: (steps,): mean loss, number of correct predictions, and number of images.
    """

    losses: Tensor
    correct: Tensor
    sizes: Tensor


def gather_steps(steps: Iterable[tuple[Tensor, Tensor, int]]) -> list[EpochSteps]:
    """Fetches an epoch's steps from the device, and divides those of a stack among its members.

    Args:
        steps: mean loss and number of correct predictions, () or (members,), and the number of images per member.
    """
    losses, correct, sizes = zip(*steps, strict=True)
    by_run = (torch.stack(values).cpu().reshape(len(sizes), -1).T.contiguous() for values in (losses, correct))
    images = torch.tensor(sizes)
    return [EpochSteps(run_losses, run_correct, images) for run_losses, run_correct in zip(*by_run, strict=True)]


def record_epoch(
    run: TrainingRun, steps: EpochSteps, *, rate_factor: float, seconds: float, keep_weights: int | None = None
) -> TrainingEvent:
    """Adds a finished epoch to the run's state: its steps, its scores, and its weights if the epoch is selected.

    Args:
        run: its network is scored on the validation split, and on the test split if the recipe watches it.
        steps: from `gather_steps`.
        rate_factor: the schedule's factor in the last step.
        seconds: duration of the steps.
        keep_weights: after every so many epochs the event has the weights; None: never.
    """
    state, recipe, (losses, correct, sizes) = run.state, run.recipe, steps
    watched = {"validation": run.splits.validation} if len(run.splits.validation) else {}
    watched |= {"test": run.splits.test} if recipe.watch_test else {}
    finite = bool(torch.isfinite(losses).all())
    results = {name: _quick_scores(run, data) for name, data in watched.items()} if finite else {}
    validation, test = (results.get(name, (None, None, None)) for name in ("validation", "test"))
    row = Epoch(
        epoch=len(state.history) + 1,
        steps=(len(state.history) + 1) * len(losses),
        learning_rate=recipe.learning_rate * rate_factor,
        train_loss=float((losses.double() * sizes).sum() / sizes.sum()),
        train_accuracy=float(correct.sum() / sizes.sum()),
        validation_loss=validation[0],
        validation_accuracy=validation[1],
        test_loss=test[0],
        test_accuracy=test[1],
        seconds=seconds,
    )
    state.history.append(row)
    accuracies = correct / sizes
    state.step_loss = torch.cat([state.step_loss, losses])
    state.step_accuracy = torch.cat([state.step_accuracy, accuracies])
    state.train_seconds += seconds
    if test[2] is not None:
        state.test_predicted.append(test[2])
    _select(run)
    event = recorded_so_far(run, steps_per_epoch=len(losses))
    is_kept = keep_weights is not None and row.epoch % keep_weights == 0 and not state.diverged
    weights = contiguous_copy(run.network.state_dict()) if is_kept else None
    return dataclasses.replace(event, step_loss=losses, step_accuracy=accuracies, weights=weights)


def recorded_so_far(run: TrainingRun, *, steps_per_epoch: int) -> TrainingEvent:
    """The run's finished epochs as an event, without the steps of the last one."""
    state = run.state
    return TrainingEvent(
        len(state.history),
        run.recipe.epochs,
        0,
        steps_per_epoch,
        history=tuple(state.history),
        test_predicted=tuple(state.test_predicted) or None,
    )


def _quick_scores(run: TrainingRun, data: ImageData) -> tuple[float, float, tuple[int, ...]]:
    """Mean loss and accuracy of the current weights, and how many images they assign to each class."""
    logits, labels = split_logits(run, data), data.labels.cpu()
    predicted = logits.argmax(1)
    counts = torch.bincount(predicted, minlength=logits.shape[1]).tolist()
    return float(F.cross_entropy(logits, labels)), float((predicted == labels).double().mean()), tuple(counts)


def _select(run: TrainingRun) -> None:
    """Stores the weights of the epoch that the recipe selects: of equally good epochs the first, and of a run that has
    diverged the last.
    """
    state, select = run.state, run.recipe.select
    state.selected_epoch, before = len(state.history), state.selected_epoch
    if not state.diverged:
        if select == "last":
            return
        accuracy = attrgetter("validation_accuracy" if select == "best_validation" else "test_accuracy")
        if before and accuracy(state.history[-1]) <= accuracy(state.history[before - 1]):
            state.selected_epoch = before
            return
    state.selected = {name: tensor.detach().clone() for name, tensor in run.network.state_dict().items()}


def make_outcome(trainer: Trainer, index: int, *, total_seconds: Callable[[], float]) -> Outcome:
    """How the run ended, with its one look at the test split. The network is left with the weights that are stored:
    the selected ones, or, where training has diverged, the last.

    Args:
        trainer: trained.
        index: which of its runs.
        total_seconds: called after the scoring: the seconds since the call of `fit`.
    """
    run = trainer.runs[index]
    network, splits, recipe, state = run.network, run.splits, run.recipe, run.state
    unfreeze(network, recipe)
    set_memory_format(network, recipe, run.device)  # as `evaluate` lays it out, for the same bits
    epoch = len(state.history)
    divergence = f"the training loss was not finite in epoch {epoch}" if state.diverged else None
    if not divergence and not _is_finite(network.state_dict()):
        divergence = f"the weights were not finite after epoch {epoch}, the last"
    elif state.selected:
        network.load_state_dict(state.selected)
    results: dict[str, tuple[Scores, Tensor]] = {}
    if not divergence:
        with exact_arithmetic(run.device):
            for split in ("train", "validation", "test"):  # the one look at the test split
                data: ImageData = getattr(splits, split)
                if len(data):
                    logits = split_logits(run, data)
                    results[split] = scores(logits, data.labels, data.class_names), logits
        broken = [split for split, (_, logits) in results.items() if not _is_finite({split: logits})]
        if broken:
            name = "training" if broken[0] == "train" else broken[0]
            divergence, results = f"the logits of the {name} images were not finite at the end", {}
    description = describe_network(network, recipe.model, splits.train.spec)
    n = len(splits.train)
    images_per_epoch = n - n % recipe.batch_size if recipe.drop_last else n
    found = {split: result[0] for split, result in results.items()}
    scored = "test" if len(splits.test) else "validation"
    return Outcome(
        status="diverged" if divergence else "finished",
        message=divergence,
        history=tuple(state.history),
        environment=trainer.environment,
        earlier=trainer.earlier,
        cost=measure_cost(
            network,
            flops=description.root.flops,
            images=len(state.history) * images_per_epoch,
            train_seconds=state.train_seconds,
            total_seconds=total_seconds(),
            peak_memory_bytes=peak_memory_bytes(run.device),
        ),
        selected_epoch=None if divergence else state.selected_epoch,
        train=found.get("train"),
        validation=found.get("validation"),
        test=found.get("test"),
        skipped_steps=int(trainer.scalers[index].skipped) if trainer.scalers else None,
        network=description,
        data_notes=splits.notes,
        unreadable_images=splits.unreadable,
        passed_over_files=splits.passed_over,
        preprocessing=preprocessing_of(splits, recipe.normalize),
        step_loss=state.step_loss.numpy(),
        step_accuracy=state.step_accuracy.numpy(),
        logits=results[scored][1].numpy() if scored in results else None,
        labels=getattr(splits, scored).labels.cpu().numpy(),
        weights=contiguous_copy(network.state_dict()),
    )


def _is_finite(tensors: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())


def contiguous_copy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, contiguous as files store them."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
