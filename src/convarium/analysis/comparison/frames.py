"""A comparison as data frames, and as plain values for JSON. pandas is imported when a frame is made."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Literal

from convarium.analysis.comparison.metrics import METRICS, Metric, metric_of
from convarium.analysis.comparison.no_interval import why_no_interval
from convarium.analysis.comparison.rows import Row, settings, share_weights
from convarium.analysis.comparison.run_facts import status
from convarium.analysis.statistics import difference
from convarium.errors import ConvariumError
from convarium.metrics import class_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

    from convarium.analysis.comparison.compare import Comparison
    from convarium.analysis.statistics import Estimate
    from convarium.runs.store import StoredRun

_WHOLE = ("parameters", "flops")

What = Literal["table", "rows", "runs", "epochs", "classes", "steps"]
Record = dict[str, Any]

FEWEST_SEEDS = 3
"""Number of runs of each network below which an interval of a class says nothing: it would fill the possible range."""


def frame(comparison: Comparison, what: What) -> pd.DataFrame:
    """Returns one tidy table; see `Comparison.frame`."""
    import pandas as pd

    if what not in _FRAMES:
        raise ConvariumError(f"there is no table {what!r}", expected=" or ".join(map(repr, _FRAMES)))
    records = list(_FRAMES[what](comparison))
    if records:
        table = pd.DataFrame.from_records(records)
        # Whole numbers stay whole where a row of failed runs has none.
        return table.astype({name: "Int64" for name in _WHOLE if name in table and table[name].hasnans})
    return pd.DataFrame(columns=_names(comparison) if what == "table" else ["label", "seed", "status"])


def class_differences(comparison: Comparison, first: object, second: object) -> pd.DataFrame:
    """Compares two rows' accuracies on the comparison's split, with intervals that are simultaneous over the classes.

    Returns:
        A frame with columns class, first, second (means over the trained runs), difference (first minus second), low,
        high (fractions of 1; low and high are missing where a row has fewer than FEWEST_SEEDS trained runs), n_first,
        n_second.

    Raises:
        SpecError: there is no such row.
        ConvariumError: a row has no per-class accuracies, or the rows have no seed in common.
    """
    import pandas as pd

    one, other = comparison.row(first), comparison.row(second)
    scored = {
        row.label: {run.recipe.seed: scores for run in row.trained if (scores := comparison.scores(run))}
        for row in (one, other)
    }
    for row in (one, other):
        if not scored[row.label]:
            raise ConvariumError(
                f"no trained run of {row.label!r} has {comparison.split} scores", hint="compare other rows"
            )
    a, b = scored[one.label], scored[other.label]
    paired = share_weights(one, other)
    if paired:
        common = sorted(set(a) & set(b))
        if not common:
            raise ConvariumError(f"{one.label!r} and {other.label!r} have no seed in common", hint="train more seeds")
        a, b = {s: a[s] for s in common}, {s: b[s] for s in common}
    names = [name for name, value in next(iter(a.values())).per_class.items() if value is not None]
    records = []
    for name in names:
        x, y = ([v for scores in g.values() if (v := scores.per_class[name]) is not None] for g in (a, b))
        gap = difference(x, y, paired=paired, family=len(names), possible=1.0)
        low, high = (gap.low, gap.high) if min(len(x), len(y)) >= FEWEST_SEEDS else (None, None)
        means = {"first": sum(x) / len(x), "second": sum(y) / len(y), "difference": gap.mean}
        records.append({"class": name, **means, "low": low, "high": high,
                        "n_first": gap.n_first, "n_second": gap.n_second})  # fmt: skip
    return pd.DataFrame.from_records(records)


def as_json(comparison: Comparison) -> Record:
    """Returns the comparison as values that JSON has, without the runs' histories; runs are named by their keys.

    Where an interval is refused, its `low` and `high` are null, and the row's `no_interval` says why, by the name of
    the value: {"test": "one run has no spread"}.
    """
    fields = {field.name: getattr(comparison, field.name) for field in dataclasses.fields(comparison)}
    metric = metric_of(comparison.metric)
    rows = [
        {
            "label": row.label,
            "runs": [
                {"key": run.key, "seed": run.recipe.seed, "status": status(run), metric.name: metric.measure(run)}
                for run in row.runs
            ],
            **{name: getattr(row, name) for name in _ROW_VALUES},
            "no_interval": why_no_interval(row),
            "times_comparable": is_timed_alike(row, comparison),
        }
        for row in comparison.rows
    ]
    plain: Record = _plain(fields | {"answer": comparison.answer, "split": comparison.split, "rows": rows})
    return plain


_ROW_VALUES = (
    "n", "failed", "diverged", "at_chance", "undetermined", "measured", "validation", "test", "images", "parameters",
    "flops", "train_seconds", "images_per_second", "environment", "difference", "decision", "verdict", "still_learning",
    "marks",
)  # fmt: skip
"""Attributes of a row that its JSON holds, in this order."""


def _table(comparison: Comparison) -> Iterator[Record]:
    """The columns of the page; means over the trained runs. No time that cannot be compared with the first row's."""
    metric, names = metric_of(comparison.metric), _names(comparison)

    def mean(estimate: Estimate | None) -> float | None:
        return None if estimate is None else estimate.mean

    for row in comparison.ranked:
        difference = row.difference.mean if row.difference else None
        seconds, speed = (row.train_seconds, row.images_per_second) if is_timed_alike(row, comparison) else (None, None)
        values = (row.label, mean(row.test), difference, row.decision, mean(row.validation), row.n,
                  mean(seconds), row.parameters, row.flops, mean(speed))  # fmt: skip
        measured = {metric.name: mean(row.measured)} if metric.name not in names else {}
        yield dict(zip(names, values, strict=True)) | measured


