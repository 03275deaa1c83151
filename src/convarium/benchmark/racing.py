"""Sides of a race, each in a process of its own, that take turns: while one trains, the others rest after a step.

A process of its own means that a side has its own threads, memory and PyTorch settings, as it has them where nothing
else runs; that it rests instead of ending means that its next turn goes on with what it has built.
"""

import os
import pickle
import signal
import time
from collections.abc import Callable, Container, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from multiprocessing import get_context, get_start_method, set_start_method
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from threading import current_thread, main_thread
from typing import Any, TypeVar

import torch

from convarium.benchmark.machine import synchronize
from convarium.errors import ConvariumError

WARM_UP_SECONDS = 1.0
OPENMP_SPINCOUNT = "300000"
"""What GNU's OpenMP takes where nothing is set."""

Tick = Callable[[int], object]
"""Called after every step with the images that were trained in it."""

Side = Callable[[Tick], None]
"""Trains without end. It goes to its process through pickle."""

Turn = Callable[[float], float]
"""(seconds) → images a second in a turn of about that length."""

Name = TypeVar("Name")


@contextmanager
def racing(
    sides: Mapping[Name, Side], device: torch.device, *, untuned: Container[Name] = ()
) -> Iterator[dict[Name, Turn]]:
    """The turns of all sides, each of which has begun, warmed up and rests.

    Args:
        sides: by name.
        device: on which they train.
        untuned: the sides whose threads wait as OpenMP has them wait where Convarium is not imported.

    Raises:
        ConvariumError: a side ended by itself, here or in a turn.
    """
    context = get_context("spawn")
    processes: list[BaseProcess] = []
    connections: dict[Name, Connection] = {}
    method = get_start_method(allow_none=True)
    with ExitStack() as stack:
        stack.push(lambda error, *_: _end(processes, patience=5 if error is None else 0))
        for name in sides:
            ours, theirs = context.Pipe()
            connections[name] = stack.enter_context(ours)
            process = context.Process(target=_train, args=(theirs, device, torch.get_num_threads(), method))
            with _openmp_untuned() if name in untuned else nullcontext():
                start(process)
            processes.append(process)
            theirs.close()
        for name, side in sides.items():
            # Bytes, because multiprocessing would share a tensor's memory instead of copying it.
            connections[name].send_bytes(pickle.dumps(side))
        turns: dict[Name, Turn] = {name: partial(_turn, connection) for name, connection in connections.items()}
        for turn in turns.values():
            turn(0.0)
        yield turns


def alternate(turns: Mapping[Name, Turn], *, pairs: int, seconds: float) -> dict[Name, tuple[float, ...]]:
    """Images a second of every side, pair by pair; every pair begins with another side, in turn."""
    names = list(turns)
    rates: dict[Name, list[float]] = {name: [0.0] * pairs for name in names}
    for pair in range(pairs):
        first = pair % len(names)
        for name in names[first:] + names[:first]:
            rates[name][pair] = turns[name](seconds)
    return {name: tuple(figures) for name, figures in rates.items()}


def stopwatch(
    wait: Callable[[], float],
    report: Callable[[float], object],
    device: torch.device | str = "cpu",
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[None, int, None]:
    """What a side's steps are sent to: it warms up, times a turn, and rests in the last step of it.

    Args:
        wait: until it is this side's turn, and for how many seconds.
        report: takes the images a second.
        device: on which the side trains.
        clock: in seconds.
    """
    yield
    while True:
        seconds, began = wait(), clock()
        yield
        while clock() - began < WARM_UP_SECONDS:
            yield
        synchronize(device)
        began = clock()
        images = yield
        while clock() - began < seconds:
            images += yield
        synchronize(device)
        report(images / (clock() - began))


def start(process: BaseProcess) -> None:
    """Starts a process that is deaf to Ctrl-C from its first moment on: this one hears it, and ends the other."""
    if current_thread() is not main_thread():
        process.start()  # only the main thread hears Ctrl-C at all
        return
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, heard)


@contextmanager
def _openmp_untuned() -> Iterator[None]:
    tuned = os.environ["GOMP_SPINCOUNT"]
    os.environ["GOMP_SPINCOUNT"] = OPENMP_SPINCOUNT
    try:
        yield
    finally:
        os.environ["GOMP_SPINCOUNT"] = tuned


def answer_of(connection: Connection) -> Any:
    """What a process says, or the ConvariumError that it came to.

    Raises:
        ConvariumError: also where it ended without a word.
    """
    try:
        answer = connection.recv()
    except (EOFError, ConnectionError):
        hint = 'see its own message above; a script must start this under if __name__ == "__main__":'
        raise ConvariumError("the process of a side ended by itself", hint=hint) from None
    if isinstance(answer, ConvariumError):
        raise answer
    return answer


def _turn(connection: Connection, seconds: float) -> float:
    with suppress(ConnectionError):  # why it has ended can still be read
        connection.send(seconds)
    rate: float = answer_of(connection)
    return rate


def _end(processes: Sequence[BaseProcess], *, patience: float) -> None:
    """Waits so many seconds for each process that rests, whose connection is closed, and ends those that train."""
    for process in processes:
        process.join(patience)
        process.terminate()
        process.join()


def _train(connection: Connection, device: torch.device, threads: int, method: str | None) -> None:
    """A side's process, from its beginning to its end."""
    torch.set_num_threads(threads)
    set_start_method(method, force=True)  # of a DataLoader's workers: as anywhere else, not as of this process
    watch = stopwatch(connection.recv, connection.send, device)
    next(watch)
    try:
        side: Side = pickle.loads(connection.recv_bytes())  # noqa: S301 - what `racing` made
    except (EOFError, OSError):
        return  # the race was called off
    try:
        side(watch.send)
    except (EOFError, ConnectionError):
        return  # there are no more turns
    except ConvariumError as error:
        connection.send(ConvariumError(str(error)))
