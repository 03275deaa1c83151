"""A difference of high accuracies as a share of the errors: from 99.1 to 99.4 % is a third fewer errors."""

from convarium.analysis.comparison import formatting
from convarium.analysis.comparison.metrics import Metric
from convarium.analysis.comparison.rows import Row

HIGH = 0.98
"""Where both accuracies are above this, points alone hide how much was gained; below it, shares of the errors would
make little of much.
"""

_SHARES = {1 / 4: "a quarter", 1 / 3: "a third", 2 / 3: "two thirds", 3 / 4: "three quarters"}
_NEAR = 0.02
"""A share is called by its name if it lies this near."""


def relative_error(metric: Metric, first: Row, second: Row) -> str:
    """What becomes of the second row's errors in the first: ", a third fewer errors (0.9 → 0.6 %)".

    Args:
        metric: the metric that both are compared in.
        first: the row that a sentence is about.
        second: the row that it is compared with.

    Returns:
        "" for metrics that are no accuracies of images, and where a mean is not above `HIGH`.
    """
    one, other = first.estimate(metric), second.estimate(metric)
    if metric.scale != "logit" or metric.of_counts is not None or one is None or other is None:
        return ""
    if not min(one.mean, other.mean) > HIGH or one.mean == other.mean:
        return ""
    errors, before = 1 - one.mean, 1 - other.mean
    least = min(error for error in (errors, before) if error > 0)
    shown = formatting.amounts(metric, [before, errors], least / 5)
    return f", {_change(errors, before)} ({shown[0]} → {shown[1]} %)"


def _change(errors: float, before: float) -> str:
    if errors < before:
        share = 1 - errors / before
        return "half as many errors" if abs(share - 1 / 2) < _NEAR else f"{_named(share)} fewer errors"
    if errors < 1.9 * before:
        return f"{_named(errors / before - 1)} more errors"
    times = errors / before if before else 0.0
    if not times:
        return "where the other had no errors"
    return "twice as many errors" if abs(times - 2) < 5 * _NEAR else f"{times:.1f} times as many errors"


def _named(share: float) -> str:
    name = next((name for value, name in _SHARES.items() if abs(share - value) < _NEAR), None)
    return name or f"{100 * share:.0f} %"
