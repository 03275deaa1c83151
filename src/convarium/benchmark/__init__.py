"""Times Convarium against the sources' own loops, and checks that both learn as much.

`bench` times jobs in turns, `equal_accuracy` compares test accuracies, and `time_cold_start` times a training from the
start of its process.
"""

from convarium.benchmark.accuracy import Accuracies, equal_accuracy
from convarium.benchmark.cold_start import ColdStart, time_cold_start
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
    "equal_accuracy",
    "time_cold_start",
]
