"""The processes and machines that train a run together with the process that calls `fit`, which has the first device.

It starts a process for each other device of its machine. On other machines the same command is given, with NODE_RANK 1,
2, … in its environment, and MASTER_ADDR and MASTER_PORT on all: there it serves the first machine (`serve_node`), which
tells it what to train. No other machine needs the store; each reads the data set by itself. The network between them is
trusted, as PyTorch trusts it (https://docs.pytorch.org/docs/stable/distributed.html).
"""

import io
import json
import os
import secrets
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import safetensors.torch
import torch

from convarium.data.splits import Splits
from convarium.errors import RecipeError, RunError, TimeLimitError
from convarium.recipes.recipe import Recipe, recipe_from_json
from convarium.training.engines import LightningEngine
from convarium.training.lightning_ranks import Job, Rank
from convarium.training.starting import StartWeights
from convarium.training.stopping import TrainingStoppedError

PATIENCE = 1800.0
"""Seconds that machines wait for each other."""

_CONNECTING = 10.0
_LOOK_SECONDS = 0.2
_LENGTH = struct.Struct(">Q")
_TAKEN = b"1"
_NAME_BYTES = 16
_TRAINED, _TIME_OVER, _STOPPED, _FAILED = "trained", "time over", "stopped", "failed"
"""How the first machine has ended, as it tells the others."""

_STOPS = (_TIME_OVER, _STOPPED)

_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

Message = tuple[dict[str, Any], StartWeights | None]
"""What the first machine says: a run to train, with the weights that it starts from, or how it has ended."""


@contextmanager
def other_ranks(job: Job, should_stop: Callable[[], bool]) -> Iterator[None]:
    """Inside, the other devices wait for this process, the first, to train with them.

    Args:
        job: what they train.
        should_stop: asked while other machines are waited for.

    Raises:
        RunError: one of them has ended before the run, or a machine does not answer.
    """
    if job.engine.world_size == 1:
        yield
        return
    from lightning.fabric.plugins.environments.lightning import find_free_network_port

    before = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port()), "NODE_RANK": "0"}
    if job.engine.nodes > 1:
        where["MASTER_ADDR"] = _meeting_place()[0]
        _hand_over(job, port=where["MASTER_PORT"], should_stop=should_stop)
    processes = [Rank(job, rank, where) for rank in range(1, job.engine.devices)]
    os.environ.update({"LOCAL_RANK": "0"} | where)
    try:
        yield
        for process in processes:
            process.wait()
    except RuntimeError as error:
        lost = next(filter(None, (process.loss() for process in processes)), None)
        if lost:
            hint = "give the same command again, which goes on from the last checkpoint"
            raise RunError(lost, hint=hint) from error
        raise
    finally:
        for process in processes:
            process.close()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for name in _VARIABLES:
            os.environ.pop(name, None)
        os.environ.update(before)


def serve_node(engine: LightningEngine, read_splits: Callable[[Recipe], Splits], *, device: torch.device) -> None:
    """Trains on the devices of this machine what the first machine says, until it says that it has ended.

    Args:
        engine: the same as on the first machine.
        read_splits: reads the data set of a recipe.
        device: of which kind the devices are.

    Raises:
        RunError: the first machine does not answer, has other data or has not trained all, or a device's process has
            ended.
        TimeLimitError: the time limit of the first machine is reached.
    """
    name = secrets.token_bytes(_NAME_BYTES)
    told = _receive(name, PATIENCE)
    while told is not None and "ended" not in told[0]:
        told = _train_as_told(told, name, engine, read_splits, device=device)
    if told is None:
        raise RunError(
            "the first machine does not answer at {}:{}".format(*_meeting_place()),
            hint="give the same command there, with NODE_RANK=0, or MASTER_ADDR and MASTER_PORT of its own",
        )
    ended, again = (
        told[0]["ended"],
        "give the same command again on each machine, which goes on from the last checkpoint",
    )
    if ended == _TIME_OVER:
        raise TimeLimitError("the time limit of the first machine is reached", hint=again)
    if ended != _TRAINED:
        how = "was stopped" if ended == _STOPPED else "has ended with an error"
        raise RunError(f"the first machine {how} before all was trained", hint=again)


