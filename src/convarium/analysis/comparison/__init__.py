"""Comparisons: pure functions of stored runs, from a table of means to a verdict in one sentence."""

from convarium.analysis.comparison.compare import Comparison, compare_runs
from convarium.analysis.comparison.frames import as_json, class_differences
from convarium.analysis.comparison.metrics import METRICS, Metric, best_epoch, class_accuracy, first_to_reach, metric_of
from convarium.analysis.comparison.rows import Decision, Row, mean_of, status
from convarium.analysis.comparison.verdicts import Contrast, contrast, tell

__all__ = [
    "METRICS",
    "Comparison",
    "Contrast",
    "Decision",
    "Metric",
    "Row",
    "as_json",
    "best_epoch",
    "class_accuracy",
    "class_differences",
    "compare_runs",
    "contrast",
    "first_to_reach",
    "mean_of",
    "metric_of",
    "status",
    "tell",
]
