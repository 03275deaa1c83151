"""Compares stored runs: rows, differences to a baseline, verdicts, and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from convarium.analysis.comparison import formatting, frames, shown
from convarium.analysis.comparison.answer import answer_of
from convarium.analysis.comparison.failures import qualify
from convarium.analysis.comparison.metrics import metric_of
from convarium.analysis.comparison.notes import notes_on
from convarium.analysis.comparison.primary import primary_metric, result_split
from convarium.analysis.comparison.ranking import rank
from convarium.analysis.comparison.rows import Row, canonical_spec, gather, label
from convarium.analysis.comparison.verdicts import contrast
from convarium.analysis.comparison.warnings import warnings_on
from convarium.analysis.statistics import LOSS_MARGIN, margin_of
from convarium.errors import ConvariumError
from convarium.recipes.recipe import Recipe
from convarium.records import Scores
from convarium.runs.store import StoredRun
from convarium.spec import unknown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Comparison:
    """The answer to one question: a pure function of stored runs.

    Attributes:
        question, command: the study's question, and the command that repeats it; "" and None if there is none.
        by: the recipe field by which the rows differ.
        baseline: the label of the row that the others are compared with; None for a single row.
        metric: the name of the metric that is compared.
        dataset: the data set of all runs ("mnist, digits" if the rows differ by it).
        margin: the difference that is too small to matter: of accuracies as a fraction of 1, of losses as a share of
            the smaller one; None for other metrics.
        family: the number of comparisons with the baseline, whose intervals are simultaneous.
        rows: one for each label, in the order in which the runs were given.
        notes: one sentence for each rule that the comparison follows, the most important first.
        warnings: one sentence for each thing that a reader must know before believing the table, the worst first: a
            damaged run that was left out, a row that was still learning, rows that differ in other settings too.
        recommended: one sentence for each network that is recommended, which the answer then begins with.
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
    warnings: tuple[str, ...] = ()
    recommended: tuple[str, ...] = ()

    @cached_property
    def answer(self) -> str:
        """The answer in one to three sentences: who leads, by how much, how sure that is, and what failed. Before them
        stands what is recommended, if anything is.
        """
        noun = "network" if self.by == "model" else "row"
        metric = metric_of(self.metric)
        found = answer_of(self.rows, baseline=self.baseline, metric=metric, margin=self.margin, noun=noun)
        return " ".join([*self.recommended, found])

    @cached_property
    def ranked(self) -> tuple[Row, ...]:
        """The rows by their mean of the metric, the best first; those of which most runs failed come last."""
        return rank(self.rows, metric_of(self.metric))

    @property
    def split(self) -> Literal["test", "validation"]:
        """The split by whose scores the rows are compared class by class and image by image, see `result_split`."""
        return result_split([run for row in self.rows for run in row.runs])

    def scores(self, run: StoredRun) -> Scores | None:
        """Returns the scores of one of the runs on that split; None where it has none."""
        return run.outcome.validation if self.split == "validation" else run.outcome.test

    def row(self, name: object) -> Row:
        """Returns the row with this label, this setting (0.1 for "learning_rate=0.1") or an equivalent spec.

        Raises:
            SpecError: there is no such row; the message lists the rows.
        """
        return find_row(self.rows, self.by, name)

    def __repr__(self) -> str:
        return shown.short(self)

    def _repr_html_(self) -> str:
        """Question, answer and a small table: what a notebook shows."""
        return shown.as_html(self)

    def frame(self, what: frames.What = "table") -> pd.DataFrame:
        """Returns the table of the page, or the data behind it, as a tidy data frame.

        Accuracies are fractions of 1, and their differences too; times are seconds. No column is in per cent.

        Args:
            what: what the frame holds: "table", the ten columns of the page, one row a network, the best first, with
                means over the trained runs, without times of other environments than the first row's; "rows",
                intervals and all other values of `Row`, in the order given; or one row for each of the "runs",
                "epochs", "steps" (training steps), or "classes" (of each run).

        Raises:
            ConvariumError: there is no such table.
        """
        return frames.frame(self, what)

    def latex(self, *, columns: Sequence[str] | None = None, labels: Mapping[str, str] | None = None) -> str:
        r"""Returns the table as a LaTeX `tabular`; the preamble needs \usepackage{booktabs}.

        The best mean is bold where the verdicts say that it is better: its row is, or it is the baseline and every
        other row is worse.

        Args:
            columns: which, in this order: "network", "test", "difference", "verdict", "validation", "seeds",
                "train_seconds", "parameters", "flops", "images_per_second", and "measured" where another metric is
                compared; None: all.
            labels: other names for rows, {"resnet@uva": "ResNet-20"}. Special characters are escaped.

        Raises:
            SpecError: there is no such column or row.
        """
        return shown.as_document(self, "latex", columns=columns, labels=labels)

    def markdown(self, *, columns: Sequence[str] | None = None, labels: Mapping[str, str] | None = None) -> str:
        """Returns question, answer, table and verdicts in GitHub's Markdown; arguments as for `latex`."""
        return shown.as_document(self, "markdown", columns=columns, labels=labels)

    def csv(self, *, columns: Sequence[str] | None = None, labels: Mapping[str, str] | None = None) -> str:
        """Returns `frame("rows")` as comma-separated values, which no spreadsheet takes for formulas.

        Args:
            columns: which of that frame's, in this order; None: all.
            labels: as for `latex`.

        Raises:
            SpecError: there is no such column or row.
        """
        return shown.as_document(self, "csv", columns=columns, labels=labels)

    def chart(self, name: str = "curves", *, width: str | float | None = None) -> shown.Chart:
        """Returns one chart of the page as an Altair chart, which a notebook draws and `.save("curves.pdf")` writes.

        Args:
            name: "curves", "accuracy", "cost", "classes", "confusion", "calibration" or "agreement"; or one panel, such
                as "curves-validation-accuracy" or "cost-parameters".
            width: of the whole chart: pixels, or "84mm", "8.4cm", "3.3in"; None: panels of the usual width.

        Raises:
            SpecError: there is no such chart.
            ConvariumError: the runs have no data for it, or no chart can be read in this width.
        """
        return shown.chart(self, name, width=width)

    def report(self, path: Path | str = "report.html") -> Path:
        """Writes the comparison's page, one HTML file that opens offline, and returns its path.

        `convarium.report` writes that of a stored study, with the test images on which networks differ.

        Args:
            path: the file; its folder is made.
        """
        return shown.write_report(self, path)


