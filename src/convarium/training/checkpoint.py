"""`last.ckpt`: an unfinished run's state at the end of an epoch, as safetensors, so that loading it runs no code.

Shuffling, augmentation and dropout are seeded by epoch, and the learning rate is a function of the step; so weights,
optimizer state and what was recorded are all there is to keep.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from convarium.records import Epoch
from convarium.runs.files import write_tensors

T = TypeVar("T")
Load = Callable[[], object]
"""Puts what has been read and checked to where it belongs."""


@dataclass
class TrainingState:
    """What a run has come to: the mutable state of `fit` beside network and optimizer.

    Attributes:
        step_loss, step_accuracy: (steps,): one tensor of all epochs, so that memory grows by these numbers alone.
    """

    history: list[Epoch] = field(default_factory=list)
    step_loss: Tensor = field(default_factory=partial(torch.empty, 0))
    step_accuracy: Tensor = field(default_factory=partial(torch.empty, 0))
    train_seconds: float = 0.0
    selected_epoch: int = 0
    selected: dict[str, Tensor] = field(default_factory=dict)


def save_checkpoint(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, state: TrainingState) -> None:
    """Writes `path` whole or not at all."""
    tensors, facts = _content(network, state)
    tensors |= {f"optimizer.{k}": v for k, v in _optimizer_content(optimizer).items()}
    write_tensors(path, _on_cpu(tensors), facts)


def load_checkpoint(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState | None:
    """Puts network and optimizer back to where `save_checkpoint` met them; None where there is no usable file.

    A damaged file costs the epochs it held and nothing else, so it is not an error: all of it is read and checked
    before anything is loaded.
    """

    def checked(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> tuple[TrainingState, list[Load]]:
        state, load = _checked(tensors, facts, network)
        return state, [load, _checked_optimizer(optimizer, _under(tensors, "optimizer."))]

    return _read(path, checked)


def save_stack(
    path: Path,
    names: Sequence[str],
    networks: Sequence[nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    states: Sequence[TrainingState],
) -> None:
    """`save_checkpoint` for runs that train together: one file, so that all are always at the same epoch.

    Args:
        names: of the members, without a dot.
        networks, states: one a member.
        optimizers: in any number.
    """
    tensors: dict[str, Tensor] = {}
    facts = {"members": json.dumps(names)}
    for name, network, state in zip(names, networks, states, strict=True):
        own_tensors, own_facts = _content(network, state)
        tensors |= {f"{name}.{k}": v for k, v in own_tensors.items()}
        facts |= {f"{name}.{k}": v for k, v in own_facts.items()}
    for number, optimizer in enumerate(optimizers):
        tensors |= {f"optimizer-{number}.{k}": v for k, v in _optimizer_content(optimizer).items()}
    write_tensors(path, _on_cpu(tensors), facts)


def load_stack(
    path: Path,
    names: Sequence[str],
    networks: Sequence[nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
) -> list[TrainingState] | None:
    """`load_checkpoint` for runs that train together; a file of other members, or of one run alone, is no use."""

    def checked(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> tuple[list[TrainingState], list[Load]]:
        if json.loads(facts["members"]) != list(names):
            raise ValueError("other members")
        found = [
            _checked(_under(tensors, f"{name}."), _under(facts, f"{name}."), network)
            for name, network in zip(names, networks, strict=True)
        ]
        loads = [load for _, load in found]
        for number, optimizer in enumerate(optimizers):
            loads.append(_checked_optimizer(optimizer, _under(tensors, f"optimizer-{number}.")))
        return [state for state, _ in found], loads

    return _read(path, checked)


def _content(network: nn.Module, state: TrainingState) -> tuple[dict[str, Tensor], dict[str, str]]:
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"selected.{k}": v for k, v in state.selected.items()}
    tensors |= {"step_loss": _padded(state.step_loss), "step_accuracy": _padded(state.step_accuracy)}
    facts = {
        "history": json.dumps([vars(row) for row in state.history]),
        "train_seconds": repr(state.train_seconds),
        "selected_epoch": str(state.selected_epoch),
    }
    return tensors, facts


def _padded(steps: Tensor) -> Tensor:
    """With zeros up to a power of two: safetensors keeps some kilobytes for every length that it has ever written."""
    return F.pad(steps, (0, (1 << (len(steps) - 1).bit_length()) - len(steps)))


def _optimizer_content(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{number}.{k}": v for number, values in state.items() for k, v in values.items() if v is not None}


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}


def _checked(tensors: Mapping[str, Tensor], facts: Mapping[str, str], network: nn.Module) -> tuple[TrainingState, Load]:
    """What a run had come to, and what puts its weights into the network."""
    weights, selected = _under(tensors, "network."), _under(tensors, "selected.")
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    for held in (weights, selected) if selected else (weights,):
        if {name: tensor.shape for name, tensor in held.items()} != shapes:
            raise ValueError("weights of another network")
    history = [Epoch(**row) for row in json.loads(facts["history"])]
    state = TrainingState(
        history=history,
        step_loss=tensors["step_loss"][: history[-1].steps],
        step_accuracy=tensors["step_accuracy"][: history[-1].steps],
        train_seconds=float(facts["train_seconds"]),
        selected_epoch=int(facts["selected_epoch"]),
        selected=selected,
    )
    return state, partial(network.load_state_dict, weights)


def _read(path: Path, check: Callable[[Mapping[str, Tensor], Mapping[str, str]], tuple[T, list[Load]]]) -> T | None:
    try:
        with safe_open(path, "pt") as file:
            facts: Mapping[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
        state, loads = check(tensors, facts)
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, KeyError, IndexError, ValueError, TypeError, RuntimeError):
        path.unlink()
        return None
    for load in loads:
        load()
    return state


def _checked_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> Load:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    whole = optimizer.state_dict()
    whole["state"] = {}
    for name, tensor in tensors.items():
        number, key = name.split(".", 1)
        if tensor.shape not in (parameters[int(number)].shape, torch.Size([])):  # a step is a number
            raise ValueError("state of another optimizer")
        whole["state"].setdefault(int(number), {})[key] = tensor
    return partial(_load_optimizer, optimizer, whole)


def _load_optimizer(optimizer: torch.optim.Optimizer, whole: dict[str, Any]) -> None:
    optimizer.load_state_dict(whole)
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if value.shape == parameter.shape:  # the parameter's own memory format, on which fused kernels depend
                values[key] = torch.empty_like(parameter).copy_(value)


def _under(values: Mapping[str, T], prefix: str) -> dict[str, T]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
