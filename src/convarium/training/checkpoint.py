"""`last.ckpt`: the state of an unfinished run at the end of an epoch, as safetensors, so that loading it runs no code.

Shuffling, augmentation and dropout are seeded by epoch, and the learning rate is a function of the step. So a
checkpoint needs weights, optimizer state and the run's records, and nothing else.

It also names the environment that decides the last bits: a run that another version of Convarium or another machine
began does not continue from its checkpoint, so that no run mixes two of them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional as F

from convarium.records import Epoch
from convarium.runs.environment import environment
from convarium.runs.files import write_tensors
from convarium.training.state import TrainingRun, TrainingState
from convarium.training.trainer import Trainer

T = TypeVar("T")
ENVIRONMENT_FIELDS = ("convarium", "commit", "torch", "kernels", "processor", "device", "threads")
"""What a checkpoint is compared by: the fields of `Environment` on which the last bits of a run depend."""


def environment_fields(device: torch.device) -> dict[str, str]:
    """Returns ENVIRONMENT_FIELDS with their values here; a checkout with uncommitted changes counts as its commit."""
    values = environment(device)
    fields = {name: str(getattr(values, name)) for name in ENVIRONMENT_FIELDS}
    return fields | {"commit": fields["commit"].removesuffix("-dirty")}


def checkpoint_environment(path: Path) -> dict[str, str] | None:
    """Returns the ENVIRONMENT_FIELDS of the run that wrote a checkpoint.

    The result is empty for a checkpoint of Convarium 0.1, which did not record them, and None without a readable file.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
        return dict(json.loads(metadata.get("environment", "{}")))
    except (SafetensorError, OSError, ValueError, TypeError):
        return None


def save_checkpoint(path: Path, trainer: Trainer) -> None:
    """Writes `path` completely or not at all. A stack has one file, so that its members are always at one epoch."""
    tensors: dict[str, Tensor] = {}
    metadata = {"members": json.dumps(trainer.members)} if trainer.members else {}
    metadata["environment"] = json.dumps(environment_fields(trainer.device))
    for prefix, run in zip(_run_prefixes(trainer), trainer.runs, strict=True):
        run_tensors, run_metadata = _run_content(run)
        tensors |= {prefix + name: value for name, value in run_tensors.items()}
        metadata |= {prefix + name: value for name, value in run_metadata.items()}
    for prefix, optimizer in zip(_optimizer_prefixes(trainer), trainer.optimizers, strict=True):
        for number, values in optimizer.state_dict()["state"].items():
            tensors |= {f"{prefix}{number}.{name}": value for name, value in values.items() if value is not None}
    write_tensors(path, {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, metadata)


def load_checkpoint(path: Path, trainer: Trainer) -> bool:
    """Restores networks, optimizers and run states as `save_checkpoint` found them, and says whether it did.

    A damaged file, or one of other runs or of another environment, costs the epochs that it holds and nothing else, so
    it is deleted and no error: all of it is read and checked before anything is loaded.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
        if json.loads(metadata.get("members", "[]")) != list(trainer.members):
            raise ValueError("the checkpoint belongs to other runs")
        if json.loads(metadata.get("environment", "{}")) != environment_fields(trainer.device):
            raise ValueError("the checkpoint belongs to another environment")
        loads: list[Callable[[], object]] = []
        for prefix, run in zip(_run_prefixes(trainer), trainer.runs, strict=True):
            loads.append(_checked_run(run, _under(tensors, prefix), _under(metadata, prefix)))
        for prefix, optimizer in zip(_optimizer_prefixes(trainer), trainer.optimizers, strict=True):
            loads.append(_checked_optimizer(optimizer, _under(tensors, prefix)))
    except FileNotFoundError:
        return False
    except (SafetensorError, OSError, KeyError, IndexError, ValueError, TypeError, RuntimeError):
        path.unlink()
        return False
    for load in loads:
        load()
    return True


def _run_prefixes(trainer: Trainer) -> Sequence[str]:
    return [f"{key}." for key in trainer.members] or [""]


def _optimizer_prefixes(trainer: Trainer) -> Sequence[str]:
    return (
        [f"optimizer-{number}." for number, _ in enumerate(trainer.optimizers)] if trainer.members else ["optimizer."]
    )


def _run_content(run: TrainingRun) -> tuple[dict[str, Tensor], dict[str, str]]:
    state = run.state
    tensors = {f"network.{name}": value for name, value in run.network.state_dict().items()}
    tensors |= {f"selected.{name}": value for name, value in state.selected.items()}
    tensors |= {"step_loss": _padded(state.step_loss), "step_accuracy": _padded(state.step_accuracy)}
    metadata = {
        "history": json.dumps([vars(row) for row in state.history]),
        "train_seconds": repr(state.train_seconds),
        "selected_epoch": str(state.selected_epoch),
    }
    return tensors, metadata


def _padded(steps: Tensor) -> Tensor:
    """Padded with zeros to a power of two, because safetensors allocates kilobytes for every new length, for good."""
    return F.pad(steps, (0, (1 << (len(steps) - 1).bit_length()) - len(steps)))


def _checked_run(run: TrainingRun, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Callable[[], object]:
    """Checks a run's part of a checkpoint; the function returned loads it."""
    weights, selected = _under(tensors, "network."), _under(tensors, "selected.")
    shapes = {name: tensor.shape for name, tensor in run.network.state_dict().items()}
    for state_dict in (weights, selected) if selected else (weights,):
        if {name: tensor.shape for name, tensor in state_dict.items()} != shapes:
            raise ValueError("the weights belong to another network")
    history = [Epoch(**row) for row in json.loads(metadata["history"])]
    state = TrainingState(
        history=history,
        step_loss=tensors["step_loss"][: history[-1].steps],
        step_accuracy=tensors["step_accuracy"][: history[-1].steps],
        train_seconds=float(metadata["train_seconds"]),
        selected_epoch=int(metadata["selected_epoch"]),
        selected=selected,
    )
    return partial(_load_run, run, state, weights)


def _load_run(run: TrainingRun, state: TrainingState, weights: dict[str, Tensor]) -> None:
    run.state = state
    run.network.load_state_dict(weights)


def _checked_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> Callable[[], object]:
    """Checks an optimizer's part of a checkpoint; the function returned loads it."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state_dict = optimizer.state_dict()
    state_dict["state"] = {}
    for name, tensor in tensors.items():
        number, key = name.split(".", 1)
        if tensor.shape not in (parameters[int(number)].shape, torch.Size([])):  # Adam's step is a scalar
            raise ValueError("the state belongs to another optimizer")
        state_dict["state"].setdefault(int(number), {})[key] = tensor
    return partial(_load_optimizer, optimizer, state_dict)


def _load_optimizer(optimizer: torch.optim.Optimizer, state_dict: dict[str, Any]) -> None:
    optimizer.load_state_dict(state_dict)
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if value.shape == parameter.shape:  # fused kernels need the parameter's own memory format
                values[key] = torch.empty_like(parameter).copy_(value)


def _under(values: Mapping[str, T], prefix: str) -> dict[str, T]:
    """The entries whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
