"""What a checkpoint holds of a trainer, as tensors and texts, and how a trainer is set from them.

Shuffling and augmentation are seeded by epoch, and the learning rate is a function of the step. So weights, optimizer
state, the run's records, the steps of the current epoch and, within an epoch, the state of the generators that dropout
draws from are all that a run needs to go on after any step with the bits of a run that was never interrupted.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from convarium.runs.json_forms import history_from_json, history_to_json
from convarium.training.numerics import default_generators
from convarium.training.state import EpochProgress, TrainingRun, TrainingState
from convarium.training.trainer import Trainer

T = TypeVar("T")
Load = Callable[[], object]
OPTIMIZER_STATE = {
    "sgd": {"momentum_buffer"},
    "adam": {"step", "exp_avg", "exp_avg_sq"},
    "adamw": {"step", "exp_avg", "exp_avg_sq"},
}
"""What each optimizer remembers of a parameter; SGD without momentum nothing."""


def gather_content(trainer: Trainer) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Everything that a checkpoint holds besides the identity of its runs: tensors and texts by their names."""
    tensors, texts = _progress_content(trainer)
    for prefix, run in zip(_run_prefixes(trainer), trainer.runs, strict=True):
        run_tensors, run_texts = _run_content(run)
        tensors |= {prefix + name: value for name, value in run_tensors.items()}
        texts |= {prefix + name: value for name, value in run_texts.items()}
    for prefix, optimizer in zip(_optimizer_prefixes(trainer), trainer.optimizers, strict=True):
        for number, values in optimizer.state_dict()["state"].items():
            tensors |= {f"{prefix}{number}.{name}": value for name, value in values.items() if value is not None}
    for number, scaler in enumerate(trainer.scalers):
        tensors |= {f"scaler-{number}.{name}": value for name, value in scaler.state().items()}
    return tensors, texts


