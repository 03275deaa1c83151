"""What the command line shows: answers on standard output, notes on standard error; `progress` draws the bars.

rich is imported where something is drawn: help and complaints do without it.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from convarium.characters import encodable, one_line, visible, visible_json

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table

_NARROWEST = 20


def say(answer: str | RenderableType, *, mark: str = "") -> None:
    """Prints one text, or something that rich can draw, on standard output.

    Args:
        answer: a text is printed as it is; a drawing is as wide as the terminal, or 80 columns without one.
        mark: what stands before every line, such as "[reduced] ".
    """
    if isinstance(answer, str):
        lines = encodable(visible(answer), sys.stdout.encoding).split("\n")
    else:
        console = console_on(sys.stdout)
        if console.is_terminal and not mark:
            console.print(_Shown(answer))
            return
        lines = drawn_lines(answer, console.width - len(mark))
    sys.stdout.write("".join(f"{mark}{line}\n" for line in lines))


def say_wrapped(text: str, *, mark: str = "", indent: str = "    ") -> None:
    """Prints a sentence, folded between words where it is wider than the terminal, or than 80 columns without one."""
    width = console_on(sys.stdout).width - len(mark)
    lines = textwrap.wrap(_tied(text), width, subsequent_indent=indent, break_on_hyphens=False)
    say(_untied("\n".join(lines)), mark=mark)


def say_line(text: str) -> None:
    """Prints a sentence on standard output; a terminal gets it folded between words, a file or a pipe in one line."""
    sys.stdout.write(f"{_folded(text, sys.stdout)}\n")


def note(text: str) -> None:
    """Prints a note on standard error; a terminal gets it folded between words, a file or a pipe in one line."""
    sys.stderr.write(f"{_folded(text, sys.stderr)}\n")
    sys.stderr.flush()


def _folded(text: str, stream: TextIO) -> str:
    text = encodable(visible(text), stream.encoding)
    if not stream.isatty():
        return text
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except OSError:
        columns = 0
    return _untied(textwrap.fill(_tied(text), columns or 80, break_long_words=False, break_on_hyphens=False))


_NO_BREAK = "\N{NO-BREAK SPACE}"


def _tied(text: str) -> str:
    """A text that is not folded between a number and the sign for per cent."""
    return text.replace(" %", f"{_NO_BREAK}%")


def _untied(text: str) -> str:
    return text.replace(f"{_NO_BREAK}%", " %")


@contextmanager
def log_as_notes() -> Iterator[None]:
    """Inside, what the library logs, such as that kernels are compiled, is shown as notes."""
    import logging  # only where a command runs: help and complaints do without it

    log, handler = logging.getLogger("convarium"), logging.StreamHandler(_Notes())
    handler.terminator = ""
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)


class _Notes:
    """Standard error as a stream of notes, also where a bar is drawn there."""

    def write(self, text: str) -> None:
        note(text)

    def flush(self) -> None: ...


def say_json(value: Any) -> None:
    """Prints one JSON value on standard output, for machines."""
    encodes_all = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    text = json.dumps(value, indent=1, ensure_ascii=not encodes_all, allow_nan=False)
    sys.stdout.write(visible_json(text) + "\n")


def columns_of_terminal() -> int:
    """The width of standard output: 80 without a terminal."""
    return console_on(sys.stdout).width


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """A plain table; the columns named in `right` are aligned to the right, and a tuple is a cell of several lines."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, header_style="bold")
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(escape("\n".join(map(one_line, _lines(cell)))) for cell in row))
    return drawn


def console_on(stream: Any) -> Console:
    """A console as wide as the terminal, or as 80 columns without one."""
    from rich.console import Console

    console = Console(file=stream, highlight=False)
    if console.width < _NARROWEST:  # COLUMNS=0, in which nothing could be shown
        console.width = 80
    return console


def can_redraw(stream: Any) -> bool:
    """Whether lines can be drawn again in place: on a terminal that can move its cursor, and nowhere else.

    FORCE_COLOR asks for colors in a pipe; a bar that is drawn again and again has no place there.
    """
    return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def drawn_lines(drawing: RenderableType, width: int) -> list[str]:
    """What rich draws in so many columns, as lines of plain text in characters that standard output can encode."""
    from rich.console import Console

    console = Console(file=sys.stdout, width=width, highlight=False, force_terminal=False)
    with console.capture() as captured:
        console.print(_Shown(drawing))
    return [line.rstrip() for line in captured.get().splitlines()]


def _lines(cell: object) -> tuple[object, ...]:
    if isinstance(cell, tuple):
        return cell
    return () if cell is None else (cell,)


class _Shown:
    """A drawing whose texts have no control characters, and only characters that the console can encode."""

    def __init__(self, drawing: Any) -> None:
        self._drawing = drawing

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.console import Group
        from rich.segment import Segment
        from rich.table import Table
        from rich.text import Text

        def shown(text: str) -> str:
            return encodable(visible(text), options.encoding)

        def cell(content: Any) -> Any:
            if isinstance(content, Text):
                content.plain = shown(content.plain)
                return content
            return shown(content) if isinstance(content, str) else content

        match self._drawing:
            case Group():
                yield from map(_Shown, self._drawing.renderables)
            case Table():
                for column in self._drawing.columns:
                    column.header, column._cells = cell(column.header), list(map(cell, column.cells))
                yield self._drawing
            case str() | Text():
                yield cell(self._drawing)
            case Segment():
                yield self._drawing if self._drawing.control else self._drawing._replace(text=shown(self._drawing.text))
            case _:  # a drawing of our own is asked for its parts
                yield from map(_Shown, self._drawing.__rich_console__(console, options))
