"""Times Convarium against the reference loops, in turns; the result is a ratio with its spread.

All contestants train the same network at the same batch size with the same augmentation. Timed is the steady state of
the training loop: data loading, augmentation, forward, loss, backward, update, and the end of an epoch. Building,
compiling, the first steps and a second of warm-up in every turn are not timed.
"""

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from convarium.analysis.statistics import paired_ratio
from convarium.benchmark.contestants import (
    Precision,
    job_of,
    lightning_contestant,
    recipe_of,
    reference_contestant,
    splits_of,
)
from convarium.benchmark.lightning_reference import check_lightning
from convarium.benchmark.machine import Ceiling, ceiling
from convarium.benchmark.reference import JOBS, Job
from convarium.errors import ConvariumError
from convarium.models.build import load_architecture
from convarium.models.cost import count_flops
from convarium.records import Environment, ImageSpec
from convarium.runs.environment import emulates_bfloat16, environment
from convarium.training.interleaved_timing import Contestant, interleaved, measure_pairs
from convarium.training.scoring import pick_device
from convarium.training.timed_training import training_contestant

STACKED_JOBS = ("memory_mlp", "lenet@d2l", "resnet@uva")
MEMBERS = 8
"""The number of seeds in a stack."""

_Kind = tuple[Precision, int]
"""Precision and number of members."""


@dataclass(frozen=True)
class BenchRow:
    """The timing of one job at one precision.

    Attributes:
        members: the number of seeds that Convarium trains at once; its rate counts the images of all of them.
        seconds: the length of each turn.
        reference, convarium: images per second, one for each pair.
        ratios: Convarium's rate divided by the reference's, for each pair.
        lightning, lightning_ratios: likewise for Lightning's Trainer; None if it did not take part.
        share: the share of the machine's matrix-product rate that Convarium reaches, where a training step counts as
            three forward passes.
    """

    job: str
    precision: Precision
    members: int
    batch_size: int
    seconds: float
    reference: tuple[float, ...]
    convarium: tuple[float, ...]
    ratios: tuple[float, ...]
    lightning: tuple[float, ...] | None
    lightning_ratios: tuple[float, ...] | None
    share: float
    ceiling: Ceiling
    environment: Environment


def bench(
    jobs: Iterable[str] = tuple(JOBS),
    *,
    pairs: int = 5,
    seconds: float = 10.0,
    precision: Literal["both", "float32", "bfloat16"] = "both",
    stack: bool = False,
    lightning: bool = False,
    data_dir: Path | str | None = None,
    device: torch.device | str | None = None,
    on_event: Callable[[BenchRow], None] | None = None,
) -> list[BenchRow]:
    """Times jobs against their reference loops.

    Args:
        jobs: names in JOBS.
        pairs: the number of turns of every contestant; each pair begins with another contestant, so that a drift of the
            machine's speed affects all alike.
        seconds: about how long a turn is.
        precision: the precision of Convarium, one row for each; the reference is always float32. "both" is float32
            alone if the processor emulates bfloat16, see `emulates_bfloat16`.
        stack: whether to time MEMBERS seeds in a stack too, for the jobs in STACKED_JOBS.
        lightning: whether to time Lightning's Trainer too.
        data_dir: as in `load_data`.
        device: None: CUDA if there is a device, else the CPU.
        on_event: called with every finished row.

    Raises:
        SpecError: there is no such job.
        ConvariumError: a number is out of range, or Lightning is not installed.
        DataError: the data are missing.
    """
    known = {name: job_of(name) for name in jobs}
    if pairs < 1 or not 0 < seconds < math.inf:
        hint = "leave --pairs and --seconds out"
        raise ConvariumError("the timing is out of range", expected="pairs ≥ 1 and seconds > 0", hint=hint)
    if lightning:
        check_lightning()
    chosen = pick_device(device)
    both: tuple[Precision, ...] = ("float32",) if emulates_bfloat16(chosen) else ("float32", "bfloat16")
    precisions = both if precision == "both" else (precision,)
    peak, rows = ceiling(chosen), []
    for name, job in known.items():
        stacks = (1, MEMBERS) if stack and name in STACKED_JOBS else (1,)
        kinds: list[_Kind] = [(p, members) for members in stacks for p in precisions]
        splits = splits_of(job, recipe_of(job, "float32"), data_dir)
        contestants: dict[str | _Kind, Contestant] = {"reference": reference_contestant(job, splits.train, chosen)}
        if lightning:
            contestants["lightning"] = lightning_contestant(job, splits.train, chosen)
        for kind in kinds:
            contestants[kind] = training_contestant(recipe_of(job, kind[0]), splits, chosen, members=kind[1])
        with interleaved(contestants, chosen, default_openmp=("reference", "lightning")) as turns:
            measured = measure_pairs(turns, pairs=pairs, seconds=seconds)
        rates = {each: tuple(turn.images_per_second for turn in taken) for each, taken in measured.items()}
        flops = 3 * _flops(job, splits.train.spec)
        for kind in kinds:
            ours, references, trainer = rates[kind], rates["reference"], rates.get("lightning")
            row = BenchRow(
                job=name,
                precision=kind[0],
                members=kind[1],
                batch_size=job.batch_size,
                seconds=seconds,
                reference=references,
                convarium=ours,
                ratios=paired_ratio(ours, references).ratios,
                lightning=trainer,
                lightning_ratios=paired_ratio(ours, trainer).ratios if trainer else None,
                share=peak.share(statistics.median(ours) * flops, kind[0]),
                ceiling=peak,
                environment=environment(chosen),
            )
            rows.append(row)
            if on_event:
                on_event(row)
    return rows


def _flops(job: Job, image: ImageSpec) -> int:
    with torch.device("meta"):
        return count_flops(load_architecture(job.model).build(image), image)
