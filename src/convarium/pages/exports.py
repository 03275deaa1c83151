"""The main table of a comparison for the terminal, for documents (Markdown, LaTeX) and for other programs (CSV)."""

import dataclasses

import pandas as pd
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from convarium.analysis.comparison import Comparison
from convarium.analysis.comparison.formatting import escape_markdown
from convarium.characters import encodable, one_line
from convarium.pages.highlights import answer
from convarium.pages.table import Cell, Column, caption, columns

_HEADINGS = {"seeds": "n", "train_seconds": "training, s", "difference": "difference"}
"""Headings that are shorter than the page's."""

_TERMINAL_COLUMNS = ("label", "seeds", "parameters", "test", "validation", "measured", "train_seconds", "difference")
_DROPPED = ("validation", "parameters", "train_seconds")
"""Columns that are left out, in this order, if the terminal is too narrow for all. The report has every column."""

_GAP, _EDGES = 3, 2
"""Characters between two columns of the terminal's table, and at its two sides together."""

_LABEL_WIDTH = 24
"""Characters of a network's name that are written in one line at least."""

_HEADING_WIDTH = 16
"""Characters of a heading up to which it is written in one line."""

_COLORS = {"better": "green", "worse": "red", "equivalent": "cyan", "undecided": "yellow", "baseline": "dim"}


def as_rich(comparison: Comparison) -> RenderableType:
    """The table for a terminal, with the verdicts below it. Names are shown as text, never as markup.

    A terminal that is too narrow for all columns shows fewer of them: accuracy and difference always fit 60 columns.
    """
    verdicts = [Text(row.verdict, style=_COLORS[row.decision]) for row in comparison.rows if row.verdict]
    question = [Text(one_line(comparison.question), "bold")] if comparison.question else []
    notes = [Text(note, "dim") for note in (caption(comparison), *comparison.notes)]
    return Group(*question, _TerminalTable(comparison), *verdicts, Text(""), *notes)


class _TerminalTable:
    """A table whose columns are chosen when it is drawn, as many as fit."""

    def __init__(self, comparison: Comparison):
        self.comparison = comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        all_columns = {column.key: _encodable(column, options.encoding) for column in columns(self.comparison)}
        shown = [all_columns[key] for key in _TERMINAL_COLUMNS if key in all_columns]
        for dropped in _DROPPED:
            if sum(_width(column) + _GAP for column in shown) - _GAP + _EDGES > options.max_width:
                shown = [column for column in shown if column.key != dropped]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=(0, 1))
        for column in shown:
            heading, width = _heading(column), _width(column)
            if column.numeric:  # A fixed width, because rich narrows a column below its least width.
                table.add_column(heading, justify="right", overflow="fold", width=width)
            else:
                table.add_column(heading, overflow="fold", min_width=width)
        for cells in _rows(tuple(shown)):
            styles = ("bold" if column.key == self.comparison.split else "" for column in shown)
            table.add_row(*(Text(cell.text, style) for cell, style in zip(cells, styles, strict=True)))
        yield table


def _encodable(column: Column, encoding: str) -> Column:
    """The column in characters that a terminal's encoding has, before its width is measured."""
    cells = (dataclasses.replace(cell, text=encodable(one_line(cell.text), encoding)) for cell in column.cells)
    return dataclasses.replace(column, heading=encodable(column.heading, encoding), cells=tuple(cells))


def _heading(column: Column) -> Text:
    return Text(_HEADINGS.get(column.key, column.heading))


def _width(column: Column) -> int:
    """The least width of a column: a long name and a long heading may be folded, a number never."""
    heading = _heading(column).plain
    parts = heading.split() if cell_len(heading) > _HEADING_WIDTH else [heading]
    widest = max(cell_len(text) for text in (*parts, *(cell.text for cell in column.cells)))
    return widest if column.numeric else min(widest, _LABEL_WIDTH)


def as_markdown(comparison: Comparison) -> str:
    """The table in GitHub's Markdown, with question and answer above and verdicts below."""
    shown = columns(comparison)
    head = "| " + " | ".join(escape_markdown(column.heading) for column in shown) + " |"
    rule = "| " + " | ".join("---:" if column.numeric else "---" for column in shown) + " |"
    body = ["| " + " | ".join(escape_markdown(cell.text) for cell in cells) + " |" for cells in _rows(shown)]
    above = [f"**{escape_markdown(comparison.question)}**", ""] if comparison.question else []
    verdicts = [f"- {escape_markdown(row.verdict)}" for row in comparison.rows if row.verdict]
    return "\n".join([*above, escape_markdown(answer(comparison)), "", head, rule, *body, "",
                      escape_markdown(caption(comparison)), "", *verdicts]) + "\n"  # fmt: skip


def as_csv(comparison: Comparison) -> str:
    """The rows of the comparison as comma-separated values: accuracies as fractions of 1, nothing rounded."""
    return frame_as_csv(comparison.frame("rows"))


def frame_as_csv(frame: pd.DataFrame) -> str:
    """A table as comma-separated values, UTF-8 when it is written.

    A text that a spreadsheet would compute as a formula, because it begins with =, +, -, @ or a tab, gets an apostrophe
    before it. Numbers stay numbers.
    """
    texts = frame.select_dtypes(exclude=["number", "bool"])
    guarded = {str(name): column.map(_without_formula) for name, column in texts.items()}
    return str(frame.assign(**guarded).to_csv(index=False, lineterminator="\n"))


def _without_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_latex(comparison: Comparison) -> str:
    """The table as a LaTeX `tabular` with the package booktabs, with question, answer and caption as comments above."""
    shown = columns(comparison)
    comments = [comparison.question, answer(comparison), caption(comparison)]
    head = [f"% {' '.join(line.split())}" for line in comments if line]
    lines = [" & ".join(_latex(cell.text) for cell in cells) + r" \\" for cells in _rows(shown)]
    return "\n".join([
        *head,
        r"\begin{tabular}{" + "".join("r" if column.numeric else "l" for column in shown) + "}",
        r"\toprule",
        " & ".join(_latex(column.heading) for column in shown) + r" \\",
        r"\midrule",
        *lines,
        r"\bottomrule",
        r"\end{tabular}",
    ]) + "\n"  # fmt: skip


def _rows(shown: tuple[Column, ...]) -> list[tuple[Cell, ...]]:
    return list(zip(*(column.cells for column in shown), strict=True))


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$", "–": "--", "†": r"$\dagger$",
    "×": r"$\times$", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