def _train_as_told(
    told: Message,
    name: bytes,
    engine: LightningEngine,
    read_splits: Callable[[Recipe], Splits],
    *,
    device: torch.device,
) -> Message | None:
    """Trains one run on the devices of this machine; returns what the first machine says next, None: nothing."""
    facts, start = told
    recipe = recipe_from_json(facts["recipe"])
    splits = read_splits(recipe)
    if splits.digest != facts["digest"]:
        raise RunError(
            f"the images of {recipe.dataset} are others here than on the first machine",
            expected=f"SHA-256 {facts['digest']}",
            received=splits.digest,
        )
    job = Job(recipe, splits, engine, device.type, start)
    where = {"MASTER_ADDR": _meeting_place()[0], "MASTER_PORT": facts["port"], "NODE_RANK": os.environ["NODE_RANK"]}
    processes = [Rank(job, rank, where) for rank in range(engine.devices)]
    then: Message | None = None
    try:
        # A device may wait for a first machine that is gone until its network gives up, which takes minutes.
        while any(process.is_running for process in processes) and _ended(then) in (None, _TRAINED):
            processes[0].wait(_LOOK_SECONDS)
            then = then or _receive(name, 0)
        if _ended(then) not in _STOPS:
            lost = next(filter(None, (process.loss() for process in processes)), None)
            if lost and _ended(then := then or _receive(name, _CONNECTING)) not in _STOPS:
                raise RunError(lost)
    finally:
        for process in processes:
            process.close()
    return then or _receive(name, PATIENCE)


def _ended(told: Message | None) -> str | None:
    """How the first machine has ended; None: it has not said that it has."""
    return told[0].get("ended") if told else None


@contextmanager
def ending_nodes(nodes: int) -> Iterator[None]:
    """Tells the other machines afterwards, on the first one, how it has ended."""
    ended = _FAILED
    try:
        yield
        ended = _TRAINED
    except TimeLimitError:
        ended = _TIME_OVER
        raise
    except KeyboardInterrupt:
        ended = _STOPPED
        raise
    finally:
        if nodes > 1:
            with suppress(OSError):
                _tell(nodes, json.dumps({"ended": ended}), b"", patience=_CONNECTING, should_stop=lambda: False)


def _hand_over(job: Job, *, port: str, should_stop: Callable[[], bool]) -> None:
    """Tells the other machines what to train now, and on which port all devices meet."""
    facts: dict[str, Any] = {"recipe": job.recipe.to_json(), "digest": job.splits.digest, "port": port}
    tensors = b""
    if job.start is not None:
        facts["start"] = {"name": job.start.name, "digest": job.start.digest, "new": sorted(job.start.new)}
        tensors = safetensors.torch.save(dict(job.start.tensors))
    if not _tell(job.engine.nodes, json.dumps(facts), tensors, patience=PATIENCE, should_stop=should_stop):
        raise RunError(
            f"not all of the {job.engine.nodes} machines answer",
            hint="give the same command on each, with NODE_RANK, MASTER_ADDR and MASTER_PORT",
        )


def _tell(nodes: int, facts: str, tensors: bytes, *, patience: float, should_stop: Callable[[], bool]) -> bool:
    """Waits until all other machines have taken a message; returns whether they have.

    Raises:
        TrainingStoppedError: `should_stop` answered True meanwhile.
    """
    ends, taken = time.monotonic() + patience, set[bytes]()
    with socket.create_server(("", _meeting_place()[1])) as server:
        server.settimeout(_LOOK_SECONDS)
        while len(taken) < nodes - 1 and time.monotonic() < ends:
            if should_stop():
                raise TrainingStoppedError
            with suppress(OSError):  # nobody is there yet, or it is gone again
                connection, _ = server.accept()
                connection.settimeout(_CONNECTING)
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


def _receive(name: bytes, patience: float) -> Message | None:
    """The next message of the first machine; None: it has said nothing for so many seconds.

    Args:
        name: of this machine, by which the first one knows what it has been told.
        patience: in seconds; 0 to ask once.
    """
    ends = time.monotonic() + patience
    while True:
        try:
            connection = socket.create_connection(_meeting_place(), _CONNECTING)
            with connection, connection.makefile("rwb") as stream:
                stream.write(name)
                stream.flush()
                text, tensors = (_read_part(stream) for _ in range(2))
                stream.write(_TAKEN)
        except OSError:  # it is not there yet, or busy with the run before
            if time.monotonic() >= ends:
                return None
            time.sleep(_LOOK_SECONDS)
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


def _meeting_place() -> tuple[str, int]:
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
