"""Compilers that do harm, and one that copies a library: shell scripts named gcc."""

import os
import shlex
from pathlib import Path

OUTPUT = 'while [ "$1" != -o ]; do shift; done; output=$2'
"""Shell: the file that the compiler is to write."""


class FakeCompiler:
    """A gcc that writes a line into a file whenever it is called.

    Attributes:
        path: of the script.
        calls: of the file.
    """

    def __init__(self, folder: Path, script: str) -> None:
        folder.mkdir(exist_ok=True)
        self.path, self.calls = folder / "gcc", folder / "calls"
        self.write(script)

    def write(self, script: str) -> None:
        """Replaces what the compiler does."""
        self.path.write_text(f"#!/bin/sh\necho call >> {shlex.quote(os.fspath(self.calls))}\n{OUTPUT}\n{script}\n")
        self.path.chmod(0o755)

    @property
    def count(self) -> int:
        """How often it was called."""
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0


def copying(library: Path) -> str:
    """The script of a compiler that is ready at once: it writes this library."""
    return f'cp {shlex.quote(os.fspath(library))} "$output"'
