"""Timings as JSON and as the Markdown tables that the command prints and docs/speed.md holds."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from convarium.benchmark.speed_records import Record, timing_of

if TYPE_CHECKING:
    from convarium.benchmark.cold_start import ColdStart
    from convarium.benchmark.speed import BenchRow
    from convarium.records import Environment


def as_json(rows: Iterable[BenchRow]) -> list[dict[str, Any]]:
    """Returns the rows with all their figures, each with its machine and commit."""
    return [dataclasses.asdict(row) for row in rows]


def as_markdown(rows: Sequence[BenchRow]) -> str:
    """Returns a table for each machine, under a line that describes it."""
    lines: list[str] = []
    for where in dict.fromkeys(describe(row.environment) for row in rows):
        lines += [where, ""] if not lines else ["", where, ""]
        lines += timing_table([timing_of(row) for row in rows if describe(row.environment) == where])
    return "\n".join(lines)


def cold_as_markdown(cold_starts: Mapping[BenchRow, ColdStart]) -> str:
    """Returns a table of trainings from a fresh process, each by the row that has the rate of the source's loop."""
    return "\n".join(table([_cold_cells(row, cold) for row, cold in cold_starts.items()]))


def describe(where: Environment) -> str:
    """Names processor or GPU, threads, versions, commit and date."""
    processor = where.processor if where.device == "cpu" else where.device.removeprefix("cuda: ")
    threads = f"{where.threads} thread{'' if where.threads == 1 else 's'}"
    commit = f", commit {short(where.commit)}" if where.commit else ""
    return f"{processor}, {threads}, torch {where.torch}, Convarium {where.convarium}{commit}, {where.started[:10]}"


def short(commit: str) -> str:
    """Returns the first 12 digits of a commit, with "-dirty" if its files were changed."""
    return commit[:12] + "-dirty" * commit.endswith("-dirty")


def timing_table(timings: Sequence[Record], marks: Sequence[str] = ()) -> list[str]:
    """Returns the lines of a table of timings; the ratio is the median over the pairs, with the lowest and the highest.

    Args:
        timings: entries as `timing_of` makes them.
        marks: a mark for each timing that is put behind its job; empty: none.
    """
    lightning = any("lightning" in timing for timing in timings)
    return table(
        [
            _timing_cells(timing, mark, lightning=lightning)
            for timing, mark in zip(timings, marks or [""] * len(timings), strict=True)
        ]
    )


def table(rows: Sequence[Mapping[str, str]], left: Sequence[str] = ("job", "precision")) -> list[str]:
    """Returns the lines of a Markdown table; columns that are not in `left` are aligned to the right."""
    columns = list(rows[0]) if rows else []
    rules = ["---" if column in left else "---:" for column in columns]
    return [f"| {' | '.join(cells)} |" for cells in (columns, rules, *(row.values() for row in rows)) if rows]


def _timing_cells(timing: Record, mark: str, *, lightning: bool) -> dict[str, str]:
    job = timing["job"] if timing["members"] == 1 else f"{timing['job']}, {timing['members']} seeds stacked, per seed"
    second = {}
    if lightning:
        both = "lightning" in timing
        second["Lightning, img/s"] = f"{timing['lightning']['median']:,.0f}" if both else ""
        second["ratio to Lightning"] = _spread(timing["lightning_ratio"], timing["pairs"]) if both else ""
    return {
        "job": f"{job} {mark}".rstrip(),
        "precision": timing["precision"],
        "batch": str(timing["batch_size"]),
        "reference, img/s": f"{timing['reference']['median']:,.0f}",
        "Convarium, img/s": f"{timing['convarium']['median']:,.0f}",
        "ratio": _spread(timing["ratio"], timing["pairs"]),
        **second,
        "share of peak": f"{timing['share']:.0%}",
    }


def _cold_cells(row: BenchRow, cold: ColdStart) -> dict[str, str]:
    loop = cold.epochs * cold.images / statistics.median(row.reference)
    return {
        "job": row.job,
        "precision": row.precision,
        "epochs": str(cold.epochs),
        "start to first step, s": f"{cold.first_step:,.1f}",
        "training, s": f"{cold.training:,.1f}",
        "start to end, s": f"{cold.total:,.1f}",
        "source's loop at its rate, s": f"{loop:,.1f}",
        "test accuracy": "diverged" if cold.accuracy is None else f"{cold.accuracy:.2%}",
    }


def _spread(ratio: Record, pairs: int) -> str:
    counted = f"{pairs} pair{'' if pairs == 1 else 's'}"
    return f"{ratio['median']:.1f} ({ratio['lowest']:.1f} to {ratio['highest']:.1f}, {counted})"