def is_timed_alike(row: Row, comparison: Comparison) -> bool:
    """Whether a row's times can be compared with those of the first row of the table."""
    return row.timed_in is not None and row.timed_in == comparison.ranked[0].timed_in


def _names(comparison: Comparison) -> tuple[str, ...]:
    first = "network" if comparison.by == "model" else comparison.by
    gap = gap_name(metric_of(comparison.metric))
    return (first, "test_accuracy", gap, "verdict", "validation_accuracy", "seeds", "train_seconds",
            "parameters", "flops", "images_per_second")  # fmt: skip


def _runs(comparison: Comparison) -> Iterator[Record]:
    metric = metric_of(comparison.metric)
    for row, run in _each_run(comparison):
        scores, cost, environment = comparison.scores(run), run.outcome.cost, run.outcome.environment
        yield {
            "label": row.label,
            "seed": run.recipe.seed,
            "key": run.key,
            "status": status(run),
            "message": run.outcome.message,
            **{name: each.measure(run) for name, each in METRICS.items()},
            metric.name: metric.measure(run),
            "calibration_error": scores.calibration_error if scores else None,
            "selected_epoch": run.outcome.selected_epoch,
            "total_seconds": cost.total_seconds if cost else None,
            "peak_memory_bytes": cost.peak_memory_bytes if cost else None,
            "processor": environment.processor,
            "processor_model": environment.processor_model,
            "instruction_sets": environment.instruction_sets,
            "device": environment.device,
            "threads": environment.threads,
            "workers": environment.workers,
            "torch": environment.torch,
            "kernels": environment.kernels,
            "code": environment.code,
            "commit": environment.commit,
            "engine": environment.engine,
            "stacked": len(environment.stack),
            "mixed": run.is_mixed,
            **settings(run.recipe, "seed"),
        }


def _epochs(comparison: Comparison) -> Iterator[Record]:
    for row, run in _each_run(comparison):
        for epoch in run.outcome.history:
            yield {"label": row.label, "seed": run.recipe.seed, "status": status(run), **dataclasses.asdict(epoch)}


def _steps(comparison: Comparison) -> Iterator[Record]:
    for row, run in _each_run(comparison):
        steps = run.steps()
        if steps is not None:
            for step, (loss, accuracy) in enumerate(zip(*steps, strict=True), start=1):
                yield {"label": row.label, "seed": run.recipe.seed, "status": status(run), "step": step,
                       "train_loss": float(loss), "train_accuracy": float(accuracy)}  # fmt: skip


def _classes(comparison: Comparison) -> Iterator[Record]:
    for row, run in _each_run(comparison):
        scores = comparison.scores(run)
        if scores is not None:
            counts = class_counts(scores.confusion)
            of_classes = zip(*(part.tolist() for part in counts), strict=True)
            for (name, accuracy), (right, images, predicted) in zip(scores.per_class.items(), of_classes, strict=True):
                precision = right / predicted if predicted else None
                f1 = 2 * right / (images + predicted) if images + predicted else None
                yield {"label": row.label, "seed": run.recipe.seed, "status": status(run), "class": name,
                       "accuracy": accuracy, "precision": precision, "f1": f1, "images": images,
                       "predicted": predicted}  # fmt: skip


def gap_name(metric: Metric) -> str:
    """What a column with a difference to the baseline is called: of losses it is the ratio."""
    return "ratio" if metric.kind == "loss" else "difference"


def _rows(comparison: Comparison) -> Iterator[Record]:
    gap = gap_name(metric_of(comparison.metric))
    for row in comparison.rows:
        record: Record = {"label": row.label, "runs": len(row.runs), "n": row.n, "failed": row.failed,
                          "diverged": row.diverged, "at_chance": row.at_chance,
                          "undetermined": row.undetermined}  # fmt: skip
        estimates = {"measured": row.measured, "test": row.test, "validation": row.validation,
                     "train_seconds": row.train_seconds, "images_per_second": row.images_per_second}  # fmt: skip
        for name, estimate in estimates.items():
            for part in ("mean", "low", "high", "deviation"):
                record[f"{name}_{part}"] = getattr(estimate, part) if estimate else None
        for part in ("mean", "low", "high", "paired", "family", "is_unlike", "caution"):
            record[f"{gap}_{part}"] = getattr(row.difference, part) if row.difference else None
        yield record | {
            "images_low": row.images.low if row.images else None,
            "images_high": row.images.high if row.images else None,
            "parameters": row.parameters,
            "flops": row.flops,
            "environment": row.environment,
            "times_comparable": is_timed_alike(row, comparison),
            "decision": row.decision,
            "verdict": row.verdict,
            "still_learning": row.still_learning,
            "marks": ", ".join(row.marks),
        }


def _each_run(comparison: Comparison) -> Iterator[tuple[Row, StoredRun]]:
    for row in comparison.rows:
        for run in row.runs:
            yield row, run


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_FRAMES: dict[str, Callable[[Comparison], Iterator[Record]]] = {
    "table": _table,
    "rows": _rows,
    "runs": _runs,
    "epochs": _epochs,
    "classes": _classes,
    "steps": _steps,
}
