"""What the table of a comparison says: one column a question, one cell a row, as text and as what it sorts by."""

from dataclasses import dataclass

from convarium.analysis.comparison import Comparison, formatting
from convarium.analysis.comparison.metrics import METRICS, Metric, metric_of
from convarium.analysis.comparison.rows import Row
from convarium.analysis.statistics import Estimate

NOTHING = "–"
ELSEWHERE = "†"
"""Marks a time that was taken in another environment than the first row's."""

_IN_THE_TABLE = {"test_accuracy", "validation_accuracy", "train_seconds", "images_per_second", "parameters", "flops"}


@dataclass(frozen=True)
class Cell:
    """One cell: `value` is what its column sorts by; None sorts last."""

    text: str
    value: float | str | None


@dataclass(frozen=True)
class Column:
    """One column, a cell a row of the comparison.

    Attributes:
        key: what it shows, for styles and scripts: "test", "difference".
        heading: with its unit.
        explanation: of the heading, in a sentence.
    """

    key: str
    heading: str
    explanation: str
    cells: tuple[Cell, ...]

    @property
    def numeric(self) -> bool:
        """Whether the cells are numbers, to be aligned as such."""
        return self.key not in ("label", "verdict")


def columns(comparison: Comparison) -> tuple[Column, ...]:
    """The table, column by column. Means and half-widths of 95 % t-intervals are over the trained runs."""
    rows, metric = comparison.rows, metric_of(comparison.metric)
    unit = f", {metric.unit}" if metric.unit else ""
    over = "mean over the trained runs ± half-width of its 95 % t-interval"

    def column(key: str, heading: str, explanation: str, cells: list[Cell]) -> Column:
        return Column(key, heading, explanation, tuple(cells))

    found = [
        column(
            "label",
            "network" if comparison.by == "model" else comparison.by.replace("_", " "),
            "What the rows differ in",
            [Cell(" ".join([row.label, *(f"[{mark}]" for mark in row.marks)]), row.label) for row in rows],
        ),
        column("seeds", "seeds", "Runs that trained, of all", [_seeds(row) for row in rows]),
        column("parameters", "parameters", "Trainable numbers", [_whole(row.parameters) for row in rows]),
        column("flops", "FLOPs", "Of one image's forward pass, a multiply-add as two", [_flops(r) for r in rows]),
        column(
            "images_per_second",
            "images/s",
            "Training images a second, mean over the trained runs",
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
            f"Validation accuracy: {over}",
            [_estimate(METRICS["validation_accuracy"], row.validation) for row in rows],
        ),
        column(
            "test",
            "test, %",
            f"Test accuracy: {over}",
            [_estimate(METRICS["test_accuracy"], row.test) for row in rows],
        ),
    ]
    if metric.name not in _IN_THE_TABLE:
        title = metric.title + (", %" if metric.kind == "accuracy" else unit)
        measured = [_estimate(metric, row.measured) for row in rows]
        found.append(column("measured", title, f"{metric.title[0].upper()}{metric.title[1:]}: {over}", measured))
    if comparison.baseline is not None:
        explanation = f"{metric.title} minus that of {comparison.baseline}, with its interval"
        found += [
            column("difference", f"difference{unit}", explanation, [_difference(metric, row) for row in rows]),
            column("verdict", "verdict", "In one word", [Cell(verdict_word(row), verdict_word(row)) for row in rows]),
        ]
    return tuple(found)


def caption(comparison: Comparison) -> str:
    """What the numbers of the table are, in one or two sentences."""
    text = "Accuracies are means over the trained runs ± half-widths of 95 % t-intervals over seeds."
    if comparison.baseline is not None:
        text += f" Differences are to {comparison.baseline}, with simultaneous 95 % intervals."
    if elsewhere(comparison):
        text += f" {ELSEWHERE} timed in another environment: not comparable."
    return text


def elsewhere(comparison: Comparison) -> bool:
    """Whether some times of the table cannot be compared with the first row's."""
    return len({row.environment for row in comparison.rows}) > 1


def short(number: float) -> str:
    """12.3 M for 12,345,678."""
    value, rounded = float(number), float(f"{number:.3g}")
    for suffix in ("", " k", " M", " G"):
        if abs(rounded) < 1000:
            return f"{value:.3g}{suffix}"
        value, rounded = value / 1000, rounded / 1000
    return f"{value:.3g} T"