def compare_runs(
    runs: Sequence[StoredRun],
    *,
    by: str = "model",
    baseline: object = None,
    metric: str | None = None,
    question: str = "",
    command: str | None = None,
) -> Comparison:
    """Compares stored runs; reads these runs and nothing else.

    Args:
        runs: runs of any number of recipes and seeds.
        by: the recipe field by which the rows differ: "model", "dataset", "learning_rate", "optimizer" or any other
            field of `Recipe` but the seed.
        baseline: the label of the row that the others are compared with; None: the first row.
        metric: the metric that is compared, see `metric_of`; None: "test_accuracy", or another one where
            `primary_metric` says so.
        question: the question that the study asks.
        command: the command that repeats the study.

    Raises:
        ConvariumError: there are no runs, two recipes share a label, or the runs are of several data sets and `by` is
            not "dataset".
        SpecError: the field, metric or baseline is unknown.
    """
    axes = [field.name for field in fields(Recipe) if field.name != "seed"]
    if by not in axes:
        raise unknown("axis to compare by", by, axes)
    if not runs:
        raise ConvariumError(
            "there are no runs to compare", hint="train some first: convarium compare lenet memory_mlp"
        )
    datasets = list(dict.fromkeys(run.recipe.dataset for run in runs))
    if len(datasets) > 1 and by != "dataset":
        raise ConvariumError(
            f"the runs are of several data sets: {formatting.listed(datasets)}",
            hint="compare them one data set at a time, or by='dataset'",
        )
    primary, reason = primary_metric(runs) if metric is None else (metric, "")
    measured = metric_of(primary)
    gathered = gather(runs, by, measured)
    against = find_row(gathered, by, baseline) if baseline is not None else gathered[0]
    family = max(len(gathered) - 1, 1)
    margins = {"accuracy": min(map(margin_of, datasets)), "loss": LOSS_MARGIN}
    margin = margins.get(measured.kind)
    rows = tuple(
        _sum_up(row) if row is against else _judge(row, against, family=family, margin=margin) for row in gathered
    )
    return Comparison(
        question=question,
        command=command,
        by=by,
        baseline=against.label if len(rows) > 1 else None,
        metric=measured.name,
        dataset=", ".join(datasets),
        margin=margin,
        family=family,
        rows=rows,
        notes=notes_on(
            rows,
            baseline=gathered.index(against),
            by=by,
            metric=measured,
            reason=reason,
            family=family,
            margin=margin,
            command=command,
        ),
        warnings=warnings_on(rows, by=by, metric=measured, command=command),
    )


def find_row(rows: Sequence[Row], by: str, name: object) -> Row:
    """Returns the row with this label, this setting or an equivalent spec.

    Raises:
        SpecError: there is no such row; the message lists the rows.
    """
    labels = {row.label: row for row in rows}
    if str(name) in labels:
        return labels[str(name)]
    if by == "model":
        same = [row for row in rows if canonical_spec(row.runs[0].recipe.model) == canonical_spec(str(name))]
    else:
        same = [row for row in rows if row.label == label(name, by)]
    if not same:
        raise unknown("row of the comparison", str(name), labels)
    return same[0]


def _judge(row: Row, against: Row, *, family: int, margin: float | None) -> Row:
    result = contrast(row, against, row.metric, family=family, margin=margin)
    decision = "failed" if _has_failed(row) else result.decision
    return replace(row, difference=result.difference, decision=decision, verdict=result.sentence)


def _has_failed(row: Row) -> bool:
    """Whether a row's verdict is that it failed; its size it has nevertheless."""
    return row.has_failed and row.metric.kind != "size"


def _sum_up(row: Row) -> Row:
    metric, mean = row.metric, row.measured
    values = row.values(metric).values()
    if metric.kind == "size" and mean is not None:
        text = f"{row.label}: {formatting.level(metric, mean.mean)}"
    elif metric.kind == "reach" and mean is None and values:
        text = f"{row.label}: {metric.title}: {formatting.reached(values)}"
    elif mean is not None:
        text = f"{row.label}: {metric.title} {formatting.mean(metric, mean)}"
    elif not row.n:
        text = f"{row.label} has no trained run"
    else:
        text = f"{row.label}: no mean of {metric.title}"
    return replace(row, decision="failed" if _has_failed(row) else "baseline", verdict=qualify((row,), metric, text))
