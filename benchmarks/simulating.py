"""Do the intervals hold what they promise? Studies are simulated whose truth is known, also for laws unlike the normal.

Every group is drawn around the same mean. A difference that is told of is then false, and an interval holds if it
includes 0. What is simulated is the whole procedure: also the rules that make an interval wider where the spreads of
the seeds at hand are unlike or the seeds few for the family, and the one that leaves out an interval wider than
possible. It is computed for all studies at once; a test holds it to `difference`.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from convarium.analysis.statistics import Caution, caution, estimate, prediction_interval

Rows = list[dict[str, str | int | float]]
Values = NDArray[np.float64]
Law = Callable[[np.random.Generator, tuple[int, ...]], Values]

SEEDS = (3, 5, 10)
FAMILIES = (1, 3, 4, 9)
LARGEST_FAMILY = 20
STUDIES = 20_000
IMAGES = 10_000
_ALPHA = 0.05
_SPREAD, _MEAN = 0.003, 0.5


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


@dataclass(frozen=True)
class Studies:
    """Accuracies of networks, (studies, networks, n), and of the baseline of each study, (studies, 1, n)."""

    networks: Values
    baselines: Values

    def of(self, networks: int) -> "Studies":
        """The same studies of fewer networks."""
        return Studies(self.networks[:, :networks], self.baselines)


def simulate(
    law: tuple[Law, Law, int], n: int, *, networks: int = max(FAMILIES), studies: int = STUDIES, apart: float = 0.0
) -> Studies:
    """Draws studies of several networks and a baseline.

    Args:
        law: of a network and of the baseline, and the number of images.
        n: the number of seeds of each.
        networks: how many there are beside the baseline.
        studies: how many are simulated.
        apart: how far the networks' mean lies above the baseline's, in units of the baseline's spread.
    """
    rng, images = np.random.default_rng(0), law[2]
    drawn = apart + law[0](rng, (studies, networks, n)), law[1](rng, (studies, 1, n))
    return Studies(*(np.clip(np.round((_MEAN + _SPREAD * each) * images) / images, 0, 1) for each in drawn))


def told(studies: Studies, *, paired: bool = False, rule: Caution | None = None) -> NDArray[np.bool_]:
    """Of which networks a difference to the baseline is told, (studies, networks), all of them being one family.

    Args:
        studies: the accuracies.
        paired: whether seeds are compared one by one; otherwise it is Welch's test.
        rule: in place of the one by which `difference` makes intervals wider.
    """
    x, y = studies.networks, np.broadcast_to(studies.baselines, studies.networks.shape)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # groups that do not vary have no p-value, or one of rounding
        p = (stats.ttest_rel(x, y, axis=-1) if paired else stats.ttest_ind(x, y, axis=-1, equal_var=False)).pvalue
    return (p <= _error(studies, paired=paired, rule=rule)) & _varies(studies, paired=paired)


def called_equivalent(studies: Studies, margin: float, *, paired: bool = False) -> NDArray[np.bool_]:
    """Which networks are called equivalent to the baseline, (studies, networks), all of them being one family.

    Args:
        studies: the accuracies.
        margin: the difference that is too small to matter, a fraction of 1.
        paired: whether seeds are compared one by one; otherwise it is Welch's test.
    """
    x, y, n = studies.networks, studies.baselines, studies.networks.shape[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        error, degrees = ((x - y).std(-1, ddof=1) / math.sqrt(n), n - 1) if paired else _welch(studies)
        p = stats.t.sf((margin - np.abs(x.mean(-1) - y.mean(-1))) / error, degrees)
    return np.asarray((p <= _error(studies, paired=paired, equivalence=True)) & _varies(studies, paired=paired))


def shown(studies: Studies) -> NDArray[np.bool_]:
    """Of which networks an interval by Welch is shown, (studies, networks): one that tells something."""
    x, y = studies.networks, studies.baselines
    error, degrees = _welch(studies)
    half = stats.t.ppf(1 - _error(studies) / 2, degrees) * error
    return _varies(studies) & (told(studies) | (np.abs(x.mean(-1) - y.mean(-1)) + half <= 1))


def _welch(studies: Studies) -> tuple[Values, Values]:
    """The standard error of each difference, and its degrees of freedom."""
    a, b, n = studies.networks.var(-1, ddof=1), studies.baselines.var(-1, ddof=1), studies.networks.shape[-1]
    with np.errstate(invalid="ignore"):
        return np.sqrt((a + b) / n), (n - 1) * (a + b) ** 2 / (a**2 + b**2)


def _error(studies: Studies, *, paired: bool = False, rule: Caution | None = None, equivalence: bool = False) -> Values:
    """The error that each interval of a family may have."""
    _, family, n = studies.networks.shape
    rule = rule or caution(n, family, paired=paired, equivalence=equivalence)
    unlike = rule.are_unlike(studies.networks, studies.baselines)
    return _ALPHA / family / np.where(unlike, rule.unlike, rule.alike)


def _varies(studies: Studies, *, paired: bool = False) -> NDArray[np.bool_]:
    """Where there is a spread to judge by, and not only rounding."""
    x, y = studies.networks, studies.baselines
    spread = np.ptp(x - y, axis=-1) if paired else np.maximum(np.ptp(x, axis=-1), np.ptp(y, axis=-1))
    return np.asarray(spread > 1e-9)


WELCH = Caution(3, 1, 1)
RULES: Mapping[str, Caution] = {
    "Welch's interval alone": WELCH,
    "a fifth where one spread is twice the other": Caution(2, 5, 1),
    "refused where one spread is twice the other": Caution(2, 10**12, 1),
    "a tenth everywhere": Caution(2, 10, 10),
    "a twelfth where one spread is 1.5 times the other": caution(3, 4, paired=False),
}
"""What part of the usual error an interval may have; the last is the rule for four networks of three seeds."""


def differences() -> Rows:
    """How often a difference is told of that there is not, in families of some sizes, and how often intervals hold."""
    rows = Rows()
    for name, law in (LAWS | BEYOND).items():
        for n in SEEDS:
            studies = simulate(law, n)
            one, four = studies.of(1), studies.of(4)
            found: dict[str, float] = {
                "false differences, %": told(one).mean(),
                "of three networks, %": told(studies.of(3)).any(1).mean(),
                "of four, %": told(four).any(1).mean(),
                "of nine, %": told(studies).any(1).mean(),
                "of twenty, %": told(simulate(law, n, networks=LARGEST_FAMILY)).any(1).mean(),
                "four by pairs, %": told(four, paired=True).any(1).mean(),
                "intervals shown that hold, %": 1 - told(one).sum() / max(shown(one).sum(), 1),
                "false by Welch's alone, %": told(one, rule=WELCH).mean(),
                "four if unlike were refused, %": told(four, rule=_refusing(n)).any(1).mean(),
            }
            found["called equivalent a margin apart, %"] = _falsely_equivalent(law, n)
            rows.append({"law": name, "seeds": n, **{column: 100 * float(share) for column, share in found.items()}})
    return rows


def _falsely_equivalent(law: tuple[Law, Law, int], n: int) -> float:
    """How often some network is called equivalent that is a margin of eight spreads apart: the worst of 16 cases."""
    either = (simulate(law, n, apart=apart) for apart in (8, -8))
    families = [studies.of(networks) for studies in either for networks in FAMILIES]
    cases = ((some, paired) for some in families for paired in (False, True))
    return max(float(called_equivalent(some, 8 * _SPREAD, paired=paired).any(1).mean()) for some, paired in cases)


def _refusing(n: int) -> Caution:
    """The rule that tells nothing of spreads that are unlike, and takes others as they are."""
    return Caution(caution(n, 1, paired=False).unlike_from, 10**12, 1)


def rules() -> Rows:
    """What several rules would find in studies of four networks of three seeds: false differences, and true ones."""
    skewed, collapsing = "one spread 5 times the other, skewed", "2 runs of 5 collapse"
    false = {name: simulate(LAWS[name], 3, networks=4) for name in (skewed, collapsing)}
    apart = {
        f"found: {text}, {distance} spreads apart, %": simulate(LAWS[name], 3, networks=4, apart=distance * spread)
        for name, text, spread in (("normal", "normal", 1), (skewed, "one spread 5 times the other", 5))
        for distance in (5, 8)
    }
    return [
        {"the error of an interval": name}
        | {f"false: {law}, %": 100 * float(told(studies, rule=rule).any(1).mean()) for law, studies in false.items()}
        | {column: 100 * float(told(studies, rule=rule).mean()) for column, studies in apart.items()}
        for name, rule in RULES.items()
    ]


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
    "losses that scatter by a factor of 2.7": (_losses(1.0), "log", 0.1 * math.exp(1.0**2 / 2)),
    "beyond: losses that scatter by a factor of 3.7": (_losses(1.3), "log", 0.1 * math.exp(1.3**2 / 2)),
    "losses that lie as an exponential": (lambda rng, size: 0.1 * rng.exponential(size=size), "log", 0.1),
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
