"""The timing: reference and Convarium take turns, and the result is a ratio with its spread.

All sides train the same network at the same batch size under the same augmentation law. What is timed is the steady
state inside the training loop: data loading, augmentation, forward, loss, backward, update, and what the end of an
epoch costs. Building, compiling, the first steps and a second of warming up in every turn lie outside.
"""

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import truediv
from pathlib import Path
from typing import Literal

import torch

from convarium.benchmark.machine import Ceiling, ceiling
from convarium.benchmark.racing import Side, alternate, racing
from convarium.benchmark.reference import JOBS, Job
from convarium.benchmark.sides import (
    Precision,
    convarium_side,
    job_of,
    lightning_side,
    recipe_of,
    reference_side,
    splits_of,
)
from convarium.benchmark.trainer import check_lightning
from convarium.errors import ConvariumError
from convarium.models.build import resolve
from convarium.models.cost import count_flops
from convarium.records import Environment, ImageSpec
from convarium.runs.environment import emulates_bfloat16, environment
from convarium.training.scoring import pick_device

STACKED_JOBS = ("memory_mlp", "lenet@d2l", "resnet@uva")
MEMBERS = 8
"""Seeds in a stack."""

_Kind = tuple[Precision, int]
"""Precision and members."""


@dataclass(frozen=True)
class BenchRow:
    """One job at one precision, timed.

    Attributes:
        members: seeds that Convarium trains at once; its rate is of the images of all of them.
        seconds: of each turn.
        reference, convarium: images a second, one figure a pair.
        ratios: Convarium's rate to the reference's, pair by pair.
        lightning, lightning_ratios: likewise of Lightning's Trainer, see `trainer`; None where it took no part.
        share: of the machine's matrix-product rate that Convarium reaches, a training step taken as three forward
            passes.
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
        jobs: names of JOBS.
        pairs: how often every side has its turn; each pair begins with another side, so that a drift of the machine's
            speed falls on all.
        seconds: about how long a turn is.
        precision: of Convarium, one row for each; the reference is float32 always. "both" is float32 alone where
            bfloat16 is emulated, see `emulates_bfloat16`.
        stack: also rows of MEMBERS seeds trained as one stack, for those of the jobs that are STACKED_JOBS.
        lightning: also the second yardstick.
        data_dir: see `load_data`.
        device: None: CUDA if there is a device, else the CPU.
        on_event: called with every finished row.

    Raises:
        SpecError: no such job.
        ConvariumError: a number out of range, or no Lightning.
        DataError: the data are missing.
    """
    named = {name: job_of(name) for name in jobs}
    if pairs < 1 or not 0 < seconds < math.inf:
        hint = "leave --pairs and --seconds out"
        raise ConvariumError("the timing is out of range", expected="pairs ≥ 1 and seconds > 0", hint=hint)
    if lightning:
        check_lightning()
    chosen = pick_device(device)
    both: tuple[Precision, ...] = ("float32",) if emulates_bfloat16(chosen) else ("float32", "bfloat16")
    precisions = both if precision == "both" else (precision,)
    best, rows = ceiling(chosen), []
    for name, job in named.items():
        stacks = (1, MEMBERS) if stack and name in STACKED_JOBS else (1,)
        kinds: list[_Kind] = [(p, members) for members in stacks for p in precisions]
        splits = splits_of(job, recipe_of(job, "float32"), data_dir)
        sides: dict[str | _Kind, Side] = {"reference": reference_side(job, splits.train, chosen)}
        if lightning:
            sides["lightning"] = lightning_side(job, splits.train, chosen)
        sides |= {(p, m): convarium_side(recipe_of(job, p), splits, chosen, members=m) for p, m in kinds}
        with racing(sides, chosen, untuned=("reference", "lightning")) as turns:
            rates = alternate(turns, pairs=pairs, seconds=seconds)
        flops = 3 * _flops(job, splits.train.spec)
        for kind in kinds:
            ours, theirs, trainer = rates[kind], rates["reference"], rates.get("lightning")
            row = BenchRow(
                job=name,
                precision=kind[0],
                members=kind[1],
                batch_size=job.batch_size,
                seconds=seconds,
                reference=theirs,
                convarium=ours,
                ratios=tuple(map(truediv, ours, theirs)),
                lightning=trainer,
                lightning_ratios=trainer and tuple(map(truediv, ours, trainer)),
                share=best.share(statistics.median(ours) * flops, kind[0]),
                ceiling=best,
                environment=environment(chosen),
            )
            rows.append(row)
            if on_event:
                on_event(row)
    return rows


def _flops(job: Job, image: ImageSpec) -> int:
    with torch.device("meta"):
        return count_flops(resolve(job.model).build(image), image)
