"""A comparison as a notebook and a document show it.

Tables, charts and the page are drawn by `convarium.pages`, which stands above and imports comparisons. So it is looked
up when one of these functions is called, and a comparison that is not drawn brings none of it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from convarium.analysis.comparison import formatting
from convarium.characters import visible
from convarium.notebook import html_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convarium.analysis.comparison.compare import Comparison

_WARNINGS = 3
"""Warnings that are shown below the table; the page has all."""

Chart: TypeAlias = Any
"""An Altair chart, of whichever class."""

_SHOWN = ("label", "test", "measured", "difference", "verdict", "validation", "seeds", "train_seconds")
"""Columns of a notebook's table, which is narrower than the page's."""


def short(comparison: Comparison) -> str:
    """What the comparison is of, and its answer."""
    runs = sum(len(row.runs) for row in comparison.rows)
    of = f"{formatting.count(len(comparison.rows), 'row')} by {comparison.by}, {formatting.count(runs, 'run')}"
    return visible(f"Comparison of {of} on {comparison.dataset}: {comparison.answer}")


def as_html(comparison: Comparison, *, notes: Sequence[str] = ()) -> str:
    """Question, answer and a small table, as HTML."""
    columns = {column.key: column for column in import_module("convarium.pages.table").columns(comparison)}
    shown = [columns[key] for key in _SHOWN if key in columns]
    cells = [[cell.text for cell in column.cells] for column in shown]
    return html_table(
        [column.heading for column in shown],
        list(zip(*cells, strict=True)),
        title=comparison.question,
        sentences=[comparison.answer],
        notes=[*comparison.warnings[:_WARNINGS], *notes],
        text=[column.heading for column in shown if not column.numeric],
    )


def write_report(comparison: Comparison, path: Path | str) -> Path:
    """See `Comparison.report`."""
    from convarium.disk import usable_path

    made: Path = import_module("convarium.pages.page").write_report(comparison, usable_path(path, "path"))
    return made


def as_document(
    comparison: Comparison, form: str, *, columns: Sequence[str] | None, labels: Mapping[str, str] | None
) -> str:
    """See `Comparison.latex`, `Comparison.markdown` and `Comparison.csv`.

    Args:
        comparison: whose table it is.
        form: "latex", "markdown" or "csv".
        columns, labels: as there.
    """
    write = getattr(import_module("convarium.pages.exports"), f"as_{form}")
    return str(write(comparison, columns=columns, labels=labels or {}))


def chart(comparison: Comparison, name: str, *, width: str | float | None = None) -> Chart:
    """See `Comparison.chart`."""
    drawn: Chart = import_module("convarium.pages.figures").plot(comparison, name, width=width)
    return drawn
