"""Do the stated intervals of a recommendation hold? Networks whose true accuracies are known are chosen between.

In every draw eight networks have true accuracies, runs lie around them, and finite sets of validation and test images
are drawn, also of imbalanced classes, which are judged by the balanced accuracy. Some images are hard for every
network. The networks go through the rungs of `compare --recommend` and its choice, as they are in Convarium, and the
true accuracies of the named runs are looked for in the stated intervals.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtri

from convarium.analysis.comparison.formatting import minus
from convarium.analysis.recommendation import Finalist, choose, simultaneous_interval
from convarium.analysis.statistics import Interval
from convarium.studies.halving import best_of, rung_sizes

DRAWS = 10_000
NETWORKS = 8
SEED_DEVIATION = 0.01
"""Of a run's true accuracy around its network's."""
SHARED = 0.5
"""The correlation of what makes an image hard for one network and for another."""
MARGIN = 0.01

CLASS_DEVIATION = 0.05
"""Of a network's true accuracy on one class around its mean over the classes, where these are imbalanced."""

WORLDS = (
    ((36,), (120,), 1),
    ((36,), (120,), 3),
    ((200,), (500,), 3),
    ((1000,), (2000,), 3),
    ((25, 7, 4), (84, 24, 12), 3),
)
"""Validation and test images, of all classes together or of each of several imbalanced ones; runs of each network."""

Right = tuple[int, ...]
"""How many images of each class a run has right."""


@functools.cache
def _interval(right: Right, images: Right, family: int) -> Interval:
    confusion = [[0] * (len(images) + 1) for _ in images]  # what is wrong stands in the last column
    for label, (hits, n) in enumerate(zip(right, images, strict=True)):
        confusion[label][label], confusion[label][-1] = hits, n - hits
    return simultaneous_interval(confusion, balanced=True, family=family)


@dataclass
class _Tally:
    """What a way of choosing has stated in all draws."""

    together: list[bool] = field(default_factory=list)
    each: list[bool] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)

    def add(self, named: Sequence[tuple[float, Right]], images: Right, family: int) -> None:
        """Counts the named runs of one draw.

        Args:
            named: of each run the true accuracy, the mean over the classes, and the images that it has right.
            images: of each class.
            family: of the intervals.
        """
        intervals = [_interval(right, images, family) for _, right in named]
        held = [true in interval for (true, _), interval in zip(named, intervals, strict=True)]
        self.together.append(all(held))
        self.each += held
        self.errors += [float(np.mean(np.divide(right, images))) - true for true, right in named]
        self.widths += [interval.high - interval.low for interval in intervals]

    def row(self) -> dict[str, str | float]:
        """The shares in per cent, with the Monte-Carlo error (two standard errors); differences in points."""
        share = float(np.mean(self.together))
        error = 2 * math.sqrt(share * (1 - share) / len(self.together))
        bias = round(100 * float(np.mean(self.errors)), 2) + 0.0
        return {
            "all intervals hold, %": f"{100 * share:.1f} ± {100 * error:.1f}",
            "each holds, %": f"{100 * np.mean(self.each):.1f}",
            "stated minus true, points": minus(f"{bias:+.2f}"),
            "width, points": f"{100 * np.mean(self.widths):.1f}",
        }


def coverage() -> list[dict[str, str | float]]:
    """Rows for each world: the recommendation, the same without test images, and what people do."""
    rows: list[dict[str, str | float]] = []
    for validation, test, seeds in WORLDS:
        rng = np.random.default_rng([*validation, seeds])
        ways = {
            "chosen on validation, judged on test": _Tally(),
            "without test images: both on validation": _Tally(),
            "the best on test, with its own interval": _Tally(),
        }
        for _ in range(DRAWS):
            _draw(rng, validation, test, seeds=seeds, tallies=list(ways.values()))
        for way, tally in ways.items():
            sizes = {"validation images": _sizes(validation), "test images": _sizes(test), "seeds": seeds}
            rows.append({**sizes, "way": way, **tally.row()})
    return rows


def _sizes(images: Right) -> str:
    """A number of images; of imbalanced classes, the number of each."""
    return " + ".join(f"{n:,}" for n in images)


def _draw(rng: np.random.Generator, validation: Right, test: Right, *, seeds: int, tallies: Sequence[_Tally]) -> None:
    """One world: networks, runs and images; every way chooses in it."""
    names, classes = [f"network {number}" for number in range(NETWORKS)], len(validation)
    of_class = rng.normal(0, CLASS_DEVIATION, (NETWORKS, 1, classes)) * (classes > 1)
    finished = rng.normal(0.85, 0.03, (NETWORKS, 1, 1)) + of_class
    early = np.clip(finished - np.abs(rng.normal(0.08, 0.03, (NETWORKS, 1, 1))), 0.3, 0.995)
    true = np.clip(finished + rng.normal(0, SEED_DEVIATION, (NETWORKS, seeds, 1)), 0.3, 0.999)
    parameters = dict(zip(names, rng.permutation(np.geomspace(1e4, 1e7, NETWORKS).astype(int)).tolist(), strict=True))
    speeds = dict(zip(names, np.exp(rng.normal(7, 1, NETWORKS)).tolist(), strict=True))
    hard = {n: [rng.normal(size=of_class) for of_class in n] for n in (validation, test)}
    first = (_right(rng, early, hard[validation]) / validation).mean(2)[:, 0]
    on_validation, on_test = _right(rng, true, hard[validation]), _right(rng, true, hard[test])
    left = best_of(dict(zip(names, first.tolist(), strict=True)), parameters, rung_sizes(NETWORKS)[1])
    scores = dict(zip(names, (on_validation / validation).mean(2).tolist(), strict=True))
    finalists = [Finalist(name, parameters[name], speeds[name], tuple(scores[name])) for name in left]
    roles = choose(finalists, MARGIN)
    named = [(names.index(each.network), each.best_seed) for each in finalists if each.network in roles]
    honest, without, naive = tallies
    honest.add([_judged(true, on_test, run) for run in named], test, len(named))
    without.add([_judged(true, on_validation, run) for run in named], validation, NETWORKS * seeds)
    network, seed = np.unravel_index(int((on_test / test).mean(2).argmax()), on_test.shape[:2])
    naive.add([_judged(true, on_test, (int(network), int(seed)))], test, 1)


def _judged(true: np.ndarray, right: np.ndarray, run: tuple[int, int]) -> tuple[float, Right]:
    """The true accuracy of a run, and how many images of each class it has right."""
    return float(true[run].mean()), tuple(right[run].tolist())


def _right(rng: np.random.Generator, true: np.ndarray, hard: Sequence[np.ndarray]) -> np.ndarray:
    """How many images each run has right: an image is right where its difficulty is below what the run can do.

    Args:
        rng: of the part of the difficulty that each run has for itself.
        true: the share of all images of each class that each run has right, (networks, seeds, classes).
        hard: the part of the difficulty that all runs share: for each class (images,).

    Returns:
        (networks, seeds, classes).
    """
    counts = []
    for label, shared in enumerate(hard):
        able = ndtri(true[..., label])[..., None]
        own = rng.normal(size=(*able.shape[:-1], len(shared)))
        counts.append((math.sqrt(SHARED) * shared + math.sqrt(1 - SHARED) * own < able).sum(-1))
    return np.stack(counts, -1)
