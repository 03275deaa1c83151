"""The order in which the rows of a comparison are shown: best first, those that fail more often or failed last."""

import math
from collections.abc import Sequence

from convarium.analysis.comparison.metrics import Metric
from convarium.analysis.comparison.rows import Row


def rank(rows: Sequence[Row], metric: Metric) -> tuple[Row, ...]:
    """The rows by their mean of a metric, the best first; rows of which most runs failed come last, and before them
    those that are shown to fail more often than the baseline (or it, where it is shown to fail more often).

    Of a level that not every run reached, a row comes before those of which a smaller share reached it. Rows without a
    value come after those with one. Equal rows keep their order.
    """
    fails_less = any(row.decision == "fails less often" for row in rows)

    def position(row: Row) -> tuple[int, bool, float, float]:
        values = list(row.values(metric).values())
        reached = [value for value in values if math.isfinite(value)]
        mean = round(sum(reached) / len(reached), 12) if reached else math.inf  # last bits are not an order
        share = len(reached) / len(values) if values else 0.0
        fails_more = row.decision == "fails more often" or (row.decision == "baseline" and fails_less)
        place = 2 if row.decision == "failed" else int(fails_more)
        return place, not values, -share, -mean if reached and metric.higher_is_better else mean

    return tuple(sorted(rows, key=position))