def answer(comparison: Comparison) -> str:
    """The answer to the comparison's question in one sentence, with n and interval."""
    if not comparison.rows:
        return "No run has finished yet."
    metric = metric_of(comparison.metric)
    others = [row for row in comparison.rows if row.label != comparison.baseline]
    if len(others) == 1 or comparison.baseline is None:
        return _sentence(others[0].verdict)
    lost = [row.label for row in comparison.rows if has_failed(row)]
    others = [row for row in others if not has_failed(row)]
    counts = {told: sum(row.decision == told for row in others) for told in ("better", "worse", "equivalent")}
    undecided = len(others) - sum(counts.values())
    told = [
        f"{counts[decision]} {'is' if counts[decision] == 1 else 'are'} {name} {comparison.baseline}"
        for decision, name in (
            ("better", f"{metric.better} than"),
            ("worse", f"{metric.worse} than"),
            ("equivalent", "equivalent to"),
        )
        if counts[decision]
    ]
    told += [f"{undecided} {'is' if undecided == 1 else 'are'} undecided"] if undecided else []
    text = f"of {formatting.count(len(others), 'other')}, {formatting.listed(told)}"
    if undecided and undecided == len(others) and all(row.n <= 1 for row in comparison.rows):
        text = "one seed each decides nothing between them"
    failed, runs = sum(row.failed for row in comparison.rows), sum(len(row.runs) for row in comparison.rows)
    every = f", all of {formatting.listed(lost)}" if lost else ""
    parts = ([f"{failed} of {formatting.count(runs, 'run')} failed{every}"] if failed else []) + (
        [text] if others else []
    )
    text = "; ".join(parts)
    measured = [row for row in comparison.rows if row.measured is not None]
    if not measured:
        return _sentence(text)
    sign = 1 if metric.higher_is_better else -1
    best = max(measured, key=lambda row: sign * row.measured.mean if row.measured else 0.0)
    best_mean = formatting.mean(metric, best.measured) if best.measured else ""
    superlative = "highest" if metric.higher_is_better else "lowest"
    first = f"the {superlative} mean {metric.title} is that of {best.label}, {best_mean}"
    return _sentence(f"{text}; {first}" if failed else f"{first}; {text}")


def _sentence(text: str) -> str:
    """With a full stop. No capital is forced on it: it may begin with a network's name."""
    first = text.partition(" ")[0]
    text = text[0].upper() + text[1:] if first in ("the", "of", "undecided:", "not") else text
    return text if text.endswith(".") else text + "."


def has_failed(row: Row) -> bool:
    """Whether none of a row's runs trained."""
    return row.failed > 0 and row.n == 0


def verdict_word(row: Row) -> str:
    """A row's verdict in one word: that it is undecided says too little of a network that never trained."""
    return "failed" if has_failed(row) else row.decision


def _seeds(row: Row) -> Cell:
    return Cell(f"{row.n} of {len(row.runs)}" if row.failed else str(row.n), row.n)


def _whole(number: int | None) -> Cell:
    return Cell(NOTHING if number is None else f"{number:,}", number)


def _flops(row: Row) -> Cell:
    return Cell(NOTHING if row.flops is None else short(row.flops), row.flops)


def _estimate(metric: Metric, found: Estimate | None) -> Cell:
    if found is None:
        return Cell(NOTHING, None)
    if found.low is None or found.high is None:
        return Cell(formatting.amounts(metric, [found.mean])[0], found.mean)
    half = (found.high - found.low) / 2
    mean, width = formatting.amounts(metric, [found.mean, half], half)
    return Cell(f"{mean} ± {width}", found.mean)


def _time(comparison: Comparison, row: Row, found: Estimate | None) -> Cell:
    if found is None:
        return Cell(NOTHING, None)
    text = f"{found.mean:,.0f}" if found.mean >= 100 else f"{found.mean:.3g}"
    strange = row.environment != comparison.rows[0].environment
    return Cell(f"{text} {ELSEWHERE}" if strange else text, found.mean)


def _difference(metric: Metric, row: Row) -> Cell:
    found = row.difference
    if found is None:
        return Cell(NOTHING, None)
    if found.low is None or found.high is None:
        return Cell(_signed(formatting.amounts(metric, [found.mean])[0]), found.mean)
    mean, low, high = formatting.amounts(metric, [found.mean, found.low, found.high], (found.high - found.low) / 2)
    return Cell(f"{_signed(mean)} ({low} to {high})", found.mean)


def _signed(number: str) -> str:
    return number if number.startswith("−") or not number.strip("0.,") else f"+{number}"
