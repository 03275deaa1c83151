"""Writers of one store that take turns: before each of their operations on files and locks one may be stopped.

Every writer is a thread of this process that works with a `Store` of its own, which locks as a process does. A hook
that Python calls before each operation hands the turn back, and a policy says whose turn is next.
"""

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from convarium.studies import carry_out

_OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "os.scandir", "fcntl.flock")
_PATIENCE = 1000
"""Turns in a row in which every writer waits for another, after which none will ever go on."""

Policy = Callable[["Turns"], int]
"""Chooses the writer whose turn is next, among those that have not ended."""


class Writer(threading.Thread):
    """One writer: it works while it has the turn, and hands it back before each operation."""

    def __init__(self, work: Callable[[], object], root: Path, turns: "Turns") -> None:
        super().__init__(daemon=True)
        self.work, self.root, self.turns = work, str(root), turns
        self.turn = threading.Semaphore(0)
        self.operations: list[str] = []
        self.error: BaseException | None = None
        self.waits = self.ended = False

    def run(self) -> None:
        self.turn.acquire()
        try:
            self.work()
        except BaseException as error:
            self.error = error
        self.ended = True
        self.turns.back.release()

    def stop(self, operation: str, *, waits: bool = False) -> None:
        """Hands the turn back before an operation, and returns when this writer has it again."""
        self.operations.append(operation)
        self.waits = waits
        self.turns.back.release()
        self.turn.acquire()
        self.waits = False


class Turns:
    """The writers, and the one whose turn it is."""

    def __init__(self, works: Sequence[Callable[[], object]], root: Path) -> None:
        self.back = threading.Semaphore(0)
        self.writers = [Writer(work, root, self) for work in works]
        self.given = 0

    @property
    def working(self) -> list[int]:
        """The writers that have not ended."""
        return [number for number, writer in enumerate(self.writers) if not writer.ended]

    def give(self, number: int) -> None:
        """Lets a writer work until its next operation."""
        self.given += 1
        self.writers[number].turn.release()
        self.back.acquire()


def take_turns(works: Sequence[Callable[[], object]], root: Path, policy: Policy) -> Turns:
    """Runs the writers to their ends, one operation at a time, and raises what one of them raised.

    Args:
        works: what each writer does.
        root: the store; operations elsewhere stop nobody.
        policy: chooses whose turn is next.
    """
    turns = Turns(works, root)
    with _hooked():
        for writer in turns.writers:
            writer.start()
        patience = _PATIENCE
        while turns.working:
            turns.give(policy(turns))
            patience = patience - 1 if all(turns.writers[n].waits for n in turns.working) else _PATIENCE
            assert patience, f"every writer waits, before {[w.operations[-3:] for w in turns.writers]}"
    for writer in turns.writers:
        if writer.error:
            raise writer.error
    return turns


def stopped_at(stop: int) -> Policy:
    """The first writer is stopped before its operation number `stop`; the others then go as far as they can without it,
    each until it ends or waits.
    """

    def policy(turns: Turns) -> int:
        first, working = turns.writers[0], turns.working
        if 0 in working and len(first.operations) < stop:
            return 0
        free = [number for number in working if number and not turns.writers[number].waits]
        if free:
            return free[0]
        if 0 in working and not first.waits:
            return 0
        return working[turns.given % len(working)]

    return policy


def at_random(seed: int) -> Policy:
    """Whose turn is next is drawn before every operation."""
    draw = random.Random(seed)
    return lambda turns: draw.choice(turns.working)


_hook_added = False


def _on_operation(event: str, arguments: tuple[object, ...]) -> None:
    writer = threading.current_thread()
    if event not in _OPERATIONS or not isinstance(writer, Writer):
        return
    if event == "fcntl.flock" or str(arguments[0]).startswith(writer.root):
        writer.stop(f"{event} {arguments[0]}")


@contextmanager
def _hooked() -> Iterator[None]:
    """Has writers stop before operations, and hand the turn back where they would sleep."""
    global _hook_added
    if not _hook_added:  # it cannot be removed, and does nothing for other threads
        sys.addaudithook(_on_operation)
        _hook_added = True

    unhooked = time.sleep

    def sleep(seconds: float) -> None:
        writer = threading.current_thread()
        writer.stop("sleep", waits=True) if isinstance(writer, Writer) else unhooked(seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(carry_out, "sleep", sleep)
        patch.setattr(time, "sleep", sleep)  # as `filelock` calls it
        yield
