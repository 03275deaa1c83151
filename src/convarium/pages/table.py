"""The main table of a comparison, column by column: each cell as text and as the value that it is sorted by."""

from dataclasses import dataclass

from convarium.analysis.comparison import Comparison, formatting
from convarium.analysis.comparison.metrics import METRICS, Metric, metric_of
from convarium.analysis.comparison.rows import Row
from convarium.analysis.statistics import Estimate
from convarium.models.layer_tables import short_count

NO_VALUE = "–"
NOT_COMPARABLE = "†"
"""Marks a time that was measured in another environment than the first row's."""

_METRICS_SHOWN = {"test_accuracy", "validation_accuracy", "train_seconds", "images_per_second", "parameters", "flops"}


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
        cells: one cell for each row of the comparison.
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
    """The columns of the main table. Means and half-widths of 95 % t-intervals are over the trained runs."""
    rows, metric = comparison.rows, metric_of(comparison.metric)
    unit = f", {metric.unit}" if metric.unit else ""
    mean = "mean over the trained runs ± half-width of its 95 % t-interval"

    def column(key: str, heading: str, explanation: str, cells: list[Cell]) -> Column:
        return Column(key, heading, explanation, tuple(cells))

    made = [
        column(
            "label",
            "network" if comparison.by == "model" else comparison.by.replace("_", " "),
            "The setting in which the rows differ",
            [Cell(" ".join([row.label, *(f"[{mark}]" for mark in row.marks)]), row.label) for row in rows],
        ),
        column("seeds", "seeds", "Number of runs that trained, of all runs", [_seeds(row) for row in rows]),
        column(
            "parameters", "parameters", "Number of trainable parameters", [_integer(row.parameters) for row in rows]
        ),
        column(
            "flops",
            "FLOPs",
            "Operations of one image's forward pass, a multiply-add counted as two",
            [_flops(r) for r in rows],
        ),
        column(
            "images_per_second",
            "images/s",
            "Training images per second, mean over the trained runs",
            [_time(comparison, row, row.images_per_second) for row in rows],
        ),
        column(
            "train_seconds",
            "training, s",
            "Wall-clock time of the training steps, mean over the trained runs",
            [_time(comparison, row, row.train_seconds) for row in rows],
        ),
        column(
            "validation",
            "validation, %",
            f"Validation accuracy: {mean}",
            [_estimate(METRICS["validation_accuracy"], row.validation) for row in rows],
        ),
        column(
            "test",
            "test, %",
            f"Test accuracy: {mean}",
            [_estimate(METRICS["test_accuracy"], row.test) for row in rows],
        ),
    ]
    if comparison.split == "validation" and not any(row.test for row in rows):
        made.pop()  # there are no test images
    if metric.name not in _METRICS_SHOWN:
        title = metric.title + (", %" if metric.kind == "accuracy" else unit)
        measured = [_estimate(metric, row.measured) for row in rows]
        made.append(column("measured", title, f"{metric.title[0].upper()}{metric.title[1:]}: {mean}", measured))
    if comparison.baseline is not None:
        explanation = f"{metric.title} minus that of {comparison.baseline}, with its interval"
        made += [
            column("difference", f"difference{unit}", explanation, [_difference(metric, row) for row in rows]),
            column(
                "verdict",
                "verdict",
                "The verdict in one word",
                [Cell(verdict_word(row), verdict_word(row)) for row in rows],
            ),
        ]
    return tuple(made)


def caption(comparison: Comparison) -> str:
    """What the numbers of the table mean, in one to three sentences."""
    text = "Accuracies are means over the trained runs ± half-widths of 95 % t-intervals over seeds."
    if comparison.baseline is not None:
        text += f" Differences are to {comparison.baseline}, with simultaneous 95 % intervals."
    if has_several_environments(comparison):
        text += f" {NOT_COMPARABLE} marks times measured in another environment, which are not comparable."
    return text


def has_several_environments(comparison: Comparison) -> bool:
    """Whether some times of the table cannot be compared with those of the first row."""
    return len({row.environment for row in comparison.rows}) > 1


def verdict_word(row: Row) -> str:
    """A row's verdict in one word."""
    return row.decision


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
    half = (estimate.high - estimate.low) / 2
    mean, width = formatting.amounts(metric, [estimate.mean, half], half)
    return Cell(f"{mean} ± {width}", estimate.mean)


def _time(comparison: Comparison, row: Row, estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell(NO_VALUE, None)
    text = f"{estimate.mean:,.0f}" if estimate.mean >= 100 else f"{estimate.mean:.3g}"
    differs = row.environment != comparison.rows[0].environment
    return Cell(f"{text} {NOT_COMPARABLE}" if differs else text, estimate.mean)


def _difference(metric: Metric, row: Row) -> Cell:
    difference = row.difference
    if difference is None:
        return Cell(NO_VALUE, None)
    if difference.low is None or difference.high is None:
        return Cell(_signed(formatting.amounts(metric, [difference.mean])[0]), difference.mean)
    mean, low, high = formatting.amounts(
        metric, [difference.mean, difference.low, difference.high], (difference.high - difference.low) / 2
    )
    return Cell(f"{_signed(mean)} ({low} to {high})", difference.mean)


def _signed(number: str) -> str:
    return number if number.startswith("−") or not number.strip("0.,") else f"+{number}"
