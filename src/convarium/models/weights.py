"""Weights of files in networks: tensors find their places by name, under whatever prefix, or are refused.

A file may hold the weights of `state_dict()` in safetensors or in PyTorch's own format, alone or inside of a
checkpoint, as UvA tutorial 5 publishes its networks. `convarium.runs.files` writes weights.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convarium.errors import WeightsError
from convarium.models.build import build_model
from convarium.models.weight_files import WeightFile, read_weight_file
from convarium.records import ImageSpec

# Names in UvA tutorial 5 → names of the same tensors here.
_TUTORIAL_NAMES = (
    (r"^input_net\.", "stem."),
    (r"^output_net\.", "head."),
    (r"^inception_blocks\.", "blocks."),
    (r"^blocks\.(\d+)\.block\.(\d+)\.net\.", r"blocks.\1.\2.composite."),
    (r"^blocks\.(\d+)\.transition\.", r"blocks.\1."),
    (r"^blocks\.(\d+)\.net\.", r"blocks.\1.residual."),
    (r"^blocks\.(\d+)\.downsample\.", r"blocks.\1.shortcut."),
)
Shape = tuple[int | None, ...]
"""The sizes of a tensor; None where any will do."""
_COUNTER = "num_batches_tracked"
"""Batch norm's buffer that PyTorch wrote into no file before version 0.4.1."""


def load_weights(path: str | os.PathLike[str], model: str, image: ImageSpec) -> nn.Module:
    """Builds a network and loads the weights of a file into it.

    Args:
        path: a file that `read_weight_file` reads.
        model: the spec of the network, such as "resnet@uva".
        image: the images that the network takes.

    Raises:
        SpecError: there is no such network.
        ImageSizeError: the network cannot take such images.
        WeightsError: the file is missing, damaged or unsafe, or does not fit the network.
    """
    network = build_model(model, image)
    network.load_state_dict(fitting_weights(read_weight_file(path), network, model))
    return network


def fitting_weights(
    file: WeightFile, network: nn.Module, model: str, *, free: Mapping[str, Shape] | None = None
) -> dict[str, Tensor]:
    """The tensors of the one state dict in a file that fits a network, under the network's own names.

    They fit under their names, or under one prefix that all of them share, such as `module.` or `model._orig_mod.`, or
    under the names of UvA tutorial 5.

    Args:
        file: from `read_weight_file`.
        network: is not changed.
        model: what an error calls it.
        free: shapes of tensors that may have another size where None stands.

    Returns:
        A tensor for every name of the network's state dict.

    Raises:
        WeightsError: none of the state dicts fits, or several do.
    """
    tried = {name: _matched(network, tensors, free or {}) for name, tensors in file.state_dicts.items()}
    fitting = {name: match.tensors for name, match in tried.items() if match.wrong is None}
    if "" in fitting:
        return fitting[""]
    if len(fitting) > 1:
        raise _several(file, fitting, f" that fit {model}")
    if fitting:
        return next(iter(fitting.values()))
    name, nearest = max(tried.items(), key=lambda item: item[1].common)
    where = f"{file.path}:{name}" if len(tried) > 1 and name else str(file.path)
    raise WeightsError(
        f"{where} does not fit {model}: {nearest.wrong}", hint="check the model, its options and the number of classes"
    )


def _several(file: WeightFile, names: Collection[str], which: str) -> WeightsError:
    listed = " and ".join(name or "one at the top" for name in names)
    hint = f"say which: {file.path}:{next(filter(None, names))}"
    return WeightsError(f"{file.path} holds {len(names)} state dicts{which}: {listed}", hint=hint)


class _Match(NamedTuple):
    """A state dict under a network's names.

    Attributes:
        tensors: by name.
        common: how many of the network's names it has.
        wrong: why it does not fit, in words; None: it does.
    """

    tensors: dict[str, Tensor]
    common: int
    wrong: str | None


def _matched(network: nn.Module, tensors: Mapping[str, Tensor], free: Mapping[str, Shape]) -> _Match:
    own = network.state_dict()
    best: _Match | None = None
    for renamed in _renamings(tensors):
        common = len(own.keys() & renamed.keys())
        if best is None or common > best.common:
            if len(renamed) < len(tensors):
                best = _Match(renamed, common, "two of its tensors are the same one here")
            else:
                counters = {name: tensor for name, tensor in own.items() if name.endswith(f".{_COUNTER}")}
                whole = counters | renamed
                best = _Match(whole, common, misfits(network, whole, free=free))
    assert best
    return best


def _renamings(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The tensors under their own names, without each prefix that all share, and each time with the tutorial's names
    replaced.
    """
    first = next(iter(tensors)).split(".")
    for length in range(len(first)):
        prefix = "".join(f"{part}." for part in first[:length])
        if not all(name.startswith(prefix) and name != prefix for name in tensors):
            return
        stripped = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        yield stripped
        yield {_from_tutorial(name): tensor for name, tensor in stripped.items()}


def _from_tutorial(name: str) -> str:
    for pattern, here in _TUTORIAL_NAMES:
        name = re.sub(pattern, here, name)
    return name


def set_weights(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copies tensors into the network's parameters and buffers, all of them or none.

    Raises:
        WeightsError: tensors are missing, unknown, of another shape or of an integer type; the message names the first
            few of each.
    """
    wrong = misfits(network, tensors)
    if wrong:
        raise WeightsError(wrong, hint="check the model, its options and the number of classes")
    network.load_state_dict(dict(tensors))


def misfits(
    network: nn.Module, tensors: Mapping[str, Tensor], *, free: Mapping[str, Shape] | None = None
) -> str | None:
    """Why tensors are not those of a network, in words that name the first few of each kind; None if they are.

    Args:
        network: is not changed.
        tensors: by name.
        free: shapes of tensors that may have another size where None stands.
    """
    own, free = network.state_dict(), free or {}
    problems = {
        "missing": [name for name in own if name not in tensors],
        "unknown": [name for name in tensors if name not in own],
        "of another shape": [
            f"{name} {tuple(tensors[name].shape)} for {tuple(own[name].shape)}"
            for name in own
            if name in tensors and not _has_shape(tensors[name], free.get(name, tuple(own[name].shape)))
        ],
        "of whole numbers": [  # quantized weights, which would be read as if they were not
            f"{name} {tensors[name].dtype}"
            for name in own
            if name in tensors and own[name].is_floating_point() and not tensors[name].is_floating_point()
        ],
    }
    return (
        "; ".join(
            f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for kind, names in problems.items()
            if names
        )
        or None
    )


def _has_shape(tensor: Tensor, shape: Shape) -> bool:
    return tensor.ndim == len(shape) and all(b in (None, a) for a, b in zip(tensor.shape, shape, strict=True))


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Which weights are not finite numbers, in a sentence; None if all are."""
    counts = {name: int((~torch.isfinite(tensor)).sum()) for name, tensor in tensors.items()}
    wrong = [name for name, count in counts.items() if count]
    if not wrong:
        return None
    total = sum(tensor.numel() for tensor in tensors.values())
    verb = "is" if sum(counts.values()) == 1 else "are"
    return f"{sum(counts.values()):,} of the {total:,} weights {verb} not finite, the first in {wrong[0]}"
