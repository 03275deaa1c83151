"""What a notebook shows: small tables in HTML, and one display that is updated in place.

IPython is used where it runs already, and never imported first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from html import escape
from importlib import import_module
from typing import Any

from convarium.characters import one_line

MOST_ROWS = 20
"""Rows of a table that a notebook shows; of the others it says how many there are."""

MOST_SENTENCES = 6
"""Sentences about what goes on that stand in one display, the latest of them."""

_SECONDS_BETWEEN = 0.3
"""Between two updates of a display. A notebook keeps up with a few a second, and a browser far away does too."""

_CELL = "padding:0.15em 0.8em 0.15em 0;text-align:{}"
"""No colors: a notebook's own are readable, in a light theme and in a dark one."""


def is_notebook() -> bool:
    """Whether this process shows HTML: Jupyter, VS Code, Colab; not a script, nor IPython in a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def html_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    title: str = "",
    sentences: Sequence[str] = (),
    notes: Sequence[str] = (),
    text: Sequence[str] = (),
) -> str:
    """A small table as a notebook shows it, after a sentence. All texts are escaped.

    Args:
        columns: the headings.
        rows: one cell a column; None is an empty cell. At most `MOST_ROWS` are shown.
        title: a line in bold above everything.
        sentences: what is said before the table.
        notes: what is said after it, in smaller letters.
        text: the columns beside the first that hold no numbers, and are aligned at the left.
    """
    parts = [f"<b>{_text(title)}</b>"] if title else []
    parts += [_text(sentence) for sentence in sentences]
    lines = [f"<div>{part}</div>" for part in parts]
    if rows:
        align = ["left" if i == 0 or name in text else "right" for i, name in enumerate(columns)]
        lines.append('<table style="margin:0.5em 0">')
        lines.append(f"<thead><tr>{_cells('th', columns, align)}</tr></thead>")
        lines += ["<tbody>", *(f"<tr>{_cells('td', row, align)}</tr>" for row in rows[:MOST_ROWS]), "</tbody></table>"]
    if len(rows) > MOST_ROWS:
        notes = (f"and {len(rows) - MOST_ROWS:,} more", *notes)
    lines += [f"<div><small>{_text(note)}</small></div>" for note in notes]
    return "<div>" + "\n".join(lines) + "</div>"


class UpdatedDisplay:
    """One output of a cell that is replaced as work goes on, a few times a second at most.

    Args:
        seconds: the least time between two updates.
    """

    def __init__(self, *, seconds: float = _SECONDS_BETWEEN) -> None:
        self._seconds, self._next = seconds, 0.0
        self._handle: Any = None

    def is_due(self) -> bool:
        """Whether enough time has passed since the last update."""
        return time.monotonic() >= self._next

    def show(self, lines: Sequence[str], share: float | None = None) -> None:
        """Replaces what is shown, at once.

        Args:
            lines: of text, the last beside the bar.
            share: of the bar that is filled, 0 to 1; None: there is no bar.
        """
        self._next = time.monotonic() + self._seconds
        bar = "" if share is None else f'<progress max="1" value="{share:.4f}"></progress> '
        bars = [*[""] * (len(lines) - 1), bar]
        html = "".join(f"<div>{before}{_text(line)}</div>" for before, line in zip(bars, lines, strict=True))
        bundle = {"text/plain": "\n".join(map(one_line, lines)), "text/html": html}
        if self._handle is None:
            display = import_module("IPython.display").display  # the kernel has imported it
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def counting_display() -> Callable[[str, int, int], None] | None:
    """A listener to downloads and to the reading of images that shows a bar in a notebook; None elsewhere."""
    if not is_notebook():
        return None
    display = UpdatedDisplay()

    def on_event(what: str, done: int, total: int) -> None:
        if display.is_due() or done >= total:
            display.show([f"{what}  {100 * done / total:.0f} %" if total else what], done / total if total else None)

    return on_event


def sentence_display() -> Callable[[str], None] | None:
    """A listener to sentences, of which a notebook shows the latest; None elsewhere."""
    if not is_notebook():
        return None
    display, sentences = UpdatedDisplay(), list[str]()

    def on_event(sentence: str) -> None:
        sentences.append(sentence)
        display.show(sentences[-MOST_SENTENCES:])

    return on_event


def _cells(tag: str, cells: Sequence[object], align: Sequence[str]) -> str:
    return "".join(
        f'<{tag} style="{_CELL.format(side)}">{"" if cell is None else _text(cell)}</{tag}>'
        for cell, side in zip(cells, align, strict=True)
    )


def _text(value: object) -> str:
    return escape(one_line(value))
