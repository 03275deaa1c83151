"""Times Convarium against the sources' own loops, and checks that both learn as much.

`bench` times jobs in turns, `equal_accuracy` compares test accuracies, and `time_cold_start` times a training from the
start of its process; `record` writes results into results/speed, and `write_page` makes docs/speed.md's tables of them.
"""

from typing import TYPE_CHECKING

from convarium.benchmark.job_names import JOB_NAMES
from convarium.lazy_names import lazy_names

if TYPE_CHECKING:
    from convarium.benchmark.accuracy import Accuracies, equal_accuracy
    from convarium.benchmark.cold_start import ColdStart, time_cold_start
    from convarium.benchmark.losses import FirstLosses
    from convarium.benchmark.machine import Ceiling, ceiling
    from convarium.benchmark.reference import JOBS, Job
    from convarium.benchmark.speed import BenchRow, bench
    from convarium.benchmark.speed_page import write_page
    from convarium.benchmark.speed_records import record
    from convarium.benchmark.tables import as_json, as_markdown, cold_as_markdown

__all__ = [
    "JOBS",
    "JOB_NAMES",
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
    "record",
    "time_cold_start",
    "write_page",
]

__getattr__ = lazy_names(
    __name__,
    {
        "accuracy": ("Accuracies", "equal_accuracy"),
        "cold_start": ("ColdStart", "time_cold_start"),
        "losses": ("FirstLosses",),
        "machine": ("Ceiling", "ceiling"),
        "reference": ("JOBS", "Job"),
        "speed": ("BenchRow", "bench"),
        "speed_page": ("write_page",),
        "speed_records": ("record",),
        "tables": ("as_json", "as_markdown", "cold_as_markdown"),
    },
)
