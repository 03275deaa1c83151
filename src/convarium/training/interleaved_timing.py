"""Timing in turns: every contestant has a process of its own, and while one trains, the others pause after a step.

In a process of its own a contestant has its own threads, memory and PyTorch settings, as it would have alone. Because
it pauses instead of ending, its next turn continues with everything that it has built.
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

from convarium.errors import ConvariumError
from convarium.runs.environment import synchronize
from convarium.runs.timings import TimedTurn

WARM_UP_SECONDS = 1.0
OPENMP_SPIN_COUNT = "300000"
"""GOMP_SPINCOUNT as GNU's OpenMP takes it if nothing is set."""

OnStep = Callable[[int], object]
"""Called after every training step with the number of images in it."""

Contestant = Callable[[OnStep], None]
"""Trains without end and calls its argument after every step. It is sent to its process by pickle."""

Turn = Callable[[float], TimedTurn]
"""Trains for about so many seconds and returns what that was."""

Name = TypeVar("Name")


@contextmanager
def interleaved(
    contestants: Mapping[Name, Contestant], device: torch.device, *, default_openmp: Container[Name] = ()
) -> Iterator[dict[Name, Turn]]:
    """Starts the contestants and gives their turns; each has made its first steps, is warmed up and pauses.

    Args:
        contestants: by name.
        device: the device on which they train.
        default_openmp: the names of the contestants whose threads wait for each other as OpenMP's default has it.

    Raises:
        ConvariumError: a contestant ended by itself, here or in a turn.
    """
    context = get_context("spawn")
    processes: list[BaseProcess] = []
    connections: dict[Name, Connection] = {}
    method = get_start_method(allow_none=True)
    with ExitStack() as stack:
        stack.push(lambda error, *_: _end(processes, patience=5 if error is None else 0))
        for name in contestants:
            parent, child = context.Pipe()
            connections[name] = stack.enter_context(parent)
            process = context.Process(target=_train, args=(child, device, torch.get_num_threads(), method))
            with _default_spin_count() if name in default_openmp else nullcontext():
                start_process(process)
            processes.append(process)
            child.close()
        for name, contestant in contestants.items():
            # Bytes, because multiprocessing would share a tensor's memory instead of copying it.
            connections[name].send_bytes(pickle.dumps(contestant))
        turns: dict[Name, Turn] = {name: partial(_turn, connection) for name, connection in connections.items()}
        for turn in turns.values():
            turn(0.0)
        yield turns


def measure_pairs(
    turns: Mapping[Name, Turn], *, pairs: int, seconds: float, on_pair: Callable[[int], object] | None = None
) -> dict[Name, tuple[TimedTurn, ...]]:
    """Gives every contestant `pairs` turns and returns them.

    Every pair begins with another contestant, so that a drift of the machine's speed affects all alike.

    Args:
        turns: by contestant.
        pairs: the number of turns of each.
        seconds: about how long a turn is; it has one step at least.
        on_pair: called before every pair with its number, from 0.
    """
    names = list(turns)
    taken: dict[Name, list[TimedTurn]] = {name: [] for name in names}
    for pair in range(pairs):
        if on_pair:
            on_pair(pair)
        first = pair % len(names)
        for name in names[first:] + names[:first]:
            taken[name].append(turns[name](seconds))
    return {name: tuple(each) for name, each in taken.items()}


def stopwatch(
    wait: Callable[[], float],
    report: Callable[[TimedTurn], object],
    device: torch.device | str = "cpu",
    *,
    clock: Callable[[], float] = time.perf_counter,
    processor_clock: Callable[[], float] = time.process_time,
) -> Generator[None, int, None]:
    """A generator to which a contestant sends the images of each step: it warms up, times a turn, and pauses.

    A contestant whose steps are as long as a warm-up needs none: a network of 224 pixels takes seconds a step.

    Args:
        wait: blocks until the contestant's next turn and returns its length in seconds.
        report: called with what a turn was.
        device: the device on which the contestant trains.
        clock, processor_clock: return seconds, the latter those that processors spent on this process.
    """
    yield
    step_seconds = 0.0
    while True:
        seconds, began = wait(), clock()
        if step_seconds < WARM_UP_SECONDS:
            yield
            while clock() - began < WARM_UP_SECONDS:
                yield
        synchronize(device)
        began, busy, steps = clock(), processor_clock(), 1
        images = yield
        while clock() - began < seconds:
            images += yield
            steps += 1
        synchronize(device)
        elapsed = clock() - began
        step_seconds = elapsed / steps
        report(TimedTurn(images, elapsed, processor_clock() - busy))


def start_process(process: BaseProcess) -> None:
    """Starts a process that ignores Ctrl-C from its first moment on; the parent receives it and ends the process."""
    if current_thread() is not main_thread():
        process.start()  # only the main thread receives Ctrl-C
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, handler)


def receive(connection: Connection) -> Any:
    """Returns what a contestant's process sends.

    Raises:
        ConvariumError: the process sent this error, or ended without sending anything.
    """
    try:
        answer = connection.recv()
    except (EOFError, ConnectionError):
        hint = 'see its own message above; a script must start this under if __name__ == "__main__":'
        raise ConvariumError("a benchmark process ended by itself", hint=hint) from None
    if isinstance(answer, ConvariumError):
        raise answer
    return answer


@contextmanager
def _default_spin_count() -> Iterator[None]:
    before = os.environ.get("GOMP_SPINCOUNT")
    os.environ["GOMP_SPINCOUNT"] = OPENMP_SPIN_COUNT
    try:
        yield
    finally:
        del os.environ["GOMP_SPINCOUNT"]
        if before is not None:
            os.environ["GOMP_SPINCOUNT"] = before


def _turn(connection: Connection, seconds: float) -> TimedTurn:
    with suppress(ConnectionError):  # the reason why the process ended can still be received
        connection.send(seconds)
    turn: TimedTurn = receive(connection)
    return turn


def _end(processes: Sequence[BaseProcess], *, patience: float) -> None:
    """Waits so many seconds for each process that pauses, whose connection is closed, and ends those that train."""
    for process in processes:
        process.join(patience)
        process.terminate()
        process.join()


def _train(connection: Connection, device: torch.device, threads: int, method: str | None) -> None:
    """The whole life of a contestant's process."""
    torch.set_num_threads(threads)
    set_start_method(method, force=True)  # for a DataLoader's workers: as anywhere else, not as for this process
    watch = stopwatch(connection.recv, connection.send, device)
    next(watch)
    try:
        contestant: Contestant = pickle.loads(connection.recv_bytes())  # noqa: S301 - made by `interleaved`
    except (EOFError, OSError):
        return  # the timing was called off
    try:
        contestant(watch.send)
    except (EOFError, ConnectionError):
        return  # there are no more turns
    except ConvariumError as error:
        connection.send(ConvariumError(str(error)))
