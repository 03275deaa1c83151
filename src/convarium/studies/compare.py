"""How the stored runs of a study are compared: the finished ones, without those that are damaged."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from convarium.analysis.comparison import Comparison, compare_runs
from convarium.analysis.comparison.formatting import count
from convarium.errors import StoreError
from convarium.runs.seal import FILES, MODEL, PREDICTED, PREDICTIONS, WEIGHTS
from convarium.runs.store import Store, StoredRun, StudyRecord

DRAWN = frozenset(FILES) - {WEIGHTS, MODEL}
"""The files of a run that its study's report is drawn from."""


def compare_study(record: StudyRecord, store: Store, *, drawn: bool = False) -> Comparison:
    """The comparison of a study's finished runs. Those that are damaged are left out, and a warning names each.

    Args:
        record: the study.
        store: that holds its runs.
        drawn: whether a report will be drawn of it, so that a run is left out also if only a file that the report reads
            is damaged. Otherwise these are the files that verdicts read.

    Raises:
        StoreError: none is finished yet, or none undamaged.
    """
    damaged: list[StoreError] = []
    runs = store.runs_of(record, files=DRAWN if drawn else {PREDICTED}, damaged=damaged)
    if not drawn and 1 in Counter(getattr(run.recipe, record.compare) for run in runs).values():
        # Where a row has one run, the verdict compares what it predicts image by image.
        damaged.clear()
        runs = store.runs_of(record, files={PREDICTED, PREDICTIONS}, damaged=damaged)
    if not runs:
        raise (
            damaged[0]
            if damaged
            else StoreError(
                f"study {record.name!r} has no finished run yet", hint="start it again; it goes on where it stopped"
            )
        )
    comparison = compare_finished(record, runs)
    left_out = tuple(f"{_LEFT_OUT}{error}." for error in damaged)
    return dataclasses.replace(comparison, warnings=(*left_out, *comparison.warnings))


_LEFT_OUT = "A run is left out: "


def left_out_notes(comparison: Comparison | None) -> tuple[str, ...]:
    """A comparison's warnings of damaged runs, one for each."""
    return () if comparison is None else tuple(text for text in comparison.warnings if text.startswith(_LEFT_OUT))


def compare_finished(record: StudyRecord, runs: Sequence[StoredRun]) -> Comparison:
    """The comparison of those runs of a study that are finished; of none, it has no rows.

    Args:
        record: the study.
        runs: in the plan's order.
    """
    if not runs:
        dataset = str(record.base.get("dataset", ""))
        head = (record.question, record.command, record.compare, None, record.metric or "test_accuracy", dataset)
        return Comparison(*head, margin=None, family=1, rows=(), notes=())
    present = {getattr(run.recipe, record.compare) for run in runs}
    baseline = record.baseline if record.baseline in present else None
    comparison = compare_runs(
        runs,
        by=record.compare,
        baseline=baseline,
        metric=record.metric,
        question=record.question,
        command=record.command,
    )
    warnings = list(comparison.warnings)
    if len(runs) < len(record.keys):
        verb = "is" if len(runs) == 1 else "are"
        warnings.append(f"{len(runs)} of the {len(record.keys)} planned runs {verb} finished.")
    if record.planned < len(record.keys):
        added = len(record.keys) - record.planned
        planned, verb = count(record.planned, "run"), "was" if added == 1 else "were"
        warnings.append(f"The study was planned with {planned}; {added} {verb} added afterwards.")
    return dataclasses.replace(comparison, warnings=tuple(warnings), recommended=record.recommended)
