"""The sources' own way of training, and the timing of Convarium against it."""

from convarium.benchmark.accuracy import Accuracies, equal_accuracy
from convarium.benchmark.cold import ColdStart, cold_start
from convarium.benchmark.losses import FirstLosses
from convarium.benchmark.machine import Ceiling, ceiling
from convarium.benchmark.reference import JOBS, Job
from convarium.benchmark.tables import as_json, as_markdown, cold_as_markdown
from convarium.benchmark.timing import BenchRow, bench

__all__ = [
    "JOBS",
    "Accuracies",
    "BenchRow",
    "Ceiling",
    "ColdStart",
    "FirstLosses",
    "Job",
    "as_json",
    "as_markdown",
    "bench",
    "ceiling",
    "cold_as_markdown",
    "cold_start",
    "equal_accuracy",
]
