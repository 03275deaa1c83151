"""Reads weights from safetensors and from PyTorch's own files, without running any code of theirs.

A file may be a state dict in `.safetensors`, `.pt`, `.pth` or `.ckpt`, or a Lightning checkpoint, which is how UvA
tutorial 5 publishes its networks. Of a pickle only tensors, numbers, texts and plain containers are ever constructed;
anything else that it names is refused. `convarium.runs.files` writes weights.
"""

import os
import re
import stat
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from convarium.errors import WeightsError
from convarium.models.build import build_model
from convarium.records import ImageSpec

_PICKLES = (".pt", ".pth", ".ckpt")

# Lightning pickles hyper-parameters as a subclass of dict with one of these names; a plain dict is built instead.
_LIGHTNING_DICTS: list[Any] = [
    (dict, "pytorch_lightning.utilities.parsing.AttributeDict"),
    (dict, "lightning.pytorch.utilities.parsing.AttributeDict"),
    (dict, "lightning_fabric.utilities.data.AttributeDict"),
    (dict, "lightning.fabric.utilities.data.AttributeDict"),
]

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


def load_weights(path: str | os.PathLike[str], model: str, image: ImageSpec) -> nn.Module:
    """Builds a network and loads the weights of a file into it.

    Args:
        path: a file that `read_weights` reads.
        model: the spec of the network, such as "resnet@uva".
        image: the images that the network takes.

    Raises:
        SpecError: there is no such network.
        ImageSizeError: the network cannot take such images.
        WeightsError: the file is missing, damaged or unsafe, or does not fit the network.
    """
    network = build_model(model, image)
    tensors = read_weights(path)
    try:
        set_weights(network, _by_its_names(network, tensors))
    except WeightsError as error:
        raise WeightsError(f"{path} does not fit {model}: {error}") from error
    return network


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a file by the names that they have there, on the CPU.

    Raises:
        WeightsError: the file is missing, damaged, unsafe or of another kind.
    """
    path = Path(path)
    if path.suffix not in (".safetensors", *_PICKLES):
        raise WeightsError(f"{path} has no known ending", expected=f".safetensors, {', '.join(_PICKLES)}")
    _check_kind(path)
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickled_state(path)


def set_weights(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copies tensors into the network's parameters and buffers, all of them or none.

    Raises:
        WeightsError: tensors are missing, unknown, of another shape or of an integer type; the message names the first
            few of each.
    """
    own = network.state_dict()
    problems = {
        "missing": [name for name in own if name not in tensors],
        "unknown": [name for name in tensors if name not in own],
        "of another shape": [
            f"{name} {tuple(tensors[name].shape)} for {tuple(own[name].shape)}"
            for name in own
            if name in tensors and tensors[name].shape != own[name].shape
        ],
        "of whole numbers": [  # quantized weights, which would be read as if they were not
            f"{name} {tensors[name].dtype}"
            for name in own
            if name in tensors and own[name].is_floating_point() and not tensors[name].is_floating_point()
        ],
    }
    mismatches = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for kind, names in problems.items()
        if names
    ]
    if mismatches:
        raise WeightsError("; ".join(mismatches), hint="check the model, its options and the number of classes")
    network.load_state_dict(dict(tensors))


_PAGES = re.compile(rb"\s*<(!doctype|html|head|\?xml)", re.IGNORECASE)
_LARGEST_RATIO = 4
"""Weights are hardly smaller when they are compressed; what unpacks to more than this is made to fill the memory."""


def _check_kind(path: Path) -> None:
    """Refuses what is known not to be weights of this ending from its first bytes or its table of contents.

    Raises:
        WeightsError: says what the file is instead, and what to do.
    """
    try:
        mode, size = path.stat().st_mode, path.stat().st_size
        if not stat.S_ISREG(mode):
            kind = "a folder, not a file" if stat.S_ISDIR(mode) else "a device or a pipe, not a file"
            raise WeightsError(f"{path} is {kind}")
        with path.open("rb") as file:
            start = file.read(512)
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is not there") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}", hint="check its permissions") from error
    if not size:
        raise WeightsError(f"{path} is empty", hint="download or save it again")
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a pointer of Git LFS, not the weights", hint="get them: git lfs pull")
    if _PAGES.match(start):
        raise WeightsError(f"{path} is a web page that was saved under this name", hint="download the file itself")
    is_pickle = start.startswith((b"PK\x03\x04", b"\x80\x02"))
    if is_pickle and path.suffix == ".safetensors":
        raise WeightsError(f"{path} is of PyTorch's own format", hint="give it the ending .pt")
    if start[8:10] == b'{"' and path.suffix != ".safetensors":
        raise WeightsError(f"{path} is of the format of safetensors", hint="give it the ending .safetensors")
    if start.startswith(b"PK"):
        _check_archive(path, size)


def _check_archive(path: Path, size: int) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error):
        return  # PyTorch says what is wrong with it
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise WeightsError(
            f"{path} is a TorchScript program, which is code and not weights; nothing of it was run",
            hint="where you trust it, save torch.jit.load(…).state_dict()",
        )
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > _LARGEST_RATIO * size + 2**20:
        raise WeightsError(f"{path} has {size:,} bytes and would unpack to {unpacked:,}", hint="download it again")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} cannot be read as safetensors: {error}", hint="download or save it again"
        ) from error


def _read_pickled_state(path: Path) -> dict[str, Tensor]:
    content = _read_pickle(path)
    tensors = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if (
        not isinstance(tensors, Mapping)
        or not tensors
        or not all(isinstance(name, str) and _is_plain(tensor) for name, tensor in tensors.items())
    ):
        raise WeightsError(
            f"{path} holds no state dict",
            expected="dense real tensors by name",
            hint="save it as network.state_dict()",
        )
    return dict(tensors)


def _read_pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(_LIGHTNING_DICTS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile pickle may raise anything
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        if refused is None:
            raise WeightsError(f"{path} is damaged or no PyTorch file", hint="download or save it again") from error
        raise WeightsError(
            f"{path} names {refused[1]}, which is code and not weights; nothing of it was run",
            hint="where you trust it, save network.state_dict() from the program that made it",
        ) from error


def _is_plain(tensor: object) -> bool:
    return (
        isinstance(tensor, Tensor)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"  # "meta" has no values
        and not (tensor.is_complex() or tensor.is_quantized)
    )


def _by_its_names(network: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renames the tensors of a file with another naming convention to the names that the network has.

    Raises:
        WeightsError: two tensors would get one name.
    """
    own = network.state_dict().keys()
    for rename in (_out_of_lightning, _from_tutorial):
        if own.isdisjoint(tensors):
            renamed = {rename(name): tensor for name, tensor in tensors.items()}
            if len(renamed) < len(tensors):
                raise WeightsError("two of its tensors are the same one here", hint="save network.state_dict() alone")
            tensors = renamed
    return tensors


def _out_of_lightning(name: str) -> str:
    """Lightning's module holds the network as its attribute `model`."""
    return name.removeprefix("model.")


def _from_tutorial(name: str) -> str:
    for pattern, here in _TUTORIAL_NAMES:
        name = re.sub(pattern, here, name)
    return name
