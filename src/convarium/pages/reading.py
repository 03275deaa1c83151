"""One row of the page's table, read aloud for a reader who has never seen such a table."""

from convarium.analysis.comparison import Comparison, Row, formatting, metric_of
from convarium.analysis.comparison.metrics import Metric

_DECIDED = {name: f"leaves out 0, so that the network is called {name}" for name in ("better", "worse")}
_UNDECIDED = "holds 0, so that the network may be better or worse: undecided"


def reading_example(comparison: Comparison) -> str | None:
    """A row in words: how accurate it is, how it differs from the baseline, and why its verdict is what it is.

    Returns:
        The best row that is better or worse, or else the best one that is undecided; None where accuracies are not what
        is compared, or no row has both intervals.
    """
    metric = metric_of(comparison.metric)
    if metric.kind != "accuracy" or comparison.baseline is None:
        return None
    rows = sorted(comparison.ranked, key=lambda row: row.decision not in _DECIDED)  # the order is kept otherwise
    return next((text for row in rows if (text := _read(row, metric, comparison.baseline)) is not None), None)


def _read(row: Row, metric: Metric, baseline: str) -> str | None:
    mean, gap = row.measured, row.difference
    if mean is None or mean.low is None or mean.high is None or formatting.fills_range(metric, mean.low, mean.high):
        return None
    if gap is None or gap.low is None or gap.high is None or (row.decision in _DECIDED) != bool(gap.side):
        return None
    if row.decision not in (*_DECIDED, "undecided"):
        return None
    middle, low, high = formatting.interval(metric, mean.mean, mean.low, mean.high)
    if gap.side:
        size, *ends = formatting.sizes(metric, gap, [gap.mean, gap.low, gap.high])
    else:
        size, *ends = formatting.differences(metric, gap, [abs(gap.mean), gap.low, gap.high])
    more = "above" if gap.mean > 0 else "below"
    return (
        f"To read a row: the {row.n} trained runs of {row.label}, which differ in their seeds, have a mean "
        f"{metric.title} of {middle} %; the mean of endless seeds is probably between {low} and {high} %. That is "
        f"{size} points {more} {baseline}, and with endless seeds probably between {ends[0]} and {ends[1]} points. "
        f"This interval {_DECIDED.get(row.decision, _UNDECIDED)}."
    )
