"""The command `convarium`, and `python -m convarium`: light, so that Ctrl-C is handled while PyTorch is loading."""

import os
import sys
from pathlib import Path

from convarium.characters import prepare_output

_SPIN_COUNT = "10000"
"""How often an idle OpenMP thread looks for work before it sleeps: long enough for the gap between two operations.

By default threads spin for milliseconds, and each barrier waits for a time slice where another process wants the core.
"""


def main() -> int:
    """Runs the command line and returns its exit code."""
    prepare_output()
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
    # `python -m` puts the working folder first, where a stranger's module could be taken for one of a library's.
    if not sys.flags.safe_path and sys.path[0] == str(Path.cwd()):
        del sys.path[0]
    sys.exit(main())
