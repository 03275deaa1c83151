"""What a terminal shows of a comparison: answer, table, verdicts, notes."""

import dataclasses
import re
import textwrap

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from convarium.analysis.comparison import Comparison
from convarium.characters import encodable, one_line
from convarium.pages.table import Column, columns

_HEADINGS = {"seeds": "n", "train_seconds": "training, s", "difference": "difference"}
"""Headings that are shorter than the page's."""

_TERMINAL_COLUMNS = ("label", "seeds", "parameters", "test", "validation", "measured", "train_seconds", "difference")
_DROPPED = ("validation", "parameters", "train_seconds", "difference", "seeds")
"""Columns that are left out, in this order, if the terminal is too narrow for all. The report has every column, and the
verdicts below the table have the differences."""

_GAP, _EDGES = 3, 2
"""Characters between two columns of the terminal's table, and at its two sides together."""

_LABEL_WIDTH = 24
"""Characters of a network's name that are written in one line at least."""

_LONGEST_LABEL = 40
"""Characters up to which a name without spaces is not broken, if that fits without columns that may be left out."""

_HEADING_WIDTH = 16
"""Characters of a heading up to which it is written in one line."""

_COLORS = {
    "better": "green",
    "worse": "red",
    "equivalent": "cyan",
    "undecided": "yellow",
    "baseline": "dim",
    "fails more often": "red",
    "fails less often": "green",
    "failed": "red",
}

_NOTES = 3
"""So many notes are shown, fewer where there are warnings: these are all shown, and the report has every note."""

_CANNOT_TELL = re.compile(r" \([\d,]+ seeds? cannot tell\)")

_NO_BREAK = "\N{NO-BREAK SPACE}"


def as_rich(comparison: Comparison) -> RenderableType:
    """What a terminal shows of a comparison: the answer, the table, the verdicts, and the most important notes.

    The rows are sorted by the comparison's metric. Names are shown as text, never as markup. A terminal that is too
    narrow for all columns shows fewer of them: accuracy and difference always fit 60 columns, names and accuracy 40.
    A network of which most runs failed has that word in place of its difference.
    """
    verdicts = [_Paragraph(row.verdict, _COLORS[row.decision]) for row in comparison.ranked if row.verdict]
    warnings = [_Paragraph(text, "yellow") for text in comparison.warnings]
    notes = [_Paragraph(text, "dim") for text in comparison.notes[: max(_NOTES - len(warnings), 0)]]
    answer, gap = _Paragraph(comparison.answer, "bold"), Text("")
    return Group(answer, _TerminalTable(comparison), *verdicts, gap, *warnings, *notes, gap)


class _Paragraph:
    """A text in one style, folded between words, but never between a number and the sign for per cent."""

    def __init__(self, text: str, style: str):
        self.text, self.style = one_line(text), style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        kept = encodable(self.text, options.encoding).replace(" %", f"{_NO_BREAK}%")
        for line in textwrap.wrap(kept, options.max_width, break_on_hyphens=False):
            yield Text(line.replace(_NO_BREAK, " "), self.style, no_wrap=True)


class _TerminalTable:
    """A table whose columns are chosen when it is drawn, as many as fit."""

    def __init__(self, comparison: Comparison):
        self.comparison = dataclasses.replace(comparison, rows=comparison.ranked)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        all_columns = {column.key: _encodable(column, options.encoding) for column in columns(self.comparison)}
        every = [all_columns[key] for key in _TERMINAL_COLUMNS if key in all_columns]
        every = [_briefly(_with_failures(column, self.comparison)) for column in every]
        for longest in (_LONGEST_LABEL, _LABEL_WIDTH):  # a name is folded only where leaving columns out does not help
            shown = list(every)
            for dropped in _DROPPED:
                if _total(shown, longest) > options.max_width:
                    shown = [column for column in shown if column.key != dropped]
            if _total(shown, longest) <= options.max_width:
                break
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=(0, 1))
        for column in shown:
            heading, width = _heading(column), _width(column, longest)
            if column.numeric:  # A fixed width, because rich narrows a column below its least width.
                table.add_column(heading, justify="right", overflow="fold", width=width)
            else:
                table.add_column(heading, overflow="fold", min_width=width)
        for cells in zip(*(column.cells for column in shown), strict=True):
            styles = ("bold" if column.key == self.comparison.split else "" for column in shown)
            table.add_row(*(Text(cell.text, style) for cell, style in zip(cells, styles, strict=True)))
        yield table


def _with_failures(column: Column, comparison: Comparison) -> Column:
    """The differences, with "failed" in the rows of which most runs failed; another column as it is."""
    if column.key != "difference":
        return column
    cells = zip(column.cells, comparison.ranked, strict=True)
    shown = (dataclasses.replace(cell, text="failed") if row.decision == "failed" else cell for cell, row in cells)
    return dataclasses.replace(column, cells=tuple(shown))


def _briefly(column: Column) -> Column:
    """Numbers that the seeds cannot tell in a few characters; the verdicts below the table have the words."""
    brief = r" (cannot tell)" if column.key == "difference" else " ± ?"
    cells = (dataclasses.replace(cell, text=_CANNOT_TELL.sub(brief, cell.text)) for cell in column.cells)
    return dataclasses.replace(column, cells=tuple(cells)) if column.numeric else column


def _encodable(column: Column, encoding: str) -> Column:
    """The column in characters that a terminal's encoding has, before its width is measured."""
    cells = (dataclasses.replace(cell, text=encodable(one_line(cell.text), encoding)) for cell in column.cells)
    return dataclasses.replace(column, heading=encodable(column.heading, encoding), cells=tuple(cells))


def _heading(column: Column) -> Text:
    return Text(column.heading if column.heading == "ratio" else _HEADINGS.get(column.key, column.heading))


def _total(shown: list[Column], longest: int) -> int:
    """The least width of a table with these columns."""
    return sum(_width(column, longest) + _GAP for column in shown) - _GAP + _EDGES


def _width(column: Column, longest: int) -> int:
    """The least width of a column: a long name and a long heading may be folded, a number never."""
    heading = _heading(column).plain
    parts = heading.split() if cell_len(heading) > _HEADING_WIDTH else [heading]
    widest = max(cell_len(text) for text in (*parts, *(cell.text for cell in column.cells)))
    if column.numeric:
        return widest
    word = max((cell_len(word) for cell in column.cells for word in cell.text.split()), default=0)
    return min(widest, max(min(word, longest), _LABEL_WIDTH))
