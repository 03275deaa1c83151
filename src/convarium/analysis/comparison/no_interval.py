"""Why a value of a row has no interval, for readers who see only that its ends are missing."""

from convarium.analysis.comparison.metrics import METRICS, Metric
from convarium.analysis.comparison.rows import Row
from convarium.analysis.statistics import Difference, Estimate

_SCATTER = "the runs scatter so widely that "


def why_no_interval(row: Row) -> dict[str, str]:
    """Returns the reason for each value of a row that has a mean but no interval, by the name of the value.

    A row that was compared by ranks has no `difference` at all; its verdict says how it was judged.

    Args:
        row: a row of a comparison, whose `measured`, `validation`, `test`, `train_seconds`, `images_per_second` and
            `difference` are looked at.
    """
    estimates = {
        "measured": (row.metric, row.measured),
        "validation": (METRICS["validation_accuracy"], row.validation),
        "test": (METRICS["test_accuracy"], row.test),
        "train_seconds": (METRICS["train_seconds"], row.train_seconds),
        "images_per_second": (METRICS["images_per_second"], row.images_per_second),
    }
    reasons = {
        name: _of_mean(row, metric, mean) for name, (metric, mean) in estimates.items() if mean and mean.low is None
    }
    gap = row.difference
    return reasons | ({"difference": _of_difference(gap)} if gap and gap.low is None else {})


def _of_mean(row: Row, metric: Metric, mean: Estimate) -> str:
    if mean.n == 1:
        return "one run has no spread"
    if metric.kind == "reach":
        return "epochs and steps up to a level are multiples of an epoch"
    if not mean.deviation:
        return f"all {mean.n} runs have the same value"
    if metric.scale == "log":
        is_zero = min(row.values(metric).values()) <= 0
        return "a loss of 0 has no logarithm" if is_zero else f"{_SCATTER}the mean rests on losses that were not seen"
    return "a share of 0 or 1 has no place on the logit without its number of images"


def _of_difference(gap: Difference) -> str:
    if min(gap.n_first, gap.n_second) < 2:
        return "one run has no spread"
    if not gap.deviation:
        return "nothing varies from seed to seed"
    return f"{_SCATTER}the difference may be anything"
