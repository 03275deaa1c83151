"""The records of speed: one JSON file for each machine, results/speed/<machine>.json.

A file holds `machine` (processor and instruction set), `timings`, `accuracies` (of the faster loop against another one)
and `first_losses`, each with its commit. A timing has the median of the reference's and of Convarium's rate (images per
second) with the rate of every turn, and the median, lowest and highest ratio over the pairs; `turns` is null in records
that were made from tables. Nothing here imports torch.
"""

from __future__ import annotations

import json
import platform
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convarium.analysis.statistics import paired_ratio
from convarium.disk import read_json
from convarium.errors import ConvariumError, FileContentError

if TYPE_CHECKING:
    from convarium.benchmark.accuracy import Accuracies
    from convarium.benchmark.cold_start import ColdStart
    from convarium.benchmark.losses import FirstLosses
    from convarium.benchmark.speed import BenchRow

Record = dict[str, Any]
"""The content of one file, or one entry of its lists."""

_MOST_BYTES = 2**26

_LISTS: Mapping[str, tuple[str, ...]] = {
    "timings": ("job", "precision", "members", "threads"),
    "accuracies": ("network", "dataset", "images", "epochs", "seeds", "first", "second"),
    "first_losses": ("job", "precision"),
}
"""The lists of a record with the fields by which a new entry replaces an old one."""

_CPU_FLAGS = (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512-bf16"), ("avx512f", "AVX-512"), ("avx2", "AVX2"))


def record(
    rows: Sequence[BenchRow],
    folder: Path | str,
    *,
    cold: Mapping[BenchRow, ColdStart] | None = None,
    accuracies: Iterable[Accuracies] = (),
    first_losses: Iterable[FirstLosses] = (),
) -> Path:
    """Writes timings into the file of this machine; entries for the same job and precision are replaced.

    Args:
        rows: the rows of `bench`, all from this machine.
        folder: the folder of the files, results/speed in the repository.
        cold: trainings from a fresh process, by the row that they belong to.
        accuracies: results of `equal_accuracy` for the jobs of the rows.
        first_losses: its results for the jobs whose first losses it compared.

    Returns:
        The file that was written.

    Raises:
        ConvariumError: there are no rows, or a file cannot be read.
    """
    if not rows:
        raise ConvariumError("there are no timings to record", hint="name at least one job")
    machine = machine_of(rows[0])
    path = Path(folder) / f"{slug(machine)}.json"
    commit = {"commit": rows[0].environment.commit}
    new: Record = {
        "machine": machine,
        "timings": [timing_of(row, (cold or {}).get(row)) for row in rows],
        "accuracies": [_accuracy_of(each) | commit for each in accuracies],
        "first_losses": [_losses_of(each) | commit for each in first_losses],
    }
    old = read_record(path) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump(merge(old, new)), encoding="utf-8")
    return path


def read_records(folder: Path | str) -> list[Record]:
    """Reads the record of every machine, in the order of the file names.

    Raises:
        ConvariumError: a file cannot be read.
    """
    return [read_record(path) for path in sorted(Path(folder).glob("*.json"))]


def read_record(path: Path) -> Record:
    """Reads the record of one machine.

    Raises:
        ConvariumError: the file is not JSON, or has no machine.
    """
    try:
        content: Record = read_json(path, _MOST_BYTES)
        content["machine"]["processor"], content["timings"]
    except (FileContentError, ValueError, KeyError, TypeError) as error:
        raise ConvariumError(f"{path} is not a record of speed", received=error, hint="restore or remove it") from None
    return content


def merge(old: Record, new: Record) -> Record:
    """Returns the old record with the new entries; those for the same subject replace old ones in their places."""
    merged: Record = {"machine": new["machine"]}
    for name, fields in _LISTS.items():
        by_subject = {tuple(entry[field] for field in fields): entry for entry in old.get(name, [])}
        by_subject |= {tuple(entry[field] for field in fields): entry for entry in new.get(name, [])}
        merged[name] = list(by_subject.values())
    from_table = any(timing["convarium"]["turns"] is None for timing in merged["timings"])
    return merged | ({"note": old["note"]} if from_table and "note" in old else {})


