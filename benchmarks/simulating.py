"""Do the intervals hold what they promise? Studies are simulated whose truth is known, also for laws unlike the normal.

Every group is drawn around the same mean. A difference that is told of is then false, and an interval holds if it
includes 0. What is simulated is the whole procedure: also the rule that makes an interval wider where the spreads of
the seeds at hand are unlike, and the one that leaves out an interval wider than possible.
"""

import math
import warnings
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from convarium.analysis.statistics import difference, estimate, prediction_interval

Rows = list[dict[str, str | int | float]]
Values = NDArray[np.float64]
Law = Callable[[np.random.Generator, tuple[int, ...]], Values]

SEEDS = (3, 5, 10)
STUDIES = 4000
IMAGES = 10_000
_SPREAD, _MEAN = 0.003, 0.95


def _normal(spread: float = 1.0) -> Law:
    return lambda rng, shape: spread * rng.standard_normal(shape)


def _skewed(shape: float, spread: float = 1.0) -> Law:
    """A gamma law turned to the left; with shape 1 the exponential."""
    return lambda rng, size: spread * (shape - rng.gamma(shape, size=size)) / math.sqrt(shape)


def _collapsing(share: float) -> Law:
    """A share of the runs ends ten deviations lower; the mean is 0."""
    return lambda rng, size: rng.standard_normal(size) + 10 * (share - (rng.random(size) < share))


LAWS: Mapping[str, tuple[Law, Law, int]] = {
    "normal": (_normal(), _normal(), IMAGES),
    "coarse: steps as large as the deviation": (_normal(), _normal(), 333),
    "skewed as an exponential": (_skewed(1), _skewed(1), IMAGES),
    "one spread 3 times the other": (_normal(3), _normal(), IMAGES),
    "one spread 10 times the other": (_normal(10), _normal(), IMAGES),
    "one spread 5 times the other, skewed": (_skewed(8, 5), _skewed(8), IMAGES),
    "one network always the same": (_normal(), _normal(0), IMAGES),
    "1 run of 10 collapses": (_collapsing(0.1), _collapsing(0.1), IMAGES),
    "2 runs of 5 collapse": (_collapsing(0.4), _collapsing(0.4), IMAGES),
}
"""For each law that the method must hold for, that of a network, that of the baseline, and the number of images."""

BEYOND: Mapping[str, tuple[Law, Law, int]] = {
    "beyond: one spread 5 times the other, an exponential": (_skewed(1, 5), _skewed(1), IMAGES),
    "beyond: 1 run of 5 of one network alone collapses": (_collapsing(0.2), _normal(), IMAGES),
}
"""Laws for which no method holds that sees a few seeds: what none of them shows cannot be in an interval."""


def differences() -> Rows:
    """How often a difference is told of that there is not, with one and four networks, and how often intervals hold."""
    return [
        {
            "law": name,
            "seeds": n,
            "false differences, %": 100 * false,
            "of four networks, %": 100 * of_four,
            "intervals shown that hold, %": 100 * held,
            "false by Welch's alone, %": 100 * welch,
        }
        for name, law in (LAWS | BEYOND).items()
        for n in SEEDS
        for false, of_four, held, welch in [simulate(law, n)]
    ]


def simulate(
    law: tuple[Law, Law, int], n: int, *, studies: int = STUDIES, seed: int = 0
) -> tuple[float, float, float, float]:
    """Simulates studies of four networks against a baseline of the same mean.

    Args:
        law: of a network and of the baseline, and the number of images.
        n: the number of seeds of each.
        studies: how many are simulated.
        seed: of their random numbers.

    Returns:
        The share of studies with a false difference if one network is compared; if four are, as a family; the share of
        the shown intervals of single comparisons that hold; and the share of false differences by Welch's t-test alone.
    """
    from scipy import stats

    rng = np.random.default_rng(seed)
    images = law[2]
    networks, baselines = (
        np.clip(np.round((_MEAN + _SPREAD * drawn) * images) / images, 0, 1)
        for drawn in (law[0](rng, (studies, 4, n)), law[1](rng, (studies, 1, n)))
    )
    false, of_four, shown = 0, 0, 0
    for groups, baseline in zip(networks, baselines[:, 0], strict=True):
        one = difference(groups[0], baseline, paired=False, possible=1.0)
        false += one.side != 0
        shown += one.low is not None
        of_four += any(difference(x, baseline, paired=False, family=4, possible=1.0).side for x in groups)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # groups that do not vary have no p-value, or one of rounding
        p = stats.ttest_ind(networks[:, 0], baselines[:, 0], axis=1, equal_var=False).pvalue
    return false / studies, of_four / studies, 1 - false / max(shown, 1), float(np.mean(p < 0.05))


def _accuracies(errors: float, scatter: float) -> Law:
    """Accuracies of 10,000 images: the share of errors scatters from run to run, and the images add their own."""

    def draw(rng: np.random.Generator, size: tuple[int, ...]) -> Values:
        shares = np.clip(errors * np.exp(scatter * rng.standard_normal(size)), 0, 1)
        return 1 - rng.binomial(IMAGES, shares) / IMAGES

    return draw


def _losses(scatter: float) -> Law:
    return lambda rng, size: 0.1 * np.exp(scatter * rng.standard_normal(size))


MEANS: Mapping[str, tuple[Law, str, float]] = {
    "accuracy 90 %": (_accuracies(0.1, 0.05), "logit", 1 - 0.1 * math.exp(0.05**2 / 2)),
    "accuracy 99 %": (_accuracies(0.01, 0.2), "logit", 1 - 0.01 * math.exp(0.2**2 / 2)),
    "accuracy 99.97 %": (_accuracies(0.0003, 0.3), "logit", 1 - 0.0003 * math.exp(0.3**2 / 2)),
    "losses that scatter by a factor of 1.1": (_losses(0.1), "log", 0.1 * math.exp(0.1**2 / 2)),
    "losses that scatter by a factor of 1.5": (_losses(0.4), "log", 0.1 * math.exp(0.4**2 / 2)),
    "beyond: losses that scatter by a factor of 2.7": (_losses(1.0), "log", 0.1 * math.exp(1.0**2 / 2)),
}
"""For each law that of a run, its scale, and its mean."""


def means() -> Rows:
    """How often the interval of a mean holds the mean, and that of a further run this run; of those that vary."""
    rng, rows = np.random.default_rng(1), Rows()
    for name, (law, scale, truth) in MEANS.items():
        images = IMAGES if scale == "logit" else None
        for n in SEEDS:
            held, plain, inside, counted = 0, 0, 0, 0
            for values in law(rng, (STUDIES, n + 1)):
                found = estimate(values[:n], scale=scale, images=images)
                further = prediction_interval(values[:n], scale=scale, images=images)
                as_it_is = estimate(values[:n])
                if found.low is None or found.high is None or further is None:
                    continue
                counted += 1
                held += found.low <= truth <= found.high
                plain += (as_it_is.low or 0.0) <= truth <= (as_it_is.high or 0.0)
                inside += values[n] in further
            shares = {"mean, %": held, "without the scale, %": plain, "a further run, %": inside}
            rows.append({"of": name, "seeds": n, **{key: 100 * value / counted for key, value in shares.items()}})
    return rows
