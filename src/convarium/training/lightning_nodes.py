"""The processes and machines that train a run together with the process that calls `fit`, which has the first device.

It starts a process for each other device of its machine. On other machines the same command is given, with NODE_RANK 1,
2, … in its environment, and MASTER_ADDR and MASTER_PORT on all: there it serves the first machine (`serve_node`), which
tells it what to train. No other machine needs the store; each reads the data set by itself. The network between them is
trusted, as PyTorch trusts it (https://docs.pytorch.org/docs/stable/distributed.html).
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import safetensors.torch
import torch

from convarium.data.splits import Splits
from convarium.errors import RunError, TimeLimitError
from convarium.recipes.recipe import Recipe, recipe_from_json
from convarium.training.engines import LightningEngine
from convarium.training.lightning_messages import (
    CONNECTING,
    LOOK_SECONDS,
    Message,
    meeting_place,
    new_name,
    receive,
    tell,
)
from convarium.training.lightning_ranks import Job, Rank

PATIENCE = 1800.0
"""Seconds that machines wait for each other."""

_TRAINED, _TIME_OVER, _STOPPED, _FAILED = "trained", "time over", "stopped", "failed"
"""How the first machine has ended, as it tells the others."""

_STOPS = (_TIME_OVER, _STOPPED)

_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


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
        where["MASTER_ADDR"] = meeting_place()[0]
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
    name = new_name()
    told = receive(name, PATIENCE)
    while told is not None and "ended" not in told[0]:
        told = _train_as_told(told, name, engine, read_splits, device=device)
    if told is None:
        raise RunError(
            "the first machine does not answer at {}:{}".format(*meeting_place()),
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
    where = {"MASTER_ADDR": meeting_place()[0], "MASTER_PORT": facts["port"], "NODE_RANK": os.environ["NODE_RANK"]}
    processes = [Rank(job, rank, where) for rank in range(engine.devices)]
    then: Message | None = None
    try:
        # A device may wait for a first machine that is gone until its network gives up, which takes minutes.
        while any(process.is_running for process in processes) and _ended(then) in (None, _TRAINED):
            processes[0].wait(LOOK_SECONDS)
            then = then or receive(name, 0)
        if _ended(then) not in _STOPS:
            lost = next(filter(None, (process.loss() for process in processes)), None)
            if lost and _ended(then := then or receive(name, CONNECTING)) not in _STOPS:
                raise RunError(lost)
    finally:
        for process in processes:
            process.close()
    return then or receive(name, PATIENCE)


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
                tell(nodes, json.dumps({"ended": ended}), b"", patience=CONNECTING, should_stop=lambda: False)


def _hand_over(job: Job, *, port: str, should_stop: Callable[[], bool]) -> None:
    """Tells the other machines what to train now, and on which port all devices meet."""
    facts: dict[str, Any] = {"recipe": job.recipe.to_json(), "digest": job.splits.digest, "port": port}
    tensors = b""
    if job.start is not None:
        facts["start"] = {"name": job.start.name, "digest": job.start.digest, "new": sorted(job.start.new)}
        tensors = safetensors.torch.save(dict(job.start.tensors))
    if not tell(job.engine.nodes, json.dumps(facts), tensors, patience=PATIENCE, should_stop=should_stop):
        raise RunError(
            f"not all of the {job.engine.nodes} machines answer",
            hint="give the same command on each, with NODE_RANK, MASTER_ADDR and MASTER_PORT",
        )
