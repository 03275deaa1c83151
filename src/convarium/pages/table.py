"""The main table of a comparison, column by column: each cell as text and as the value that it is sorted by."""

from dataclasses import dataclass, replace

from convarium.analysis.comparison import Comparison, formatting
from convarium.analysis.comparison.metrics import METRICS, Metric, metric_of
from convarium.analysis.comparison.rows import Row
from convarium.analysis.comparison.timing import what_differs
from convarium.analysis.comparison.warnings import have_one_environment
from convarium.analysis.statistics import Estimate
from convarium.models.layer_tables import short_count

NO_VALUE = "–"
NOT_COMPARABLE = "†"
"""Marks a time that was measured in another environment than the first row's, or in several."""

COLUMN_OF = {
    "test_accuracy": "test",
    "validation_accuracy": "validation",
    **{name: name for name in ("train_seconds", "images_per_second", "parameters", "flops")},
}
"""The columns of the metrics that every table shows; any other metric stands in the column "measured"."""


@dataclass(frozen=True)
class Cell:
    """One cell of the table: its text, and the value that its column is sorted by. None is sorted last."""

    text: str
    value: float | str | None


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        key: its name for styles and scripts, such as "test" or "difference".
        heading: its title with the unit.
        explanation: a sentence that explains the heading.
        cells: one cell for each of `Comparison.ranked`.
    """

    key: str
    heading: str
    explanation: str
    cells: tuple[Cell, ...]

    @property
    def numeric(self) -> bool:
        """Whether the cells are numbers, which are aligned at the right."""
        return self.key not in ("label", "verdict")


def columns(comparison: Comparison) -> tuple[Column, ...]:
    """The columns of the main table, the answer first: network, result, difference, verdict, then what explains them.

    Means and 95 % intervals are over the trained runs. The rows are those of `Comparison.ranked`.
    """
    rows, metric = comparison.ranked, metric_of(comparison.metric)
    made = _facts(comparison.by, rows)
    if comparison.split == "validation" and not any(row.test for row in rows):
        del made["test"]  # there are no test images
    key = COLUMN_OF.get(metric.name, "measured")
    if key not in made:
        made["measured"] = _measured(metric, rows)
    first = ["label", key if key in made else "measured"]
    if comparison.baseline is not None:
        made |= _against(metric, rows, comparison.baseline)
        first += ["difference", "verdict"]
    return tuple(made[name] for name in dict.fromkeys([*first, *made]))


def primary_column(shown: tuple[Column, ...]) -> str:
    """The key of the column with the metric that is compared."""
    return shown[1].key


def _facts(by: str, rows: tuple[Row, ...]) -> dict[str, Column]:
    """Every column but those about the baseline, in their order."""
    mean = "mean over the trained runs ± how far its 95 % interval reaches"
    made = (
        Column(
            "label",
            "network" if by == "model" else by.replace("_", " "),
            "The setting in which the rows differ",
            tuple(Cell(" ".join([row.label, *(f"[{mark}]" for mark in row.marks)]), row.label) for row in rows),
        ),
        Column(
            "test",
            "test, %",
            f"Test accuracy: {mean}",
            tuple(_estimate(METRICS["test_accuracy"], row.test) for row in rows),
        ),
        Column(
            "validation",
            "validation, %",
            f"Validation accuracy: {mean}",
            tuple(_estimate(METRICS["validation_accuracy"], row.validation) for row in rows),
        ),
        Column("seeds", "seeds", "Number of runs that trained, of all runs", tuple(map(_seeds, rows))),
        Column(
            "train_seconds",
            "training, s",
            "Wall-clock time of the training steps, mean over the trained runs",
            tuple(_time(row, rows[0], row.train_seconds) for row in rows),
        ),
        Column(
            "parameters",
            "parameters",
            "Number of trainable parameters",
            tuple(_integer(row.parameters) for row in rows),
        ),
        Column(
            "flops",
            "FLOPs",
            "Operations of one image's forward pass, a multiply-add counted as two",
            tuple(map(_flops, rows)),
        ),
        Column(
            "images_per_second",
            "images/s",
            "Training images per second, mean over the trained runs",
            tuple(_time(row, rows[0], row.images_per_second) for row in rows),
        ),
    )
    return {column.key: column for column in made}


def _measured(metric: Metric, rows: tuple[Row, ...]) -> Column:
    """The metric that is compared, where it has no column of its own."""
    unit = "%" if metric.kind == "accuracy" else metric.unit
    return Column(
        "measured",
        metric.title + (f", {unit}" if unit else ""),
        f"{metric.title[0].upper()}{metric.title[1:]}: mean over the trained runs ± how far its 95 % interval reaches",
        tuple(_estimate(metric, row.measured) for row in rows),
    )


def _against(metric: Metric, rows: tuple[Row, ...], baseline: str) -> dict[str, Column]:
    """The columns about the baseline."""
    unit = f", {metric.unit}" if metric.unit else ""
    heading, against = f"difference{unit}", "minus that"
    if metric.kind == "loss":
        heading, against = "ratio", "divided by that"
    return {
        "difference": Column(
            "difference",
            heading,
            f"{metric.title[0].upper()}{metric.title[1:]} {against} of {baseline}, with its interval",
            tuple(_difference(metric, row) for row in rows),
        ),
        "verdict": Column(
            "verdict",
            "verdict",
            "The verdict in a word or three",
            tuple(Cell(row.decision, row.decision) for row in rows),
        ),
    }


def caption(comparison: Comparison) -> str:
    """What the numbers of the table mean, in one to three sentences."""
    text = "Accuracies are means over the trained runs ± how far their 95 % intervals over seeds reach."
    if comparison.baseline is not None:
        compared = "Ratios" if metric_of(comparison.metric).kind == "loss" else "Differences"
        text += f" {compared} are to {comparison.baseline}, with simultaneous 95 % intervals."
    if has_several_environments(comparison):
        differ = what_differs([each for row in comparison.rows for each in row.environments])
        text += f" {NOT_COMPARABLE} marks times that are not comparable: the environments differ in {differ}."
    return text


def has_several_environments(comparison: Comparison) -> bool:
    """Whether some times of the table cannot be compared with those of the first row."""
    return not have_one_environment(comparison.rows)


def _seeds(row: Row) -> Cell:
    return Cell(f"{row.n} of {len(row.runs)}" if row.failed else str(row.n), row.n)


def _integer(number: int | None) -> Cell:
    return Cell(NO_VALUE if number is None else f"{number:,}", number)


def _flops(row: Row) -> Cell:
    return Cell(NO_VALUE if row.flops is None else short_count(row.flops), row.flops)


def _estimate(metric: Metric, estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell(NO_VALUE, None)
    if estimate.low is None or estimate.high is None:
        return Cell(formatting.amounts(metric, [estimate.mean])[0], estimate.mean)
    if formatting.fills_range(metric, estimate.low, estimate.high):
        mean = formatting.amounts(metric, [estimate.mean])[0]
        return Cell(f"{mean} ({formatting.cannot_tell(estimate.n)})", estimate.mean)
    return Cell(formatting.with_interval(metric, estimate.mean, estimate.low, estimate.high), estimate.mean)


def _time(row: Row, first: Row, estimate: Estimate | None) -> Cell:
    """A time, marked where it was measured in another environment than that of the first row, or in several."""
    differs = row.timed_in is None or row.timed_in != first.timed_in
    if estimate is None:
        return Cell(f"{NO_VALUE} {NOT_COMPARABLE}" if row.n and row.timed_in is None else NO_VALUE, None)
    text = f"{estimate.mean:,.0f}" if estimate.mean >= 100 else f"{estimate.mean:#.3g}".rstrip(".")
    return Cell(f"{text} {NOT_COMPARABLE}" if differs else text, estimate.mean)


def _difference(metric: Metric, row: Row) -> Cell:
    difference = row.difference
    if difference is None:
        return Cell(NO_VALUE, None)
    if difference.low is None or difference.high is None or formatting.tells_nothing(difference):
        (mean,) = (
            formatting.differences(metric, replace(difference, low=None, high=None), [difference.mean])
            if difference.is_ratio
            else map(_signed, formatting.amounts(metric, [difference.mean]))
        )
        told = formatting.cannot_tell(min(difference.n_first, difference.n_second))
        return Cell(f"{mean} ({told})" if formatting.tells_nothing(difference) else mean, difference.mean)
    mean, low, high = formatting.differences(metric, difference, [difference.mean, difference.low, difference.high])
    return Cell(f"{mean if difference.is_ratio else _signed(mean)} ({low} to {high})", difference.mean)


def _signed(number: str) -> str:
    return number if number.startswith("−") or not number.strip("0.,") else f"+{number}"
