"""Comparisons: pure functions of stored runs, from a table of means to a verdict in one sentence.

`compare_runs` makes a `Comparison`; `formatting` holds the rules by which its numbers and lists become text.
"""

from convarium.analysis.comparison.compare import Comparison, compare_runs
from convarium.analysis.comparison.failures import fails_more_often, qualify
from convarium.analysis.comparison.frames import as_json, class_differences
from convarium.analysis.comparison.measures import best_epoch, first_to_reach
from convarium.analysis.comparison.metrics import METRICS, Metric, class_accuracy, metric_of
from convarium.analysis.comparison.primary import primary_metric, validation_metric
from convarium.analysis.comparison.rows import Decision, Row, canonical_spec, label
from convarium.analysis.comparison.run_facts import hardware_label, status
from convarium.analysis.comparison.verdicts import Contrast, contrast

__all__ = [
    "METRICS",
    "Comparison",
    "Contrast",
    "Decision",
    "Metric",
    "Row",
    "as_json",
    "best_epoch",
    "canonical_spec",
    "class_accuracy",
    "class_differences",
    "compare_runs",
    "contrast",
    "fails_more_often",
    "first_to_reach",
    "hardware_label",
    "label",
    "metric_of",
    "primary_metric",
    "qualify",
    "status",
    "validation_metric",
]
