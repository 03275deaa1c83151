"""`last.ckpt`: the state of an unfinished run at the end of an epoch, as safetensors, so that loading it runs no code.

Shuffling, augmentation and dropout are seeded by epoch, and the learning rate is a function of the step. So a
checkpoint needs weights, optimizer state and the run's records, and nothing else.

It also names the environment that decides the last bits: a run that another version of Convarium or another machine
began does not continue from its checkpoint, so that no run mixes two of them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
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


def environment_fields(device: torch.device, *, threads: int | None = None) -> dict[str, str]:
    """Returns ENVIRONMENT_FIELDS with their values here; a checkout with uncommitted changes counts as its commit.

    Args:
        device: on which a run trains.
        threads: that a run will have; None: those of PyTorch now.
    """
    values = environment(device)
    fields = {name: str(getattr(values, name)) for name in ENVIRONMENT_FIELDS}
    if threads is not None:
        fields["threads"] = str(threads)
    return fields | {"commit": fields["commit"].removesuffix("-dirty")}


def checkpoint_mismatch(
    path: Path, device: torch.device, key: str, *, members: Sequence[str] = (), threads: int | None = None
) -> str | None:
    """Describes how the run that wrote a checkpoint differs from one that is to continue from it.

    Args:
        path: the checkpoint.
        device: on which the run trains.
        key: of the run, `recipe.key(splits.digest)`.
        members: of a stack that is one model, as `Trainer.members`; then `key` is not compared.
        threads: that the run will have; None: those of PyTorch now.

    Returns:
        Words that follow "begun"; None if the run can continue, or if no file can be read.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
        return _mismatch(metadata, environment_fields(device, threads=threads), key, members)
    except (SafetensorError, OSError, ValueError, TypeError):
        return None


def _mismatch(metadata: Mapping[str, str], here: Mapping[str, str], key: str, members: Sequence[str]) -> str | None:
    before = json.loads(metadata.get("environment", "{}"))
    if not before:  # Convarium 0.1 did not record it
        return "by an older version of Convarium"
    differing = [f"{name} {before.get(name)} instead of {value}" for name, value in here.items()]
    differing = [words for words, name in zip(differing, here, strict=True) if before.get(name) != here[name]]
    if differing:
        return f"with {', '.join(differing[:-1])}{' and ' * (len(differing) > 1)}{differing[-1]}"
    before_members = json.loads(metadata.get("members", "[]"))
    if before_members != list(members):
        return "in a stack of other runs" if before_members else "alone"
    return "with another recipe or other data" if not members and metadata.get("recipe") != key else None


def save_checkpoint(path: Path, trainer: Trainer) -> None:
    """Writes `path` completely or not at all. A stack has one file, so that its members are always at one epoch."""
    tensors: dict[str, Tensor] = {}
    metadata = {"members": json.dumps(trainer.members)} if trainer.members else {"recipe": trainer.key}
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

    A file of another run or of another environment is renamed to `last.ckpt.other`, a damaged one is deleted, and one
    that cannot be read is left alone. None of them is an error: all of a file is checked before anything is loaded.
    """
    key = trainer.key  # now, because a user's own file may change while its network trains
    try:
        with safe_open(path, "pt") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            # Copies, because Windows replaces no file of which a part is mapped into memory.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  (not a mapping)
        if _mismatch(metadata, environment_fields(trainer.device), key, trainer.members):
            with suppress(OSError):
                path.replace(path.with_name(f"{path.name}.other"))
            return False
        loads: list[Callable[[], object]] = []
        for prefix, run in zip(_run_prefixes(trainer), trainer.runs, strict=True):
            loads.append(_checked_run(run, _under(tensors, prefix), _under(metadata, prefix)))
        for prefix, optimizer in zip(_optimizer_prefixes(trainer), trainer.optimizers, strict=True):
            loads.append(_checked_optimizer(optimizer, _under(tensors, prefix)))
    except OSError:
        return False
    except (SafetensorError, KeyError, IndexError, ValueError, TypeError, RuntimeError):
        with suppress(OSError):
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
