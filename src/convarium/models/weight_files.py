"""Reads files of weights by their content, without running any code of theirs: safetensors and PyTorch's own format.

Of a pickle only tensors, numbers, texts and plain containers are ever constructed. Hyper-parameters that others store
beside their weights (numbers of NumPy, paths, parsed arguments, dates) are passed over; anything else that a pickle
names is refused.
"""

import os
import re
import stat
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from torch import Tensor

from convarium.errors import WeightsError

_LARGEST_RATIO = 4
"""Weights are hardly smaller when they are compressed; what unpacks to more than this is made to fill the memory."""


class WeightFile(NamedTuple):
    """What a file holds.

    Attributes:
        path: of the file.
        state_dicts: tensors by name, on the CPU, under the name that each state dict has in the file; a state dict that
            is not inside of another mapping has the name "".
        metadata: texts of a safetensors file by their names; of others empty.
    """

    path: Path
    state_dicts: dict[str, dict[str, Tensor]]
    metadata: dict[str, str]


def read_weight_file(path: str | os.PathLike[str]) -> WeightFile:
    """Reads a file of any ending. A checkpoint may hold its state dict in a mapping, whatever its name there.

    Args:
        path: of the file; "FILE:NAME" for one of several state dicts in a file.

    Raises:
        WeightsError: the file is missing, damaged, unsafe or of another kind, or holds no such state dict.
    """
    path, name = _file_and_name(path)
    _check_kind(path)
    if _is_safetensors(path):
        return _named(_read_safetensors(path), name)
    content = _read_pickle(path)
    state_dicts = _state_dicts(content) if isinstance(content, Mapping) else {}
    if not state_dicts:
        raise WeightsError(
            f"{path} holds no state dict",
            expected="dense real tensors by name, at the top or one level below",
            hint="save it as network.state_dict()",
        )
    return _named(WeightFile(path, state_dicts, {}), name)


def _file_and_name(path: str | os.PathLike[str]) -> tuple[Path, str | None]:
    whole = Path(path)
    file, colon, name = str(whole).rpartition(":")
    if not colon or os.path.lexists(whole) or not os.path.lexists(file):
        return whole, None
    return Path(file), name


def _named(file: WeightFile, name: str | None) -> WeightFile:
    if name is None:
        return file
    if name not in file.state_dicts:
        there = ", ".join(filter(None, file.state_dicts)) or "only one, without a name"
        raise WeightsError(f"{file.path} holds no state dict {name!r}", expected=there)
    return file._replace(state_dicts={name: file.state_dicts[name]})


def _state_dicts(content: Mapping[Any, Any]) -> dict[str, dict[str, Tensor]]:
    """The state dicts in a pickle, at the top or one level below."""
    mappings = {"": content} | {str(name): value for name, value in content.items() if isinstance(value, Mapping)}
    found = {}
    for name, mapping in mappings.items():
        tensors = {key: value for key, value in mapping.items() if isinstance(value, Tensor)}
        if tensors and all(isinstance(key, str) and _is_plain(tensor) for key, tensor in tensors.items()):
            found[name] = tensors
    return found


def _is_plain(tensor: Tensor) -> bool:
    return (
        tensor.layout == torch.strided
        and tensor.device.type == "cpu"  # "meta" has no values
        and not (tensor.is_complex() or tensor.is_quantized)
    )


_PAGES = re.compile(rb"\s*<(!doctype|html|head|\?xml)", re.IGNORECASE)
_OTHER_KINDS = {
    b"\x89HDF": ("an HDF5 file, as Keras writes it", "convert it to safetensors"),
    b"GGUF": ("a GGUF file", "convert it to safetensors"),
    b"\x1f\x8b": ("compressed by gzip", "unpack it: gunzip"),
    b"BZh": ("compressed by bzip2", "unpack it: bunzip2"),
    b"\xfd7zXZ\x00": ("compressed by xz", "unpack it: unxz"),
    b"\x93NUMPY": ("an array of NumPy", "save the weights by name as safetensors"),
}
"""What begins a file of another kind, what it is, and what to do."""


def _check_kind(path: Path) -> None:
    """Refuses what is known not to be weights from its first bytes or its table of contents.

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
    for beginning, (kind, hint) in _OTHER_KINDS.items():
        if start.startswith(beginning):
            raise WeightsError(f"{path} is {kind}", hint=hint)
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


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors does, with the length of a header; one of no known form by its ending."""
    with path.open("rb") as file:
        start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    if start[8:] == b"{" and length <= path.stat().st_size - 8:
        return True
    return path.suffix == ".safetensors" and not start.startswith((b"PK\x03\x04", b"\x80"))


def _read_safetensors(path: Path) -> WeightFile:
    try:
        with safetensors.safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
            return WeightFile(path, {"": tensors}, dict(file.metadata() or {}))
    except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} cannot be read as safetensors: {error}", hint="download or save it again"
        ) from error


class _PassedOver:
    """Stands where a pickle names something harmless that is no weight; whatever it is made of is dropped."""

    __slots__ = ()

    def __new__(cls, *_: object) -> "_PassedOver":
        return super().__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


_PASSED_OVER = (
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *("numpy.dtype", "numpy.ndarray"),
    *("argparse.Namespace", "types.SimpleNamespace", "torch.torch_version.TorchVersion"),
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *("decimal.Decimal", "fractions.Fraction", "uuid.UUID"),
    *(f"builtins.{name}" for name in ("dict", "float", "frozenset", "int", "list", "range", "slice", "str")),
    *(
        f"pathlib.{name}"
        for name in ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath")
    ),
    *("pathlib._local.PosixPath", "pathlib._local.WindowsPath"),  # as Python 3.13 calls them
)
_LIGHTNING_DICTS = (
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
)
"""Lightning pickles hyper-parameters as a subclass of dict with one of these names; a plain dict is built instead."""


def _dict_of_defaults(*_: object) -> dict[Any, Any]:
    """Stands for `collections.defaultdict`, without what would make its defaults; its entries follow."""
    return {}


def _read_pickle(path: Path) -> Any:
    known: list[Any] = [(dict, name) for name in _LIGHTNING_DICTS] + [(_PassedOver, name) for name in _PASSED_OVER]
    known.append((_dict_of_defaults, "collections.defaultdict"))
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            torch.serialization.safe_globals(known),
            path.open("rb") as file,  # of a path, PyTorch would look at the ending
        ):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile pickle may raise anything
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        if refused is None:
            raise WeightsError(f"{path} is damaged or no PyTorch file", hint="download or save it again") from error
        raise WeightsError(
            f"{path} names {refused[1]}, which is code and not weights; nothing of it was run",
            hint="where you trust it, save network.state_dict() from the program that made it",
        ) from error
