"""The main table of a comparison for documents (Markdown, LaTeX) and for other programs (CSV)."""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from convarium.analysis.comparison import Comparison, fails_more_often, metric_of
from convarium.analysis.comparison.formatting import escape_markdown
from convarium.errors import ConvariumError
from convarium.pages.table import COLUMN_OF, Cell, Column, caption
from convarium.pages.table import columns as columns_of
from convarium.spec import unknown


def as_markdown(
    comparison: Comparison, *, columns: Sequence[str] | None = None, labels: Mapping[str, str] | None = None
) -> str:
    """The table in GitHub's Markdown, with question and answer above and verdicts below; see `Comparison.markdown`."""
    comparison = _renamed(comparison, labels or {})
    shown = _chosen(comparison, columns)
    head = "| " + " | ".join(escape_markdown(column.heading) for column in shown) + " |"
    rule = "| " + " | ".join("---:" if column.numeric else "---" for column in shown) + " |"
    body = ["| " + " | ".join(escape_markdown(cell.text) for cell in cells) + " |" for cells in _rows(shown)]
    above = [f"**{escape_markdown(comparison.question)}**", ""] if comparison.question else []
    verdicts = [f"- {escape_markdown(row.verdict)}" for row in comparison.ranked if row.verdict]
    return "\n".join([*above, escape_markdown(comparison.answer), "", head, rule, *body, "",
                      escape_markdown(caption(comparison)), "", *verdicts]) + "\n"  # fmt: skip


def as_csv(
    comparison: Comparison, *, columns: Sequence[str] | None = None, labels: Mapping[str, str] | None = None
) -> str:
    """The rows as comma-separated values: accuracies as fractions of 1, nothing rounded; see `Comparison.csv`."""
    frame = _renamed(comparison, labels or {}).frame("rows")
    for name in columns or ():
        if name not in frame.columns:
            raise unknown("column of the CSV", name, list(frame.columns))
    return frame_as_csv(frame if columns is None else frame[list(columns)])


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


def as_latex(
    comparison: Comparison, *, columns: Sequence[str] | None = None, labels: Mapping[str, str] | None = None
) -> str:
    """The table as a LaTeX `tabular`, with what it needs, question, answer and caption as comments above; see
    `Comparison.latex`.
    """
    comparison = _renamed(comparison, labels or {})
    shown, best = _chosen(comparison, columns), _best(comparison)
    key = COLUMN_OF.get(metric_of(comparison.metric).name, "measured")
    has_bold = bool(best) and any(column.key == key for column in shown)
    comments = [
        r"needs \usepackage{booktabs} in the preamble", comparison.question, comparison.answer, caption(comparison),
        *([f"Bold: the best mean. {_why_bold(comparison, best)}"] if has_bold else []),
    ]  # fmt: skip
    head = [f"% {' '.join(line.split())}" for line in comments if line]
    lines = []
    names = next(column for column in columns_of(comparison) if column.key == "label").cells
    for name, cells in zip(names, _rows(shown), strict=True):
        texts = [_latex(cell.text) for cell in cells]
        is_bold = (column.key == key and name.value in best for column in shown)
        written = (rf"\textbf{{{text}}}" if bold else text for text, bold in zip(texts, is_bold, strict=True))
        lines.append(" & ".join(written) + r" \\")
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


def _best(comparison: Comparison) -> tuple[str, ...]:
    """The labels of the rows with the best mean, one if no others have the same, where the verdicts say that it is
    better than the baseline's, or that the others are worse; else empty.
    """
    trained = [(row, row.measured.mean) for row in comparison.ranked if row.decision != "failed" and row.measured]
    if len(trained) < 2:
        return ()
    (leader, mean), *others = trained
    if leader.label == comparison.baseline and all(row.decision == "worse" for row, _ in others):
        return (leader.label,)
    best = [row for row, other in trained if math.isclose(other, mean, rel_tol=1e-12)]
    if any(fails_more_often(row, other) for row in best for other, _ in trained):
        return ()
    return tuple(row.label for row in best) if all(row.decision == "better" for row in best) else ()


def _why_bold(comparison: Comparison, best: tuple[str, ...]) -> str:
    """What the verdicts say of the best mean; they say nothing of it and another row that is not the baseline."""
    if best == (comparison.baseline,):
        return "The verdicts say that all others are worse."
    return f"The verdicts say that it is better than that of {comparison.baseline}."


def _chosen(comparison: Comparison, names: Sequence[str] | None) -> tuple[Column, ...]:
    """The columns of these names, in their order; None: all."""
    every = {"network" if column.key == "label" else column.key: column for column in columns_of(comparison)}
    if names is None:
        return tuple(every.values())
    if not names:
        raise ConvariumError("there is no column to write", expected=" or ".join(every))
    for name in names:
        if name not in every:
            raise unknown("column of the table", name, list(every))
    return tuple(every[name] for name in names)


def _renamed(comparison: Comparison, labels: Mapping[str, str]) -> Comparison:
    """The comparison with other names for some rows, in its sentences too.

    Raises:
        SpecError: there is no such row.
        ConvariumError: two rows would have one name.
    """
    if not labels:
        return comparison
    names = {row.label: row.label for row in comparison.rows}
    names |= {comparison.row(name).label: text for name, text in labels.items()}
    # The longest first: the name "lenet" is not a part of "lenet(pool='avg')".
    longest = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    pattern = re.compile(rf"(?<!\w)(?:{longest})(?!\w)")

    def rename(text: str) -> str:
        return pattern.sub(lambda found: names[found[0]], text)

    repeated = next((name for name, times in Counter(names.values()).items() if times > 1), None)
    if repeated is not None:
        raise ConvariumError(f"two rows would have the name {repeated!r}", hint="give each row a name of its own")
    rows = tuple(
        dataclasses.replace(row, label=names[row.label], verdict=rename(row.verdict)) for row in comparison.rows
    )
    baseline = None if comparison.baseline is None else names[comparison.baseline]
    recommended = tuple(map(rename, comparison.recommended))
    return dataclasses.replace(comparison, rows=rows, baseline=baseline, recommended=recommended)


def _rows(shown: tuple[Column, ...]) -> list[tuple[Cell, ...]]:
    return list(zip(*(column.cells for column in shown), strict=True))


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$", "–": "--", "†": r"$\dagger$",
    "×": r"$\times$", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
