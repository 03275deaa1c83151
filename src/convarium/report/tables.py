"""The table of a comparison for the terminal, for documents and for other programs."""

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from convarium.comparison import Comparison
from convarium.report.cells import Cell, Column, answer, caption, columns

_HEADINGS = {"seeds": "n", "train_seconds": "training, s", "difference": "difference"}
"""Shorter than the page's own."""

_TERMINAL = ("label", "seeds", "parameters", "test", "validation", "measured", "train_seconds", "difference")
_DROPPED = ("validation", "parameters", "train_seconds")
"""What a terminal leaves out where it is too narrow, in this order; the report has everything."""

_COLOUR = {"better": "green", "worse": "red", "equivalent": "cyan", "undecided": "yellow", "baseline": "dim"}


def as_rich(comparison: Comparison) -> RenderableType:
    """The table for a terminal, whole in 100 columns, with the verdicts below it; names are text, never markup."""
    verdicts = [Text(row.verdict, style=_COLOUR[row.decision]) for row in comparison.rows if row.verdict]
    question = [Text(comparison.question, "bold")] if comparison.question else []
    notes = [Text(note, "dim") for note in (caption(comparison), *comparison.notes)]
    return Group(*question, _TerminalTable(comparison), *verdicts, Text(""), *notes)


class _TerminalTable:
    """As many columns as the terminal has room for, decided when it is drawn."""

    def __init__(self, comparison: Comparison):
        self.comparison = comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = {column.key: column for column in columns(self.comparison) if column.key in _TERMINAL}
        table = _terminal_table([shown[key] for key in _TERMINAL if key in shown])
        for key in _DROPPED:
            if console.measure(table, options=options.update(width=10_000)).maximum <= options.max_width:
                break
            del shown[key]
            table = _terminal_table([shown[key] for key in _TERMINAL if key in shown])
        yield table


def _terminal_table(shown: list[Column]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=(0, 1))
    for column in shown:
        heading = Text(_HEADINGS.get(column.key, column.heading))
        if column.numeric:
            table.add_column(heading, justify="right", no_wrap=column.key != "measured")
        else:
            table.add_column(heading, overflow="fold", max_width=30)
    for cells in _rows(tuple(shown)):
        texts = (Text(cell.text, "bold" if c.key == "test" else "") for c, cell in zip(shown, cells, strict=True))
        table.add_row(*texts)
    return table


def as_markdown(comparison: Comparison) -> str:
    """The table in GitHub's Markdown, question and answer above, verdicts below."""
    shown = columns(comparison)
    head = "| " + " | ".join(_markdown(column.heading) for column in shown) + " |"
    rule = "| " + " | ".join("---:" if column.numeric else "---" for column in shown) + " |"
    body = ["| " + " | ".join(_markdown(cell.text) for cell in cells) + " |" for cells in _rows(shown)]
    above = [f"**{_markdown(comparison.question)}**", ""] if comparison.question else []
    verdicts = [f"- {_markdown(row.verdict)}" for row in comparison.rows if row.verdict]
    return "\n".join([*above, _markdown(answer(comparison)), "", head, rule, *body, "",
                      _markdown(caption(comparison)), "", *verdicts]) + "\n"  # fmt: skip


def as_csv(comparison: Comparison) -> str:
    """The rows of the comparison as comma-separated numbers, accuracies as fractions of 1, nothing rounded."""
    return comparison.frame("rows").to_csv(index=False, lineterminator="\n")


def as_latex(comparison: Comparison) -> str:
    """The table as a `tabular` for LaTeX with the package booktabs; what the numbers are stands in comments above."""
    shown = columns(comparison)
    told = [comparison.question, answer(comparison), caption(comparison)]
    head = [f"% {' '.join(line.split())}" for line in told if line]
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


def _markdown(text: str) -> str:
    """A table's cell: no line breaks, and nothing that Markdown or HTML would read as its own."""
    text = " ".join(text.split())
    for special in ("\\", "|", "*", "_", "`", "<", "[", "]"):
        text = text.replace(special, "&lt;" if special == "<" else f"\\{special}")
    return text


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$", "–": "--", "†": r"$\dagger$",
    "×": r"$\times$", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
