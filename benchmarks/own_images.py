"""The figures of docs/own-images.md: each table is one measurement, made by its name.

    python benchmarks/own_images.py                lists the measurements
    python benchmarks/own_images.py NAME...        makes them; the results go into results/own_images.json
    python benchmarks/own_images.py page           writes the tables of docs/own-images.md anew from there

A measurement is a function without arguments in a module beside this one. It returns the rows of its table, all with
the same columns: texts, whole numbers, and other numbers, which the page shows with three digits.
"""

import importlib
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from convarium.benchmark.tables import describe, table
from convarium.disk import write_json, write_text
from convarium.runs.environment import environment

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "results" / "own_images.json"
PAGE = ROOT / "docs" / "own-images.md"

MEASUREMENTS = {
    "class_weights": "imbalance:class_weights",
    "second_reading": "reading:second_reading",
    "first_reading": "reading:first_reading",
    "larger_than_memory": "memory:larger_than_memory",
    "recommend": "recommendation:coverage",
    "predicting": "predicting:predicting",
    "unknown": "unknown_images:unknown",
    "start_from": "starting:start_from",
    "exported": "exporting:exported",
}
"""The module beside this one and the function that make each measurement."""


def measure(name: str) -> None:
    """Makes a measurement and puts its table into FILE, with the machine and the commit."""
    module, _, function = MEASUREMENTS[name].partition(":")
    rows = getattr(importlib.import_module(module), function)()
    where = environment("cpu")
    with FileLock(
        Path(tempfile.gettempdir()) / "convarium-own-images.lock"
    ):  # another measurement may end at the same time
        write_json(FILE, dict(sorted((read_figures() | {name: {"rows": rows, "where": describe(where)}}).items())))


def read_figures() -> dict[str, Any]:
    """The tables of all measurements that were made, by name."""
    return json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}


def with_tables(text: str, figures: dict[str, Any]) -> str:
    """The text of the page with each measurement's table between its two markers."""
    for name, found in figures.items():
        before, marker, rest = text.partition(begin(name))
        _, end, after = rest.partition(END)
        if not marker or not end:
            raise SystemExit(f"{PAGE} has no line {begin(name)}, with a line {END} after it")
        text = "\n".join([before + marker, "", *lines(name, found), "", end + after])
    return text


def begin(name: str) -> str:
    """The line of the page below which a measurement's table stands."""
    return f"<!-- figures: {name} -->"


END = "<!-- end of figures -->"


def lines(name: str, found: dict[str, Any]) -> list[str]:
    """A measurement's table, and how it was made."""
    rows = [{column: shown(value) for column, value in row.items()} for row in found["rows"]]
    texts = [column for column, value in found["rows"][0].items() if isinstance(value, str)]
    return [*table(rows, texts), "", f"`python benchmarks/own_images.py {name}`: {found['where']}."]


def shown(value: str | float | None) -> str:
    """A cell of a table."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or value == 0 or not math.isfinite(value):
        return f"{value:,}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}" if digits < 6 else f"{value:.1e}"


def main(names: Sequence[str]) -> None:
    """Makes the measurements that are named, or writes the page."""
    for name in names:
        if name == "page":
            write_text(PAGE, with_tables(PAGE.read_text("utf-8"), read_figures()))
        elif name in MEASUREMENTS:
            measure(name)
        else:
            raise SystemExit(f"there is no measurement {name!r}; there are {', '.join(MEASUREMENTS)}, and page")
    if not names:
        sys.stdout.write("\n".join([*MEASUREMENTS, "page"]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
