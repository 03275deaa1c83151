"""What a process and its workers say to each other: pickled messages on the workers' standard input and output.

Both ends are the same program of the same user, so that unpickling runs nothing that is not trusted already.
"""

import io
import pickle
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from convarium.data.splits import Splits
from convarium.runs.store import StoredRun
from convarium.studies.events import StudyEvent
from convarium.studies.executors.shared_data import open_shared
from convarium.studies.executors.work import PlannedUnit
from convarium.studies.unit import Attempt

STOP = "stop"
"""Asks a worker to write a checkpoint and to end its unit."""

END = "end"
"""Asks a worker to end at once."""

OUT_OF_MEMORY = 77
"""The exit code of a worker whose memory did not suffice."""


@dataclass(frozen=True)
class Job:
    """A unit for a worker to carry out.

    Attributes:
        unit: its runs; their splits are sent as references to shared files.
        attempt: whether it is tried again, and may be.
        root: of the store.
        device: on which it trains.
        with_graph: whether the network's graph is written for TensorBoard.
        exact, keep_weights: as in `Work`.
    """

    unit: PlannedUnit
    attempt: Attempt
    root: Path
    device: str
    with_graph: bool
    exact: bool
    keep_weights: int | None


@dataclass(frozen=True)
class Happened:
    """An event of the unit in training."""

    event: StudyEvent


@dataclass(frozen=True)
class Logged:
    """What the library logs, such as that kernels are compiled."""

    level: int
    text: str


@dataclass(frozen=True)
class Ready:
    """The worker has started, and waits for a job."""


@dataclass(frozen=True)
class Done:
    """The runs of the unit are finished; None: another process is training one of them."""

    runs: list[StoredRun] | None


@dataclass(frozen=True)
class Failed:
    """The unit ended in an error; None: it was stopped, and has a checkpoint."""

    error: Exception | None


class Ended:
    """What comes in place of a message when a worker has ended."""


class Channel:
    """The messages that go one way.

    Args:
        stream: into which they are written, by one thread at a time.
        reference: the text that is sent in place of splits; None: splits are sent as they are.
    """

    def __init__(self, stream: IO[bytes], reference: Callable[[Splits], str] | None = None) -> None:
        self.stream, self.reference, self._turn = stream, reference, threading.Lock()

    def pack(self, message: object) -> bytes:
        """A message as it is sent: its length and its pickle.

        Raises:
            OSError: splits cannot be written to shared files.
        """
        content = io.BytesIO()
        pickler = _Pickler(content, pickle.HIGHEST_PROTOCOL)
        pickler.reference = self.reference
        pickler.dump(message)
        return _LENGTH.pack(len(content.getbuffer())) + content.getbuffer()

    def send(self, packed: bytes) -> None:
        """Sends what `pack` returned.

        Raises:
            OSError: the other end is closed.
        """
        with self._turn:
            self.stream.write(packed)
            self.stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """The next message.

    Raises:
        EOFError: the other end is closed, or has ended in the middle of a message.
        OSError: the files of shared splits are gone.
    """
    (length,) = _LENGTH.unpack(_read(stream, _LENGTH.size))
    return _Unpickler(io.BytesIO(_read(stream, length))).load()


def _read(stream: IO[bytes], length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise EOFError
    return content


_LENGTH = struct.Struct("<Q")


class _Pickler(pickle.Pickler):
    reference: Callable[[Splits], str] | None = None

    def persistent_id(self, value: object) -> str | None:
        return self.reference(value) if self.reference and isinstance(value, Splits) else None


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, reference: str) -> Splits:
        return open_shared(reference)
