"""The command `convarium`, and `python -m convarium`: light, so that Ctrl-C is heard while PyTorch is loading."""

import sys


def main() -> int:
    """Runs the command line and returns its exit code."""
    try:
        from convarium.cli import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("convarium: stopped before anything began\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
