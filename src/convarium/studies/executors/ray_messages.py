"""What a process and its Ray workers say to each other, and how data sets reach the workers: once for each machine.

The arrays of a data set are objects of Ray's own store, of which each machine keeps one copy that all of its workers
map into memory. Both ends are the same program of the same user, so that unpickling runs nothing that is not trusted
already.
"""

import io
import pickle
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from convarium.data.splits import Splits
from convarium.models.sources import Sources
from convarium.records import Environment, Outcome
from convarium.studies.plan import PlannedRun
from convarium.training import TrainingEvent


@dataclass(frozen=True)
class Hello:
    """What a worker says when it has started.

    Attributes:
        node: the identifier of its machine in the cluster.
        process: the identifier of its process there.
        environment: in which it trains.
    """

    node: str
    process: int
    environment: Environment


@dataclass(frozen=True)
class RayJob:
    """A unit for a worker to fit.

    Attributes:
        runs: its runs; their splits are sent as `PackedSplits`.
        sources: the user's own modules that define their networks, by name.
        has_folder: for each run whether it has a folder, into which checkpoints are to come.
        checkpoints: the content of the runs' checkpoints, by their positions.
        workers: how many units train at the same time.
        device, exact, is_last, keep_weights: as for `fit_runs`.
    """

    runs: Sequence[PlannedRun]
    sources: Mapping[str, Sources]
    has_folder: Sequence[bool]
    checkpoints: Mapping[int, bytes]
    workers: int
    device: str
    exact: bool
    is_last: bool
    keep_weights: int | None


@dataclass(frozen=True)
class Reported:
    """What `fit_runs` reports of a run."""

    member: int
    event: TrainingEvent


@dataclass(frozen=True)
class Checkpoint:
    """A run's new checkpoint."""

    member: int
    content: bytes


@dataclass(frozen=True)
class SetAside:
    """The checkpoint that the run was to go on from is none of its own, or damaged, and gets this name."""

    member: int
    name: str


@dataclass(frozen=True)
class Fitted:
    """What `fit_runs` returned."""

    outcomes: list[Outcome]


@dataclass(frozen=True)
class Raised:
    """What `fit_runs` raised."""

    error: Exception


class PackedSplits(NamedTuple):
    """A data set as it is sent.

    Attributes:
        content: its pickle, in which a tensor is a place in one of the arrays.
        arrays: references to the arrays, each (n,) uint8, in Ray's store.
    """

    content: bytes
    arrays: tuple[Any, ...]


class _Place(NamedTuple):
    """Where the numbers of a tensor are: in which array, and which of its numbers they are."""

    array: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int


class RayData:
    """Puts data sets into Ray's store, each array once however many splits hold it and however many threads ask.

    Args:
        put: `ray.put`.
    """

    def __init__(self, put: Callable[[Any], Any]) -> None:
        self._put = put
        self._packed: dict[int, tuple[Splits, PackedSplits]] = {}
        self._arrays: dict[tuple[int, int], Any] = {}
        self._turn = threading.Lock()

    def pack(self, splits: Splits) -> PackedSplits:
        """The splits as they are sent, from which `open_splits` makes them again."""
        with self._turn:
            if id(splits) not in self._packed:
                content, arrays = io.BytesIO(), dict[tuple[int, int], int]()
                pickler = _TensorPickler(content, pickle.HIGHEST_PROTOCOL)
                pickler.place = lambda tensor: self._place(tensor, arrays)
                pickler.dump(splits)
                references = tuple(self._arrays[memory] for memory in arrays)
                self._packed[id(splits)] = splits, PackedSplits(content.getvalue(), references)
            return self._packed[id(splits)][1]

    def _place(self, tensor: Tensor, arrays: dict[tuple[int, int], int]) -> _Place | None:
        storage = tensor.untyped_storage()
        if not storage.nbytes():
            return None
        memory = storage.data_ptr(), storage.nbytes()
        if memory not in self._arrays:
            self._arrays[memory] = self._put(torch.empty(0, dtype=torch.uint8).set_(storage).numpy())
        array = arrays.setdefault(memory, len(arrays))
        return _Place(array, tensor.dtype, tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()))


def open_splits(packed: PackedSplits, get: Callable[[list[Any]], list[Any]]) -> Splits:
    """The splits that `RayData.pack` packed; their arrays stay in Ray's store, and nothing may be written to them.

    Args:
        packed: the splits.
        get: `ray.get`.
    """
    arrays: list[np.ndarray] = get(list(packed.arrays))
    unpickler = _TensorUnpickler(io.BytesIO(packed.content))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ", category=UserWarning)
        unpickler.arrays = [torch.from_numpy(array) for array in arrays]
    splits: Splits = unpickler.load()
    return splits


def pack_job(job: RayJob, pack: Callable[[Splits], PackedSplits]) -> tuple[bytes, list[PackedSplits]]:
    """A job as it is sent: its pickle, and the data sets of its runs beside it."""
    content, splits = io.BytesIO(), list[PackedSplits]()
    pickler = _JobPickler(content, pickle.HIGHEST_PROTOCOL)
    pickler.pack, pickler.splits = pack, splits
    pickler.dump(job)
    return content.getvalue(), splits


def open_job(content: bytes, splits: Sequence[Splits]) -> RayJob:
    """The job that `pack_job` packed, with these data sets."""
    unpickler = _JobUnpickler(io.BytesIO(content))
    unpickler.splits = splits
    job: RayJob = unpickler.load()
    return job


class _TensorPickler(pickle.Pickler):
    place: Callable[[Tensor], _Place | None]

    def persistent_id(self, value: object) -> _Place | None:
        return self.place(value) if isinstance(value, Tensor) else None


class _TensorUnpickler(pickle.Unpickler):
    arrays: Sequence[Tensor] = ()

    def persistent_load(self, place: _Place) -> Tensor:
        return self.arrays[place.array].view(place.dtype).as_strided(place.shape, place.stride, place.offset)


class _JobPickler(pickle.Pickler):
    pack: Callable[[Splits], PackedSplits]
    splits: list[PackedSplits]

    def persistent_id(self, value: object) -> int | None:
        if not isinstance(value, Splits):
            return None
        packed = self.pack(value)
        if packed not in self.splits:
            self.splits.append(packed)
        return self.splits.index(packed)


class _JobUnpickler(pickle.Unpickler):
    splits: Sequence[Splits] = ()

    def persistent_load(self, number: int) -> Splits:
        return self.splits[number]
