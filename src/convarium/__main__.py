"""The command `convarium`, and `python -m convarium`: light, so that Ctrl-C is handled while PyTorch is loading."""

import io
import sys


def main() -> int:
    """Runs the command line and returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without × or … shows a question mark in its place
            stream.reconfigure(errors="replace")
    try:
        from convarium.cli import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("convarium: stopped before anything began\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