def dump(content: Record) -> str:
    """Writes a record as JSON with one entry of its lists per line, so that a change shows in a diff as its line."""
    parts = []
    for name, value in content.items():
        entries = [json.dumps(entry, ensure_ascii=False) for entry in value] if name in _LISTS else []
        text = "[\n  " + ",\n  ".join(entries) + "\n ]" if entries else json.dumps(value, ensure_ascii=False)
        parts.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def timing_of(row: BenchRow, cold: ColdStart | None = None) -> Record:
    """Returns the entry of one timed row, with the rate of every turn."""
    where = row.environment
    return {
        "job": row.job,
        "precision": row.precision,
        "members": row.members,
        "batch_size": row.batch_size,
        "date": where.started[:10],
        "commit": where.commit,
        "versions": {"torch": where.torch, "convarium": where.convarium, "python": where.python},
        "kernels": where.kernels,
        "threads": where.threads,
        "seconds": row.seconds,
        "pairs": len(row.ratios),
        "reference": _rates(row.reference),
        "convarium": _rates(row.convarium),
        "ratio": _spread(row.convarium, row.reference),
        **(
            {"lightning": _rates(row.lightning), "lightning_ratio": _spread(row.convarium, row.lightning)}
            if row.lightning
            else {}
        ),
        "share": row.share,
        "peak": asdict(row.ceiling),
        **({"cold": {"epochs": cold.epochs, "images": cold.images, "first_step": cold.first_step,
                     "training": cold.training, "total": cold.total, "accuracy": cold.accuracy}} if cold else {}),
    }  # fmt: skip


def machine_of(row: BenchRow) -> dict[str, str]:
    """Returns processor and instruction set, or the GPU, on which a row was timed."""
    kind, _, name = row.environment.device.partition(": ")
    if kind != "cpu":
        return {"processor": name, "instructions": {"cuda": "CUDA", "mps": "Metal"}[kind]}
    return {"processor": row.environment.processor, "instructions": instruction_set()}


def instruction_set(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Returns the widest of this processor's instruction sets: "AMX", "AVX512-bf16", "AVX-512", "AVX2", or its kind."""
    try:
        text = cpuinfo.read_text(encoding="utf-8")
    except OSError:
        text = ""
    flags = set(re.findall(r"[a-z0-9_]+", text))
    return next((name for flag, name in _CPU_FLAGS if flag in flags), platform.machine())


def slug(machine: Mapping[str, str]) -> str:
    """Returns the file name of a machine: "amd-epyc-avx2", "intel-xeon-amx"."""
    text = re.sub(r"\(r\)|\(tm\)|\bcpu\b|\bprocessor\b|@.*", " ", machine["processor"], flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9]+", "-", f"{text} {machine['instructions']}".lower()).strip("-")


def _accuracy_of(result: Accuracies) -> Record:
    from convarium.benchmark.reference import JOBS

    same, accuracies = result.equivalence, [list(result.convarium), list(result.reference)]
    failed = "failed" in result.verdict or None in [*result.convarium, *result.reference]
    return {
        "network": result.job,
        "dataset": JOBS[result.job].dataset,
        "images": result.images,
        "epochs": result.epochs,
        "seeds": len(result.reference),
        "paired": False,
        "first": result.precision,
        "second": "the reference",
        "means": None if failed else [statistics.fmean(a for a in each if a is not None) for each in accuracies],
        "accuracies": accuracies,
        "low": same.low if same else None,
        "high": same.high if same else None,
        "level": result.level,
        "margin": same.margin if same else None,
        "verdict": "equivalent" if same and same.equivalent else "undecided",
        "note": result.verdict if failed else None,
    }


def _losses_of(result: FirstLosses) -> Record:
    steps, near = len(result.reference), 2**-7
    return {"job": result.job, "precision": result.precision, "steps": steps, "apart": result.apart, "allowed": near}


def _rates(turns: Sequence[float]) -> Record:
    return {"median": statistics.median(turns), "turns": list(turns)}


def _spread(first: Sequence[float], second: Sequence[float]) -> Record:
    ratio = paired_ratio(first, second)
    return {"median": ratio.median, "lowest": ratio.lowest, "highest": ratio.highest}
