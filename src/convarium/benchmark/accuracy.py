"""Whether what is faster learns as much: equivalent accuracies over seeds."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from convarium.analysis.comparison import METRICS
from convarium.analysis.comparison.formatting import amounts, quantity
from convarium.analysis.statistics import LEVEL, Equivalence, at_chance, equivalence, margin_of
from convarium.benchmark import reference
from convarium.benchmark.losses import FirstLosses, first_losses
from convarium.benchmark.reference import Job
from convarium.benchmark.sides import Precision, arrays_of, job_of, recipe_of, splits_of
from convarium.data.images import ImageData, Splits
from convarium.errors import ConvariumError
from convarium.training import fit
from convarium.training.scoring import pick_device


@dataclass(frozen=True)
class Accuracies:
    """Test accuracies of both sides after equal training, and what they show.

    Attributes:
        reference, convarium: one a seed; None for a run that diverged.
        equivalence: of the runs that trained, by two one-sided tests at the protocol's margin for the data set; None
            where fewer than two trained on a side.
        verdict: the sentence, failures first.
    """

    job: str
    precision: Precision
    epochs: int
    images: int
    reference: tuple[float | None, ...]
    convarium: tuple[float | None, ...]
    equivalence: Equivalence | None
    verdict: str


def equal_accuracy(
    job: str,
    *,
    precisions: Sequence[Precision] = ("float32", "bfloat16"),
    seeds: int = 10,
    epochs: int = 1,
    images: int | None = None,
    data_dir: Path | str | None = None,
    device: torch.device | str | None = None,
) -> list[Accuracies] | list[FirstLosses]:
    """Trains both sides alike and compares what they have learned, one result a precision.

    At 224 pixels on a CPU, where a training takes hours, the first losses are compared.

    Args:
        job: a name of JOBS.
        precisions: of Convarium; each is compared with the one float32 reference.
        seeds: trainings of each side; orders and initial weights of the sides have nothing in common.
        epochs: of each training, at a constant learning rate.
        images: training images, the first of the split; None: all.
        data_dir: as in `bench`.
        device: as in `bench`.

    Raises:
        SpecError: no such job.
        ConvariumError: a number out of range.
        DataError: the data are missing.
    """
    known, chosen = job_of(job), pick_device(device)
    if seeds < 1 or epochs < 1:
        raise ConvariumError("the comparison is out of range", expected="seeds ≥ 1 and epochs ≥ 1")
    splits = splits_of(known, recipe_of(known, "float32"), data_dir)
    if images is not None:
        splits = dataclasses.replace(splits, train=splits.train.take(torch.arange(min(images, len(splits.train)))))
    if known.resize and chosen.type == "cpu":
        return first_losses(known, job, precisions, splits, chosen)
    theirs = [_their_accuracy(known, splits, seed, epochs, str(chosen)) for seed in range(seeds)]
    results = []
    for precision in precisions:
        recipe = dataclasses.replace(recipe_of(known, precision), epochs=epochs, schedule="constant")
        outcomes = [fit(dataclasses.replace(recipe, seed=seed), splits, device=chosen) for seed in range(seeds)]
        ours = [outcome.test.accuracy if outcome.test else None for outcome in outcomes]
        same, verdict = judge(f"{job} in {precision}", theirs, ours, splits.dataset, splits.test, len(precisions))
        told = tuple(theirs), tuple(ours), same, verdict
        results.append(Accuracies(job, precision, epochs, len(splits.train), *told))
    return results


def judge(
    label: str,
    theirs: Sequence[float | None],
    ours: Sequence[float | None],
    dataset: str,
    test: ImageData,
    family: int,
) -> tuple[Equivalence | None, str]:
    """Two one-sided tests by the protocol, and their sentence.

    Args:
        label: of Convarium's side.
        theirs, ours: test accuracies, one a seed; None: diverged.
        dataset: whose margin holds.
        test: the images that they were measured on.
        family: comparisons that hold at once (Bonferroni).
    """
    n, largest = len(test), float(torch.bincount(test.labels).max()) / len(test)
    x, y = ([a for a in side if a is not None and not at_chance(a, n, largest)] for side in (ours, theirs))
    failures = "".join(
        f"{len(side) - len(trained)} of {len(side)} runs of {name} failed; "
        for name, side, trained in ((label, ours, x), ("the reference", theirs, y))
        if len(trained) < len(side)
    )
    metric, margin = METRICS["test_accuracy"], margin_of(dataset)
    same = equivalence(x, y, margin, paired=False, family=family) if min(len(x), len(y)) > 1 else None
    if same is None or same.low is None or same.high is None:
        return same, f"{failures}undecided: too few trainings to compare {label} with the reference"
    low, high = amounts(metric, [same.low, same.high], min(same.high - same.low, margin) / 10)
    level = 1 - 2 * (1 - LEVEL) / family
    grounds = f"{level:.0%} interval {low} to {high} points, {len(x)} and {len(y)} trainings, family of {family}"
    what = f"equivalent to the reference within {quantity(metric, margin)}"
    if same.equivalent:
        return same, f"{failures}{label} is {what} ({grounds})"
    return same, f"{failures}undecided: {label} is not shown to be {what} ({grounds})"


def _their_accuracy(job: Job, splits: Splits, seed: int, epochs: int, device: str) -> float | None:
    torch.manual_seed(seed)
    network = job.network().to(device)
    optimizer = reference.optimizer_of(job, network)
    batches = reference.loader(job, *arrays_of(splits.train), device=device)
    losses = [loss for _ in range(epochs) for _, loss in reference.train(network, optimizer, batches, device=device)]
    if not all(map(math.isfinite, losses)):
        return None
    unseen = reference.loader(job, *arrays_of(splits.test), device=device, training=False)
    return reference.accuracy(network, unseen, device=device)
