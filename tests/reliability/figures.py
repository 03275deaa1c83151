"""What the long checks counted: `results/reliability.json`, a field a check."""

import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from convarium.disk import write_json

ROOT = Path(__file__).parents[2]
FILE = ROOT / "results" / "reliability.json"


def add_figures(name: str, figures: dict[str, Any]) -> None:
    """Puts the figures of one check into the file, with the day, the commit and the machine's system."""
    with FileLock(Path(tempfile.gettempdir()) / "convarium-reliability.lock"):  # two checks may end at the same time
        everything = read_figures()
        everything[name] = figures | {"measured": time.strftime("%Y-%m-%d"), "commit": commit(), "system": system()}
        write_json(FILE, dict(sorted(everything.items())))


def read_figures() -> dict[str, Any]:
    """The figures of all checks, by name."""
    return json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}


def ended_well(figures: dict[str, Any]) -> bool:
    """Whether nothing that was promised was broken."""
    return not figures["broken"]


def commit() -> str:
    """The commit of this checkout."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def system() -> str:
    """The operating system and the Python version."""
    return f"{platform.system()}, Python {platform.python_version()}"


class Progress:
    """Prints a line a minute."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def tell(self, text: str) -> None:
        """Prints a text, unless one was printed within the last minute."""
        if time.monotonic() - self.last >= 60:
            self.last = time.monotonic()
            sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
