"""A page whose tables are measurements: their figures lie in a file of results/, and the page is written from there.

A measurement is a function without arguments in a module beside this one. It returns the rows of its table, all with
the same columns: texts, whole numbers, and other numbers, which the page shows with three digits, and of per cent with
one decimal at most. A long one yields its rows so far again and again; each time they are put down.
"""

import importlib
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from convarium.benchmark.tables import describe, table
from convarium.disk import write_json, write_text
from convarium.runs.environment import environment

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class MeasuredPage:
    """A page, its figures, and what makes them.

    Attributes:
        name: of the script, of the file of figures and of the page: own_images.
        measurements: the module beside this one and the function that make each measurement, by the name that the
            page knows it by.
    """

    name: str
    measurements: Mapping[str, str]

    @property
    def file(self) -> Path:
        """Where the figures lie."""
        return ROOT / "results" / f"{self.name}.json"

    @property
    def page(self) -> Path:
        """The page."""
        return ROOT / "docs" / f"{self.name.replace('_', '-')}.md"


def measure(page: MeasuredPage, name: str) -> None:
    """Makes a measurement and puts its table into the file of figures, with the machine and the commit."""
    module, _, function = page.measurements[name].partition(":")
    made = getattr(importlib.import_module(module), function)()
    lock = Path(tempfile.gettempdir()) / f"convarium-{page.name}.lock"
    for rows in made if isinstance(made, Iterator) else [made]:
        found = {name: {"rows": rows, "where": describe(environment("cpu"))}}
        with FileLock(lock):  # another measurement may end at the same time
            write_json(page.file, dict(sorted((read_figures(page) | found).items())))


def read_figures(page: MeasuredPage) -> dict[str, Any]:
    """The tables of all measurements that were made, by name."""
    return json.loads(page.file.read_text("utf-8")) if page.file.exists() else {}


def with_tables(page: MeasuredPage, text: str, figures: Mapping[str, Any]) -> str:
    """The text of the page with each measurement's table between its two markers."""
    for name, found in figures.items():
        before, marker, rest = text.partition(begin(name))
        _, end, after = rest.partition(END)
        if not marker or not end:
            raise SystemExit(f"{page.page} has no line {begin(name)}, with a line {END} after it")
        text = "\n".join([before + marker, "", *lines(page, name, found), "", end + after])
    return text


def begin(name: str) -> str:
    """The line of the page below which a measurement's table stands."""
    return f"<!-- figures: {name} -->"


END = "<!-- end of figures -->"


def lines(page: MeasuredPage, name: str, found: Mapping[str, Any]) -> list[str]:
    """A measurement's table, and how it was made."""
    rows = [
        {column: shown(value, most=1 if "%" in column else 6) for column, value in row.items()} for row in found["rows"]
    ]
    texts = [column for column, value in found["rows"][0].items() if isinstance(value, str)]
    return [*table(rows, texts), "", f"`python benchmarks/{page.name}.py {name}`: {found['where']}."]


def shown(value: str | float | None, *, most: int = 6) -> str:
    """A cell of a table, with so many decimals at most."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or value == 0 or not math.isfinite(value):
        return f"{value:,}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, most)}f}" if min(digits, most) < 6 else f"{value:.1e}"


def main(page: MeasuredPage, names: Sequence[str]) -> None:
    """Makes the measurements that are named, or writes the page."""
    for name in names:
        if name == "page":
            write_text(page.page, with_tables(page, page.page.read_text("utf-8"), read_figures(page)))
        elif name in page.measurements:
            measure(page, name)
        else:
            raise SystemExit(f"there is no measurement {name!r}; there are {', '.join(page.measurements)}, and page")
    if not names:
        sys.stdout.write("\n".join([*page.measurements, "page"]) + "\n")
