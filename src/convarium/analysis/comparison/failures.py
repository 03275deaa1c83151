"""What a sentence about rows says of their failed runs and of their marks; which of two rows fails more often."""

from dataclasses import dataclass
from typing import Literal

from convarium.analysis.comparison.formatting import count
from convarium.analysis.comparison.metrics import Metric
from convarium.analysis.comparison.rows import Row
from convarium.analysis.comparison.run_facts import SELECTED_ON_VALIDATION, marks_of
from convarium.analysis.statistics import LEAST_SEEDS, LEVEL, fisher_test


@dataclass(frozen=True)
class Failing:
    """Two rows of which one fails more often, by Fisher's exact test of the runs that diverged or ended at chance.

    Attributes:
        decision: about the first row, where the difference is shown; None where it is not.
        sentence: both counts and the test; it begins with the first row if runs of it failed, or if the difference is
            shown. How the runs of the second failed stands in its own row.
        begins_with_first: whether it does.
    """

    decision: Literal["fails more often", "fails less often"] | None
    sentence: str
    begins_with_first: bool


def failing(first: Row, second: Row, *, family: int = 1) -> Failing | None:
    """Tests whether the first row fails more or less often than the second; None where no run of them failed, or the
    same share did.

    Args:
        first, second: the rows. Runs that were stopped by an error say nothing here: they will be trained again.
        family: the number of comparisons among which the 5 % are divided (Bonferroni).
    """
    (a, n), (b, m) = _failed_of(first), _failed_of(second)
    if not (n and m) or a * m == b * n:
        return None
    p = fisher_test(a, n, b, m)
    more, is_shown = a * m > b * n, p <= (1 - LEVEL) / family and min(n, m) >= LEAST_SEEDS
    begins = bool(first.failed) or is_shown
    told = _told(first) if begins else f"{second.label} failed in {second.failed} of {count(len(second.runs), 'run')}"
    other = second if begins else first
    test = "Fisher's exact test" + (" without errors" if (a, b) != (first.failed, second.failed) else "")
    test += " p < 0.001" if p < 0.001 else f" p = {p:.3f}"
    test += f", above 5 % / {family}" if not is_shown and p <= 1 - LEVEL and family > 1 else ""
    text = f"{told}, {other.label} in {other.failed} of {len(other.runs)}"
    if not is_shown:
        return Failing(None, f"{text}, which shows no difference ({test})", begins)
    decision: Literal["fails more often", "fails less often"] = "fails more often" if more else "fails less often"
    return Failing(decision, f"{text}: it {decision} ({test})", begins)


def failures(row: Row) -> str | None:
    """Counts the failed runs: "lenet failed in 2 of 5 runs (1 diverged, 1 at chance)"; None if no run failed."""
    return _told(row) if row.failed else None


def fails_more_often(first: Row, second: Row) -> bool:
    """Whether a larger share of the first row's runs failed."""
    return first.failed * len(second.runs) > second.failed * len(first.runs)


def qualify(
    rows: tuple[Row, ...], metric: Metric, text: str, *, found: Failing | None = None, failed_runs_count: bool = False
) -> str:
    """Completes a sentence that begins with its first row: that row's failures come first, the others' and the marks
    last.

    Args:
        rows: the rows that the sentence is about.
        metric: the metric that it is about.
        text: the sentence.
        found: from `failing`, of two rows; it then tells the failures of both.
        failed_runs_count: whether the sentence counts failed runs too, instead of the trained ones alone.
    """
    own, *others = map(failures, rows)
    if found is not None and found.begins_with_first:
        own, others = found.sentence, []
    elif found is not None:
        others = [found.sentence]
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


def _failed_of(row: Row) -> tuple[int, int]:
    """How many runs failed to train, and of how many: those that were stopped by an error are not counted."""
    failed = row.diverged + row.at_chance
    return failed, row.n + failed


def _told(row: Row) -> str:
    errors = row.failed - row.diverged - row.at_chance
    kinds = [(row.diverged, "diverged"), (row.at_chance, "at chance"), (errors, "stopped by an error")]
    listed = ", ".join(f"{n} {kind}" for n, kind in kinds if n)
    told = f"{row.label} failed in {row.failed} of {count(len(row.runs), 'run')}"
    return f"{told} ({listed})" if listed else told
