"""The table of a comparison for the terminal, for documents and for other programs."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from convarium.comparison import Comparison
from convarium.report.cells import Cell, Column, answer, caption, columns

_TERMINAL = {"label": None, "seeds": "n", "parameters": "parameters", "test": "test, %",
             "validation": "validation, %", "measured": None, "train_seconds": "training, s",
             "difference": "difference"}  # fmt: skip
"""Columns that fit a terminal, with headings short enough; None: the table's own."""

_COLOUR = {"better": "green", "worse": "red", "equivalent": "cyan", "undecided": "yellow", "baseline": "dim"}


def as_rich(comparison: Comparison) -> RenderableType:
    """The table for a terminal of 100 columns, the verdicts below it; names are text, never markup."""
    shown = {column.key: column for column in columns(comparison)}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=(0, 1))
    keys = [key for key in _TERMINAL if key in shown]
    for key in keys:
        heading = Text(_TERMINAL[key] or shown[key].heading)
        if key == "label":
            table.add_column(heading, overflow="fold", min_width=8)
        else:
            table.add_column(heading, justify="right", no_wrap=key != "measured")
    for i, row in enumerate(comparison.rows):
        cells = [Text(shown[key].cells[i].text) for key in keys]
        cells[keys.index("test")].stylize("bold" if row.test else "dim")
        table.add_row(*cells)
    verdicts = [Text(row.verdict, style=_COLOUR[row.decision]) for row in comparison.rows if row.verdict]
    question = [Text(comparison.question, "bold")] if comparison.question else []
    notes = [Text(note, "dim") for note in (caption(comparison), *comparison.notes)]
    return Group(*question, table, *verdicts, Text(""), *notes)


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
