"""Do the stated intervals of a recommendation hold? Networks whose true accuracies are known are chosen between.

In every draw eight networks have true accuracies, runs lie around them, and finite sets of validation and test images
are drawn. Some images are hard for every network. The networks go through the rungs of `compare --recommend` and its
choice, as they are in Convarium, and the true accuracies of the named runs are looked for in the stated intervals.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtri

from convarium.analysis.recommendation import Finalist, choose, simultaneous_interval
from convarium.studies.halving import best_of, rung_sizes

DRAWS = 10_000
NETWORKS = 8
SEED_DEVIATION = 0.01
"""Of a run's true accuracy around its network's."""
SHARED = 0.5
"""The correlation of what makes an image hard for one network and for another."""
MARGIN = 0.01

_interval = functools.cache(simultaneous_interval)


@dataclass
class _Tally:
    """What a way of choosing has stated in all draws."""

    together: list[bool] = field(default_factory=list)
    each: list[bool] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)

    def add(self, named: Sequence[tuple[float, int]], n: int, family: int) -> None:
        """Counts the named runs of one draw: the true accuracy of each and how many of n images it has right."""
        intervals = [_interval(right, n, family=family) for _, right in named]
        held = [true in interval for (true, _), interval in zip(named, intervals, strict=True)]
        self.together.append(all(held))
        self.each += held
        self.errors += [right / n - true for true, right in named]
        self.widths += [interval.high - interval.low for interval in intervals]

    def row(self) -> dict[str, str | float]:
        """The shares in per cent, with the Monte-Carlo error (two standard errors); differences in points."""
        share = float(np.mean(self.together))
        error = 2 * math.sqrt(max(share * (1 - share), 1 / len(self.together)) / len(self.together))
        return {
            "all intervals hold, %": f"{100 * share:.1f} ± {100 * error:.1f}",
            "each holds, %": f"{100 * np.mean(self.each):.1f}",
            "stated minus true, points": f"{100 * np.mean(self.errors):+.2f}".replace("-", "−"),
            "width, points": f"{100 * np.mean(self.widths):.1f}",
        }


def coverage() -> list[dict[str, str | float]]:
    """Rows for three sizes of the sets and one or three seeds: the recommendation, without test images, and naively."""
    rows: list[dict[str, str | float]] = []
    for validation, test in ((36, 120), (200, 500), (1000, 2000)):
        for seeds in (1, 3):
            rng = np.random.default_rng(validation + seeds)
            ways = {
                "chosen on validation, judged on test": _Tally(),
                "without test images: both on validation": _Tally(),
                "the best on test, with its own interval": _Tally(),
            }
            for _ in range(DRAWS):
                _draw(rng, validation, test, seeds=seeds, tallies=list(ways.values()))
            for way, tally in ways.items():
                sizes = {"validation images": validation, "test images": test, "seeds": seeds}
                rows.append({**sizes, "way": way, **tally.row()})
    return rows


def _draw(rng: np.random.Generator, validation: int, test: int, *, seeds: int, tallies: Sequence[_Tally]) -> None:
    """One world: networks, runs and images; every way chooses in it."""
    names = [f"network {number}" for number in range(NETWORKS)]
    finished = np.clip(rng.normal(0.85, 0.03, NETWORKS), 0.55, 0.995)
    early = np.clip(finished - np.abs(rng.normal(0.08, 0.03, NETWORKS)), 0.3, 0.995)
    parameters = dict(zip(names, rng.permutation(np.geomspace(1e4, 1e7, NETWORKS).astype(int)).tolist(), strict=True))
    speeds = dict(zip(names, np.exp(rng.normal(7, 1, NETWORKS)).tolist(), strict=True))
    true = np.clip(finished[:, None] + rng.normal(0, SEED_DEVIATION, (NETWORKS, seeds)), 0.3, 0.999)
    hard = {"validation": rng.normal(size=validation), "test": rng.normal(size=test)}
    first = _right(rng, early[:, None], hard["validation"])[:, 0] / validation
    on_validation, on_test = _right(rng, true, hard["validation"]), _right(rng, true, hard["test"])
    left = best_of(dict(zip(names, first.tolist(), strict=True)), parameters, rung_sizes(NETWORKS)[1])
    finalists = [
        Finalist(name, parameters[name], speeds[name], tuple((on_validation[names.index(name)] / validation).tolist()))
        for name in left
    ]
    roles = choose(finalists, MARGIN)
    named = [(names.index(each.network), each.best_seed) for each in finalists if each.network in roles]
    honest, without, naive = tallies
    honest.add([(float(true[run]), int(on_test[run])) for run in named], test, len(named))
    without.add([(float(true[run]), int(on_validation[run])) for run in named], validation, NETWORKS * seeds)
    best = np.unravel_index(int(on_test.argmax()), on_test.shape)
    naive.add([(float(true[best]), int(on_test[best]))], test, 1)


def _right(rng: np.random.Generator, true: np.ndarray, hard: np.ndarray) -> np.ndarray:
    """How many images each run has right: an image is right where its difficulty is below what the run can do.

    Args:
        rng: of the part of the difficulty that each run has for itself.
        true: the share of all images that each run has right, (networks, seeds).
        hard: the part of the difficulty that all runs share, (images,).
    """
    own = rng.normal(size=(*true.shape, len(hard)))
    difficulty = math.sqrt(SHARED) * hard + math.sqrt(1 - SHARED) * own
    return (difficulty < ndtri(true)[..., None]).sum(-1)