def check_content(trainer: Trainer, tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> list[Load]:
    """Checks that a checkpoint's content fits a trainer, which is not changed; the functions returned set it.

    Raises:
        KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError: it does not fit.
    """
    loads: list[Load] = []
    for prefix, run in zip(_run_prefixes(trainer), trainer.runs, strict=True):
        loads.append(_checked_run(run, _under(tensors, prefix), _under(texts, prefix)))
    for prefix, optimizer in zip(_optimizer_prefixes(trainer), trainer.optimizers, strict=True):
        loads.append(_checked_optimizer(optimizer, trainer, _under(tensors, prefix)))
    for number, scaler in enumerate(trainer.scalers):
        state, needed = _under(tensors, f"scaler-{number}."), scaler.state()
        if state.keys() != needed.keys() or any(value.ndim for value in state.values()):
            raise ValueError("the state of the loss scaler is incomplete")
        loads.append(partial(scaler.set_state, state))
    return [*loads, _checked_progress(trainer, tensors, texts)]


def _run_prefixes(trainer: Trainer) -> Sequence[str]:
    return [f"{key}." for key in trainer.members] or [""]


def _optimizer_prefixes(trainer: Trainer) -> Sequence[str]:
    return (
        [f"optimizer-{number}." for number, _ in enumerate(trainer.optimizers)] if trainer.members else ["optimizer."]
    )


def _generators(trainer: Trainer) -> list[torch.Generator]:
    """All generators that a training step may draw from."""
    return [torch.default_generator, *default_generators(trainer.device), *trainer.generators]


def _progress_content(trainer: Trainer) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The steps of the current epoch; nothing between two epochs."""
    progress = trainer.progress
    if not progress.steps:
        return {}, {"epoch_steps": "0"}
    losses, correct, sizes = zip(*progress.steps, strict=True)
    tensors = {"epoch_losses": _padded(torch.stack(losses)), "epoch_correct": _padded(torch.stack(correct))}
    tensors |= {"epoch_sizes": _padded(torch.tensor(sizes))}
    tensors |= {f"generator-{i}": generator.get_state() for i, generator in enumerate(_generators(trainer))}
    return tensors, {"epoch_steps": str(len(sizes)), "epoch_seconds": repr(progress.seconds)}


def _checked_progress(trainer: Trainer, tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> Load:
    count = int(texts["epoch_steps"])
    if not 0 <= count < len(trainer.batches):
        raise ValueError("the epoch has another number of steps")
    progress = EpochProgress()
    if count:
        losses, correct = (tensors[f"epoch_{name}"].to(trainer.device)[:count] for name in ("losses", "correct"))
        sizes = tensors["epoch_sizes"][:count].tolist()
        shape = (count, len(trainer.runs)) if trainer.members else (count,)
        if losses.shape != shape or correct.shape != shape or len(sizes) != count or min(sizes) < 1:
            raise ValueError("the steps of the epoch are incomplete")
        states = [(generator, tensors[f"generator-{i}"]) for i, generator in enumerate(_generators(trainer))]
        for generator, state in states:
            torch.Generator(generator.device).set_state(state)  # raises where it is no such state
        progress = EpochProgress(
            steps=list(zip(losses.unbind(), correct.unbind(), sizes, strict=True)),
            earlier_seconds=float(texts["epoch_seconds"]),
        )
        weights = [
            (run.network, _under(tensors, f"{prefix}network."))
            for prefix, run in zip(_run_prefixes(trainer), trainer.runs, strict=True)
        ]
        progress.restore = partial(_restore, weights, states)
    return partial(setattr, trainer, "progress", progress)


def _restore(
    weights: Iterable[tuple[torch.nn.Module, dict[str, Tensor]]], states: Iterable[tuple[torch.Generator, Tensor]]
) -> None:
    """Once more, because within an epoch some networks hold their weights in another form."""
    for network, tensors in weights:
        network.load_state_dict(tensors)
    for generator, state in states:
        generator.set_state(state)


def _run_content(run: TrainingRun) -> tuple[dict[str, Tensor], dict[str, str]]:
    state = run.state
    tensors = {f"network.{name}": value for name, value in run.network.state_dict().items()}
    tensors |= {f"selected.{name}": value for name, value in state.selected.items()}
    tensors |= {"step_loss": _padded(state.step_loss), "step_accuracy": _padded(state.step_accuracy)}
    if state.test_predicted:
        tensors["test_predicted"] = _padded(torch.tensor(state.test_predicted))
    texts = {
        "history": json.dumps(history_to_json(state.history)),
        "train_seconds": repr(state.train_seconds),
        "selected_epoch": str(state.selected_epoch),
    }
    return tensors, texts


def _padded(rows: Tensor) -> Tensor:
    """Padded with zeros to a power of two, because safetensors allocates kilobytes for every new length, for good."""
    missing = (1 << (len(rows) - 1).bit_length()) - len(rows) if len(rows) else 0
    return F.pad(rows, (0, 0) * (rows.ndim - 1) + (0, missing))


def _checked_run(run: TrainingRun, tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> Load:
    """Checks a run's part of a checkpoint; the function returned loads it."""
    weights, selected = _under(tensors, "network."), _under(tensors, "selected.")
    forms = {name: (tensor.shape, tensor.dtype) for name, tensor in run.network.state_dict().items()}
    for state_dict in (weights, selected) if selected else (weights,):
        if {name: (tensor.shape, tensor.dtype) for name, tensor in state_dict.items()} != forms:
            raise ValueError("the weights belong to another network")
    history = list(history_from_json(json.loads(texts["history"])))
    steps, epochs = history[-1].steps if history else 0, len(history)
    predicted = tensors["test_predicted"][:epochs].tolist() if run.recipe.watch_test and history else []
    state = TrainingState(
        history=history,
        step_loss=tensors["step_loss"][:steps],
        step_accuracy=tensors["step_accuracy"][:steps],
        train_seconds=float(texts["train_seconds"]),
        selected_epoch=int(texts["selected_epoch"]),
        selected=selected,
        test_predicted=list(map(tuple, predicted)),
    )
    numbered = [row.epoch for row in history] == list(range(1, epochs + 1)) and epochs <= run.recipe.epochs
    if not numbered or not len(state.step_loss) == len(state.step_accuracy) == steps:
        raise ValueError("the history is incomplete")
    if not min(epochs, 1) <= state.selected_epoch <= epochs:
        raise ValueError("an epoch is selected that is not in the history")
    return partial(_load_run, run, state, weights)


def _load_run(run: TrainingRun, state: TrainingState, weights: dict[str, Tensor]) -> None:
    run.state = state
    run.network.load_state_dict(weights)


def _checked_optimizer(optimizer: torch.optim.Optimizer, trainer: Trainer, tensors: Mapping[str, Tensor]) -> Load:
    """Checks an optimizer's part of a checkpoint; the function returned loads it."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    recipe = trainer.recipe
    expected = set() if recipe.optimizer == "sgd" and not recipe.momentum else OPTIMIZER_STATE[recipe.optimizer]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = name.split(".", 1)
        if tensor.shape not in (parameters[int(number)].shape, torch.Size([])):  # Adam's step is a scalar
            raise ValueError("the state belongs to another optimizer")
        state.setdefault(int(number), {})[key] = tensor
    if any(values.keys() != expected for values in state.values()) or (expected and not state):
        raise ValueError("the state of the optimizer is incomplete")
    return partial(_load_optimizer, optimizer, optimizer.state_dict() | {"state": state})


def _load_optimizer(optimizer: torch.optim.Optimizer, state_dict: dict[str, Any]) -> None:
    optimizer.load_state_dict(state_dict)
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if value.shape == parameter.shape:  # fused kernels need the parameter's own memory format
                values[key] = torch.empty_like(parameter).copy_(value)


def _under(values: Mapping[str, T], prefix: str) -> dict[str, T]:
    """The entries whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
