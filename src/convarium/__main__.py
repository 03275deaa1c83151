"""The command `convarium`, and `python -m convarium`: light, so that Ctrl-C is handled while PyTorch is loading."""

import atexit
import gc
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from convarium.characters import prepare_output

_SPIN_COUNT = "10000"
"""How often an idle OpenMP thread looks for work before it sleeps: long enough for the gap between two operations.

By default threads spin for milliseconds, and each barrier waits for a time slice where another process wants the core.
"""


def _open_closed_streams() -> None:
    """Opens the null device in place of standard streams that are closed, as cron and `>&-` leave them.

    Otherwise the next file that is opened takes a stream's number, and what a library prints goes into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - as long as the process lives
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def _give_a_home() -> None:
    """Sets $HOME where the user has none, as in containers: libraries ask for it when they are imported, and raise.

    Nothing can be written below the null device, so what would be kept at home is kept elsewhere or not at all.
    """
    if os.name == "posix" and os.path.expanduser("~") == "~":  # noqa: PTH111 - pathlib's raises
        os.environ["HOME"] = os.devnull


def _end_quickly() -> None:
    """Spares the end of the process a search for garbage, half a second with PyTorch; a second Ctrl-C ends it at once.

    Otherwise that would interrupt the clean-up of some library, which then prints a traceback.
    """
    gc.freeze()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> int:
    """Runs the command line and returns its exit code."""
    _open_closed_streams()
    _give_a_home()
    prepare_output()
    # On Windows, a git.exe in the working folder is not run.
    os.environ.setdefault("NoDefaultCurrentDirectoryInExePath", "1")
    try:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT)  # GNU's OpenMP reads it once, when PyTorch is loaded
        from convarium.cli import main as run
        from convarium.training import tune_memory

        tune_memory()
        return run()
    except KeyboardInterrupt:
        sys.stderr.write("convarium: stopped before anything began\n")
        return 130
    finally:
        atexit.register(_end_quickly)  # last, so that it is the first to be called


if __name__ == "__main__":
    # `python -m` puts the working folder first, where a stranger's module could be taken for one of a library's.
    with suppress(OSError):  # the working folder may be gone
        if not sys.flags.safe_path and sys.path[0] == str(Path.cwd()):
            del sys.path[0]
    sys.exit(main())
