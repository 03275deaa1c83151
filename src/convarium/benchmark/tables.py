"""What was measured, as JSON and as the rows of docs/speed.md."""

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from convarium.benchmark.cold_start import ColdStart
from convarium.benchmark.timing import BenchRow
from convarium.records import Environment


def as_json(rows: Iterable[BenchRow]) -> list[dict[str, Any]]:
    """The rows, each with the machine, the commit and all figures."""
    return [dataclasses.asdict(row) for row in rows]


def as_markdown(rows: Sequence[BenchRow]) -> str:
    """A table with the machine above it; the ratio is the median over the pairs, with the least and the greatest."""
    lines: list[str] = []
    for where in dict.fromkeys(machine(row.environment) for row in rows):
        lines += [where, ""] if not lines else ["", where, ""]
        lines += _table([_cells(row) for row in rows if machine(row.environment) == where])
    return "\n".join(lines)


def cold_as_markdown(found: Mapping[BenchRow, ColdStart]) -> str:
    """A table of trainings from a fresh process, each beside the row that says how fast the source's loop is."""
    return "\n".join(_table([_cold_cells(row, cold) for row, cold in found.items()]))


def machine(where: Environment) -> str:
    """Processor or GPU, threads, versions, commit and day."""
    on = where.processor if where.device == "cpu" else where.device.removeprefix("cuda: ")
    threads = f"{where.threads} thread{'' if where.threads == 1 else 's'}"
    commit = f", commit {where.commit[:12]}{'-dirty' * where.commit.endswith('-dirty')}" if where.commit else ""
    return f"{on}, {threads}, torch {where.torch}, Convarium {where.convarium}{commit}, {where.started[:10]}"


def _cells(row: BenchRow) -> dict[str, str]:
    job = row.job if row.members == 1 else f"{row.job}, {row.members} seeds stacked, per seed"
    lightning = {}
    if row.lightning and row.lightning_ratios:
        lightning["Lightning, img/s"] = f"{statistics.median(row.lightning):,.0f}"
        lightning["ratio to Lightning"] = _spread(row.lightning_ratios)
    return {
        "job": job,
        "precision": row.precision,
        "batch": str(row.batch_size),
        "reference, img/s": f"{statistics.median(row.reference):,.0f}",
        "Convarium, img/s": f"{statistics.median(row.convarium):,.0f}",
        "ratio": _spread(row.ratios),
        **lightning,
        "share of peak": f"{row.share:.0%}",
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


def _spread(ratios: Sequence[float]) -> str:
    pairs = f"{len(ratios)} pair{'' if len(ratios) == 1 else 's'}"
    return f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}, {pairs})"


def _table(rows: Sequence[dict[str, str]]) -> list[str]:
    columns = list(rows[0]) if rows else []
    rules = ["---" if column in ("job", "precision") else "---:" for column in columns]
    return [f"| {' | '.join(cells)} |" for cells in (columns, rules, *(row.values() for row in rows)) if rows]
