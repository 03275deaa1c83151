"""Checks that the faster loop learns as much: equivalent accuracies over seeds."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from convarium.analysis.comparison import METRICS
from convarium.analysis.comparison.formatting import amounts, quantity
from convarium.analysis.statistics import LEVEL, Equivalence, equivalence, margin_of
from convarium.benchmark import reference
from convarium.benchmark.contestants import Precision, arrays_of, job_of, recipe_of, splits_of
from convarium.benchmark.losses import FirstLosses, first_losses
from convarium.benchmark.reference import Job
from convarium.chance import at_chance
from convarium.data.splits import ImageData, Splits
from convarium.errors import ConvariumError
from convarium.training import fit
from convarium.training.scoring import pick_device


@dataclass(frozen=True)
class Accuracies:
    """Test accuracies of both loops after equal training, and the verdict on their equivalence.

    Attributes:
        reference, convarium: one for each seed; None for a run that diverged.
        equivalence: of the trained runs, by two one-sided tests with the data set's margin; None if fewer than two runs
            of either loop trained.
        verdict: the verdict as a sentence, failures first.
        level: the coverage of the interval that must lie within the margin: 0.9 for one comparison.
    """

    job: str
    precision: Precision
    epochs: int
    images: int
    reference: tuple[float | None, ...]
    convarium: tuple[float | None, ...]
    equivalence: Equivalence | None
    verdict: str
    level: float = 0.9


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
    """Trains both loops alike and compares their test accuracies, one result per precision.

    At 224 pixels on a CPU, where a training takes hours, the first losses are compared instead.

    Args:
        job: a name in JOBS.
        precisions: the precisions of Convarium; each is compared with the same float32 reference.
        seeds: the number of trainings of each loop, which share neither initial weights nor the order of images.
        epochs: the number of epochs of each training, at a constant learning rate.
        images: the number of training images, from the beginning of the split; None: all.
        data_dir: as in `bench`.
        device: as in `bench`.

    Raises:
        SpecError: there is no such job.
        ConvariumError: a number is out of range.
        DataError: the data are missing.
    """
    known, chosen = job_of(job), pick_device(device)
    if seeds < 1 or epochs < 1:
        raise ConvariumError("the comparison is out of range", expected="seeds ≥ 1 and epochs ≥ 1")
    splits = splits_of(known, recipe_of(known, "float32"), data_dir)
    if images is not None:
        splits = dataclasses.replace(splits, train=splits.train.take(torch.arange(min(images, len(splits.train)))))
    if known.resize and chosen.type == "cpu":
        return first_losses(job, known, splits, precisions=precisions, device=chosen)
    references = tuple(_reference_accuracy(known, splits, seed, epochs, str(chosen)) for seed in range(seeds))
    results = []
    for precision in precisions:
        recipe = dataclasses.replace(recipe_of(known, precision), epochs=epochs, schedule="constant")
        outcomes = [fit(dataclasses.replace(recipe, seed=seed), splits, device=chosen) for seed in range(seeds)]
        accuracies = tuple(outcome.test.accuracy if outcome.test else None for outcome in outcomes)
        same, verdict = judge_equivalence(
            references,
            accuracies,
            label=f"{job} in {precision}",
            dataset=splits.dataset,
            test=splits.test,
            family=len(precisions),
        )
        level = _level(len(precisions))
        results.append(
            Accuracies(job, precision, epochs, len(splits.train), references, accuracies, same, verdict, level)
        )
    return results


def judge_equivalence(
    references: Sequence[float | None],
    accuracies: Sequence[float | None],
    *,
    label: str,
    dataset: str,
    test: ImageData,
    family: int,
) -> tuple[Equivalence | None, str]:
    """Tests equivalence by two one-sided tests; returns the result and its sentence.

    Args:
        references: test accuracies of the reference, one for each seed; None for a run that diverged.
        accuracies: test accuracies of Convarium, likewise.
        label: the name of Convarium's training in the sentence.
        dataset: the data set, for its margin.
        test: the images on which the accuracies were measured.
        family: the number of simultaneous comparisons (Bonferroni).
    """
    n, largest = len(test), float(torch.bincount(test.labels).max()) / len(test)
    x, y = ([a for a in side if a is not None and not at_chance(a, n, largest)] for side in (accuracies, references))
    failures = "".join(
        f"{len(side) - len(trained)} of {len(side)} runs of {name} failed; "
        for name, side, trained in ((label, accuracies, x), ("the reference", references, y))
        if len(trained) < len(side)
    )
    metric, margin = METRICS["test_accuracy"], margin_of(dataset)
    same = equivalence(x, y, margin, paired=False, family=family) if min(len(x), len(y)) > 1 else None
    if same is None or same.low is None or same.high is None:
        return same, f"{failures}undecided: too few trainings to compare {label} with the reference"
    low, high = amounts(metric, [same.low, same.high], min(same.high - same.low, margin) / 10)
    evidence = (
        f"{_level(family):.0%} interval {low} to {high} points, {len(x)} and {len(y)} trainings, family of {family}"
    )
    equivalent = f"equivalent to the reference within {quantity(metric, margin)}"
    if same.equivalent:
        return same, f"{failures}{label} is {equivalent} ({evidence})"
    return same, f"{failures}undecided: {label} is not shown to be {equivalent} ({evidence})"


def _level(family: int) -> float:
    """Two one-sided tests at 5 % together are one interval at 90 %."""
    return 1 - 2 * (1 - LEVEL) / family


def _reference_accuracy(job: Job, splits: Splits, seed: int, epochs: int, device: str) -> float | None:
    torch.manual_seed(seed)
    network = job.network().to(device)
    optimizer = reference.optimizer_of(job, network)
    batches = reference.loader(job, *arrays_of(splits.train), device=device)
    losses = [loss for _ in range(epochs) for _, loss in reference.train(network, optimizer, batches, device=device)]
    if not all(map(math.isfinite, losses)):
        return None
    test = reference.loader(job, *arrays_of(splits.test), device=device, training=False)
    return reference.accuracy(network, test, device=device)
