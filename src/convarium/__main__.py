"""The command `convarium`, and `python -m convarium`: light, so that Ctrl-C is handled while PyTorch is loading."""

import io
import os
import sys

_SPIN_COUNT = "10000"
"""How often an idle OpenMP thread looks for work before it sleeps: long enough for the gap between two operations.

By default threads spin for milliseconds, and each barrier waits for a time slice where another process wants the core.
"""


def main() -> int:
    """Runs the command line and returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without × or … shows a question mark in its place
            stream.reconfigure(errors="replace")
    try:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT)  # GNU's OpenMP reads it once, when PyTorch is loaded
        from convarium.cli import main as run
        from convarium.training import tune_memory

        tune_memory()
        return run()
    except KeyboardInterrupt:
        sys.stderr.write("convarium: stopped before anything began\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
