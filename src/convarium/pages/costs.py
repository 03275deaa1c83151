"""Accuracy against what it costs, and who is beaten by nobody."""

import pandas as pd

from convarium.analysis.comparison import Comparison

COSTS = {
    "parameters": "parameters",
    "flops": "FLOPs of one image",
    "train_seconds": "training time, s",
}
"""What a network costs, and how an axis says it."""


def cost_points(comparison: Comparison) -> pd.DataFrame:
    """One row a network and a cost that is known.

    Returns:
        Columns label, cost (a name of COSTS), value, mean, low, high (test accuracy, fractions of 1; low and high are
        the mean where there is no interval), n, front: on the Pareto front, that is no other network costs at most
        as much and has a higher mean. Training times appear only if all were taken in one environment.
    """
    timed_alike = len({row.environment for row in comparison.rows if row.train_seconds}) == 1
    found = []
    for row in comparison.rows:
        seconds = row.train_seconds.mean if row.train_seconds and timed_alike else None
        for cost, value in (("parameters", row.parameters), ("flops", row.flops), ("train_seconds", seconds)):
            if row.test is not None and value:
                mean = row.test.mean
                low = mean if row.test.low is None else max(row.test.low, 0.0)
                high = mean if row.test.high is None else min(row.test.high, 1.0)
                found.append({"label": row.label, "cost": cost, "value": float(value), "mean": mean,
                              "low": low, "high": high, "n": row.n})  # fmt: skip
    columns = ["label", "cost", "value", "mean", "low", "high", "n"]
    points = pd.DataFrame(found, columns=columns).sort_values(["cost", "value", "mean"], ascending=[True, True, False])
    points = points.astype({"value": float, "mean": float, "low": float, "high": float})  # also where there are none
    best_so_far = points.groupby("cost")["mean"].cummax().groupby(points["cost"]).shift(fill_value=-1.0)
    return points.assign(front=points["mean"] > best_so_far).reset_index(drop=True)


def seed_points(comparison: Comparison) -> pd.DataFrame:
    """Test accuracy of every trained run: columns label, seed, accuracy, and mean, low, high of the label."""
    rows = [
        {
            "label": row.label,
            "seed": run.recipe.seed,
            "accuracy": run.outcome.test.accuracy,
            "mean": row.test.mean,
            "low": row.test.mean if row.test.low is None else max(row.test.low, 0.0),
            "high": row.test.mean if row.test.high is None else min(row.test.high, 1.0),
        }
        for row in comparison.rows
        for run in row.trained
        if run.outcome.test is not None and row.test is not None
    ]
    return pd.DataFrame(rows, columns=["label", "seed", "accuracy", "mean", "low", "high"])
