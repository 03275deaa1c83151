"""A terminal of its own for a process: a pseudo-terminal of any width, which Windows does not have."""

import os
import re
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable

import pytest

needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="there is no pseudo-terminal")


def in_terminal(show: Callable[[], object], *, columns: int, term: str = "xterm") -> tuple[int, str]:
    """Calls a function in a copy of this process whose standard streams are a terminal.

    Args:
        show: what is called; it should compute no tensors, whose threads the copy lacks.
        columns: the width of the terminal.
        term: what the terminal is called.

    Returns:
        The exit code, 0 or 1, and what was written to the terminal.
    """
    import pty
    import termios

    here, there = pty.openpty()
    termios.tcsetwinsize(there, (24, columns))
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a copy of a process with threads
        child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(here)
            os.login_tty(there)
            for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
                os.environ.pop(name, None)
            os.environ["TERM"] = term
            sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
            show()
            sys.stdout.flush()
            sys.stderr.flush()
            code = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(there)
    written, end = b"", time.monotonic() + 60
    while select.select([here], [], [], max(0, end - time.monotonic()))[0]:
        try:
            part = os.read(here, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
    else:
        os.kill(child, signal.SIGKILL)  # so that nobody waits for it without end
    os.close(here)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), written.decode("utf-8", "replace")


def shown_lines(written: str) -> list[str]:
    """The lines as they stood at some time, without colors and movements."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    return [line.rstrip() for line in re.split(r"[\r\n]", text) if line.strip()]
