"""How the first of several machines says to the others what to train, and how it has ended.

They meet at MASTER_ADDR and MASTER_PORT, where it listens while it has something to say, once to each machine.
"""

import io
import json
import os
import secrets
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import safetensors.torch

from convarium.errors import RecipeError
from convarium.training.starting import StartWeights
from convarium.training.stopping import TrainingStoppedError

CONNECTING = 10.0
"""Seconds in which a machine that is there answers."""

LOOK_SECONDS = 0.2
"""How often it is looked whether another machine is there."""

_LENGTH = struct.Struct(">Q")
_TAKEN = b"1"
_NAME_BYTES = 16

Message = tuple[dict[str, Any], StartWeights | None]
"""What the first machine says: a run to train, with the weights that it starts from, or how it has ended."""


def new_name() -> bytes:
    """A name for a machine, by which the first one knows what it has been told."""
    return secrets.token_bytes(_NAME_BYTES)


def tell(nodes: int, facts: str, tensors: bytes, *, patience: float, should_stop: Callable[[], bool]) -> bool:
    """Waits until all other machines have taken a message; returns whether they have.

    Raises:
        TrainingStoppedError: `should_stop` answered True meanwhile.
    """
    ends, taken = time.monotonic() + patience, set[bytes]()
    with socket.create_server(("", meeting_place()[1])) as server:
        server.settimeout(LOOK_SECONDS)
        while len(taken) < nodes - 1 and time.monotonic() < ends:
            if should_stop():
                raise TrainingStoppedError
            with suppress(OSError):  # nobody is there yet, or it is gone again
                connection, _ = server.accept()
                connection.settimeout(CONNECTING)
                with connection, connection.makefile("rwb") as stream:
                    name = _read(stream, _NAME_BYTES)
                    if name in taken:  # it asks for the next message already
                        continue
                    for part in (facts.encode(), tensors):
                        stream.write(_LENGTH.pack(len(part)) + part)
                    stream.flush()
                    if stream.read(1) == _TAKEN:
                        taken.add(name)
    return len(taken) == nodes - 1


def receive(name: bytes, patience: float) -> Message | None:
    """The next message of the first machine; None: it has said nothing for so many seconds.

    Args:
        name: of this machine, by which the first one knows what it has been told.
        patience: in seconds; 0 to ask once.
    """
    ends = time.monotonic() + patience
    while True:
        try:
            connection = socket.create_connection(meeting_place(), CONNECTING)
            with connection, connection.makefile("rwb") as stream:
                stream.write(name)
                stream.flush()
                text, tensors = (_read_part(stream) for _ in range(2))
                stream.write(_TAKEN)
        except OSError:  # it is not there yet, or busy with the run before
            if time.monotonic() >= ends:
                return None
            time.sleep(LOOK_SECONDS)
            continue
        facts = json.loads(text)
        if not tensors:
            return facts, None
        known = facts["start"]
        weights = safetensors.torch.load(tensors)
        return facts, StartWeights(known["name"], known["digest"], weights, frozenset(known["new"]))


def _read_part(stream: io.BufferedRWPair) -> bytes:
    (length,) = _LENGTH.unpack(_read(stream, _LENGTH.size))
    return _read(stream, length)


def _read(stream: io.BufferedRWPair, length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise ConnectionError("the first machine is gone")
    return content


def meeting_place() -> tuple[str, int]:
    """Address and port of the first machine.

    Raises:
        RecipeError: the environment does not name them.
    """
    address, port = (os.environ.get(name) for name in ("MASTER_ADDR", "MASTER_PORT"))
    if not address or not port or not port.isdecimal():
        raise RecipeError(
            "several nodes need MASTER_ADDR and MASTER_PORT in the environment",
            hint="set them on each machine to the first one's address and a free port of it, and NODE_RANK to 0, 1, …",
        )
    return address, int(port)
