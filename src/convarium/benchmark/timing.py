"""The timing: reference and Convarium take turns in one process, and the result is a ratio with its spread.

Both sides train the same network at the same batch size, for the same number of steps, under the same augmentation law.
What is timed is the steady state inside the training loop: data loading, augmentation, forward, loss, backward, update.
The start of workers, building, compiling and a few steps to warm up lie outside.
"""

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from convarium.benchmark.machine import Ceiling, ceiling
from convarium.benchmark.reference import JOBS
from convarium.benchmark.sides import Side, convarium_side, job_of, recipe_of, reference_side, splits_of
from convarium.building import resolve
from convarium.cost import count_flops, environment
from convarium.errors import ConvariumError
from convarium.records import Environment
from convarium.training.scoring import pick_device

WARM_UP_STEPS = 2


@dataclass(frozen=True)
class BenchRow:
    """One job, timed.

    Attributes:
        steps: timed steps of each side in each pair.
        reference, convarium: images a second, one figure a pair.
        ratios: Convarium's rate to the reference's, pair by pair.
        share: of the machine's matrix-product rate that Convarium reaches, a training step taken as three forward
            passes.
    """

    job: str
    precision: str
    batch_size: int
    steps: int
    reference: tuple[float, ...]
    convarium: tuple[float, ...]
    ratios: tuple[float, ...]
    share: float
    ceiling: Ceiling
    environment: Environment


def bench(
    jobs: Iterable[str] = tuple(JOBS),
    *,
    pairs: int = 5,
    seconds: float = 10.0,
    data_dir: Path | str | None = None,
    device: torch.device | str | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
    progress: Callable[[BenchRow], None] | None = None,
) -> list[BenchRow]:
    """Times jobs against their reference loops.

    Args:
        jobs: names of JOBS.
        pairs: how often both sides run; every other pair begins with Convarium, so that a drift of the machine's speed
            falls on both.
        seconds: about how long the reference trains in each pair; Convarium then trains as many images.
        data_dir: see `load_data`.
        device: None: CUDA if there is a device, else the CPU.
        precision: of Convarium; the reference is float32 always.
        progress: called with every finished row.

    Raises:
        SpecError: no such job.
        ConvariumError: a number out of range.
        DataError: the data are missing.
    """
    named = {name: job_of(name) for name in jobs}
    if pairs < 1 or not 0 < seconds < math.inf:
        hint = "leave --pairs and --seconds out"
        raise ConvariumError("the timing is out of range", expected="pairs ≥ 1 and seconds > 0", hint=hint)
    chosen = pick_device(device)
    best, rows = ceiling(chosen), []
    for name, job in named.items():
        recipe = recipe_of(job, precision)
        splits = splits_of(job, recipe, data_dir)
        sides = reference_side(job, splits.train, chosen), convarium_side(recipe, splits, chosen)
        steps = steps_for(sides[0], seconds)
        figures = alternate(*sides, pairs=pairs, steps=steps)
        ratios = tuple(ours / theirs for theirs, ours in figures)
        image = splits.train.spec
        with torch.device("meta"):
            flops = 3 * count_flops(resolve(recipe.model).build(image), image)
        rows.append(
            BenchRow(
                job=name,
                precision=precision,
                batch_size=job.batch_size,
                steps=steps,
                reference=tuple(theirs for theirs, _ in figures),
                convarium=tuple(ours for _, ours in figures),
                ratios=ratios,
                share=best.share(statistics.median(ours for _, ours in figures) * flops, precision),
                ceiling=best,
                environment=environment(chosen),
            )
        )
        if progress:
            progress(rows[-1])
    return rows


def alternate(theirs: Side, ours: Side, *, pairs: int, steps: int) -> list[tuple[float, float]]:
    """Images a second of both sides, pair by pair; every other pair begins with the second side."""
    figures = []
    for pair in range(pairs):
        order = (theirs, ours) if pair % 2 == 0 else (ours, theirs)
        rates = {side: images / seconds for side in order for images, seconds in [side(WARM_UP_STEPS, steps)]}
        figures.append((rates[theirs], rates[ours]))
    return figures


def steps_for(side: Side, seconds: float) -> int:
    """How many steps a side makes in about `seconds`, at least 2, from a short trial."""
    steps = 2
    while True:
        _, took = side(WARM_UP_STEPS, steps)
        if took >= seconds / 10:
            return max(2, round(seconds / took * steps))
        steps *= max(2, min(10, math.ceil(seconds / 10 / took)))


def as_json(rows: Iterable[BenchRow]) -> list[dict[str, Any]]:
    """The rows, each with the machine, the commit and all figures."""
    return [dataclasses.asdict(row) for row in rows]


def as_markdown(rows: Sequence[BenchRow]) -> str:
    """A table with the machine above it; the ratio is the median over the pairs, with the least and the greatest."""
    lines: list[str] = []
    for machine in dict.fromkeys(_machine(row) for row in rows):
        lines += [machine, ""] if not lines else ["", machine, ""]
        lines += ["| job | precision | batch | reference, img/s | Convarium, img/s | ratio | share of peak |"]
        lines += ["| --- | --- | ---: | ---: | ---: | ---: | ---: |"]
        for row in (row for row in rows if _machine(row) == machine):
            theirs, ours, ratio = map(statistics.median, (row.reference, row.convarium, row.ratios))
            spread = f"{ratio:.1f} ({min(row.ratios):.1f} to {max(row.ratios):.1f}, {len(row.ratios)} pairs)"
            lines.append(
                f"| {row.job} | {row.precision} | {row.batch_size} | {theirs:,.0f} | {ours:,.0f} | {spread} "
                f"| {row.share:.0%} |"
            )
    return "\n".join(lines)


def _machine(row: BenchRow) -> str:
    where = row.environment
    on = where.processor if where.device == "cpu" else where.device.removeprefix("cuda: ")
    commit = f", commit {where.commit[:12]}{'-dirty' * where.commit.endswith('-dirty')}" if where.commit else ""
    return (
        f"{on}, {where.threads} threads, torch {where.torch}, Convarium {where.convarium}{commit}, {where.started[:10]}"
    )
