"""Signals while Lightning trains: it takes those that ask the process to end, and gets them taken back."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_handlers: dict[int, Any] = {}
"""How signals were handled before Lightning took them."""


@contextmanager
def own_signals() -> Iterator[None]:
    """Signals are handled as before, inside from `take_signals_back` on, and afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _handlers.update({number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)})
    try:
        yield
    finally:
        take_signals_back()
        _handlers.clear()


def take_signals_back() -> None:
    """Handles signals again as before Lightning took them; outside of `own_signals` nothing happens."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in _handlers.items():
            signal.signal(number, handler)
