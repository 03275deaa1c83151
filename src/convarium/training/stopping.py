"""How training ends before its last epoch: between two steps, with a checkpoint, after Ctrl-C or a signal to terminate.

A second Ctrl-C ends it at once.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Signals that ask a process to end; no platform has all of them."""


class TrainingStoppedError(Exception):
    """Training has ended because it was asked to, after its checkpoint was written."""


class TerminatedError(KeyboardInterrupt):
    """What a signal to terminate raises, as Ctrl-C raises KeyboardInterrupt.

    Attributes:
        exit_code: 128 plus the signal's number, as a shell reports it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.exit_code = 128 + number


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether the process was asked to end, by Ctrl-C or by a signal to terminate.

    Inside, the first such signal is only noted, so that whoever asks the function can first put its work away. A
    second Ctrl-C raises KeyboardInterrupt at once. Signals that the program ignores or handles in its own way stay as
    they are, and so do all of them outside of the main thread, where Python delivers none. Afterwards they are
    handled as before.

    Raises:
        KeyboardInterrupt: on leaving, after Ctrl-C.
        TerminatedError: on leaving, after another signal.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    try:
        with _handled(note, _NAMES):
            yield lambda: bool(received)
    except TrainingStoppedError:
        if not received:  # something else has asked training to stop
            raise
    if received:
        raise _interruption(received[0])


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, Ctrl-C raises KeyboardInterrupt and a signal to terminate TerminatedError, whatever code is interrupted.

    A module in C that is interrupted while it is imported raises an ImportError in its place, which is replaced.
    """
    interrupt = _Interrupt()
    try:
        with _handled(interrupt, _NAMES):
            yield
    except Exception:
        if interrupt.number is None:
            raise
        raise _interruption(interrupt.number) from None


class _Interrupt:
    """A handler that raises what the signal stands for, and remembers it."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG002
        self.number = number
        raise _interruption(number)


def _interruption(number: int) -> KeyboardInterrupt:
    return KeyboardInterrupt() if number == signal.SIGINT else TerminatedError(number)


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], object], names: tuple[str, ...]) -> Iterator[None]:
    """Inside, the handler gets the signals that end a process here."""
    before = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
                current = signal.getsignal(number)
                if current in (signal.SIG_DFL, signal.default_int_handler) or isinstance(current, _Interrupt):
                    before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
