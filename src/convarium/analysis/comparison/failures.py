"""What a sentence about rows says of their failed runs and of their marks."""

from convarium.analysis.comparison import formatting
from convarium.analysis.comparison.metrics import Metric
from convarium.analysis.comparison.rows import Row
from convarium.analysis.comparison.run_facts import SELECTED_ON_VALIDATION, marks_of


def failures(row: Row) -> str | None:
    """Counts the failed runs: "lenet failed in 2 of 5 runs (1 diverged, 1 at chance)"; None if no run failed."""
    if not row.failed:
        return None
    errors = row.failed - row.diverged - row.at_chance
    kinds = [(row.diverged, "diverged"), (row.at_chance, "at chance"), (errors, "stopped by an error")]
    listed = ", ".join(f"{n} {kind}" for n, kind in kinds if n)
    return f"{row.label} failed in {row.failed} of {formatting.count(len(row.runs), 'run')} ({listed})"


def fails_more_often(first: Row, second: Row) -> bool:
    """Whether a larger share of the first row's runs failed."""
    return first.failed * len(second.runs) > second.failed * len(first.runs)


def qualify(rows: tuple[Row, ...], metric: Metric, text: str, *, failed_runs_count: bool = False) -> str:
    """Completes a sentence that begins with its first row: that row's failures come first, the others' and the marks
    last.

    Args:
        rows: the rows that the sentence is about.
        metric: the metric that it is about.
        text: the sentence.
        failed_runs_count: whether the sentence counts failed runs too, instead of the trained ones alone.
    """
    own, *others = map(failures, rows)
    trained = "of the trained ones, " if all(row.n for row in rows) and not failed_runs_count else ""
    text = f"{own}; {trained}{text}" if own else text
    text = "; ".join([text, *(other for other in others if other)])
    marks = dict.fromkeys(
        mark
        for row in rows
        for mark in marks_of(row.runs, metric)
        if metric.on_test or mark == SELECTED_ON_VALIDATION  # the others say nothing about a metric of another split
    )
    return f"{text} [{', '.join(marks)}]" if marks else text
