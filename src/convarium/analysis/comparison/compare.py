"""From stored runs to a comparison: rows, differences to a baseline, verdicts, and what must be known to read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from convarium.analysis.comparison import formatting, frames
from convarium.analysis.comparison.metrics import Metric, metric_of
from convarium.analysis.comparison.notes import notes_on
from convarium.analysis.comparison.rows import Row, canonical_spec, gather, label
from convarium.analysis.comparison.verdicts import contrast, tell
from convarium.analysis.statistics import margin_of
from convarium.errors import ConvariumError
from convarium.recipes.recipe import Recipe
from convarium.runs.store import StoredRun
from convarium.spec import unknown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """The answer to one question: a pure function of stored runs.

    Attributes:
        question, command: of the study, for the page's head; "" and None where there is none.
        by: the field of the recipe by which the rows differ.
        baseline: the row that the others are compared with; None where there is one row alone.
        metric: what is compared first.
        dataset: of all runs ("mnist, digits" where the rows differ by it).
        margin: difference of accuracy too small to matter, as a fraction of 1; None for other metrics.
        family: number of comparisons with the baseline: their intervals hold all at once.
        rows: one a label, in the order in which the runs were given.
        notes: what a reader must know beside the table, one sentence each.
    """

    question: str
    command: str | None
    by: str
    baseline: str | None
    metric: str
    dataset: str
    margin: float | None
    family: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    def row(self, name: object) -> Row:
        """The row of a label, of the setting itself (0.1 for "learning_rate=0.1"), or of another spelling of its model.

        Raises:
            SpecError: no such row; says which there are.
        """
        return find_row(self.rows, self.by, name)

    def frame(self, what: frames.What = "runs") -> pd.DataFrame:
        """The data behind the comparison, tidy: one row a run, epoch, step, class of a run, or row of the table.

        Raises:
            ConvariumError: no such table.
        """
        return frames.frame(self, what)


def compare_runs(
    runs: Sequence[StoredRun],
    *,
    by: str = "model",
    baseline: object = None,
    metric: str = "test_accuracy",
    question: str = "",
    command: str | None = None,
) -> Comparison:
    """Compares stored runs; reads them and nothing else.

    Args:
        runs: of any number of recipes and seeds.
        by: the recipe field that tells the rows apart.
        baseline: the label that the others are compared with; None: the first one.
        metric: what is compared: a name of METRICS, or "epochs_to(test_accuracy=0.98)".
        question: that the study asks.
        command: that repeats the study.

    Raises:
        ConvariumError: no runs, two recipes under one label, or several data sets where `by` is not "dataset".
        SpecError: an unknown field, metric or baseline.
    """
    axes = [field.name for field in fields(Recipe) if field.name != "seed"]
    if by not in axes:
        raise unknown("axis to compare by", by, axes)
    if not runs:
        raise ConvariumError("there are no runs to compare", hint="train some first: convarium compare lenet mlp")
    datasets = list(dict.fromkeys(run.recipe.dataset for run in runs))
    if len(datasets) > 1 and by != "dataset":
        raise ConvariumError(
            f"the runs are of several data sets: {formatting.listed(datasets)}",
            hint="compare them one data set at a time, or by='dataset'",
        )
    measure = metric_of(metric)
    rows = gather(runs, by, measure)
    against = find_row(rows, by, baseline) if baseline is not None else rows[0]
    family = max(len(rows) - 1, 1)
    margin = min(map(margin_of, datasets)) if measure.kind == "accuracy" else None
    judged = tuple(
        replace(row, verdict=_summary(row, measure))
        if row is against
        else _judged(row, against, measure, family, margin)
        for row in rows
    )
    return Comparison(
        question=question,
        command=command,
        by=by,
        baseline=against.label if len(rows) > 1 else None,
        metric=measure.name,
        dataset=", ".join(datasets),
        margin=margin,
        family=family,
        rows=judged,
        notes=notes_on(judged, rows.index(against), by, measure, family, margin),
    )


def find_row(rows: Sequence[Row], by: str, name: object) -> Row:
    """The row of a label, of its setting, or of another spelling of its model.

    Raises:
        SpecError: no such row; says which there are.
    """
    names = {row.label: row for row in rows}
    if str(name) in names:
        return names[str(name)]
    if by == "model":
        same = [row for row in rows if canonical_spec(row.runs[0].recipe.model) == canonical_spec(str(name))]
    else:
        same = [row for row in rows if row.label == label(name, by)]
    if not same:
        raise unknown("row of the comparison", str(name), names)
    return same[0]


def _judged(row: Row, against: Row, metric: Metric, family: int, margin: float | None) -> Row:
    found = contrast(row, against, metric, family=family, margin=margin)
    return replace(row, difference=found.difference, decision=found.decision, verdict=found.sentence)


def _summary(row: Row, metric: Metric) -> str:
    values = row.values(metric).values()
    if metric.kind == "size" and row.measured is not None:
        text = f"{row.label}: {formatting.level(metric, row.measured.mean)}"
    elif metric.kind == "reach" and row.measured is None and values:
        text = f"{row.label}: {metric.title}: {formatting.reached(values)}"
    elif row.measured is not None:
        text = f"{row.label}: {metric.title} {formatting.mean(metric, row.measured)}"
    elif not row.n:
        text = f"{row.label} has no trained run"
    else:
        text = f"{row.label}: no mean of {metric.title}"
    return tell((row,), metric, text)
