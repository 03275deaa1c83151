"""The sources' own way of training, and the timing of Convarium against it."""

from convarium.benchmark.machine import Ceiling, ceiling
from convarium.benchmark.reference import JOBS, Job
from convarium.benchmark.sides import equal_accuracy
from convarium.benchmark.timing import BenchRow, as_json, as_markdown, bench

__all__ = ["JOBS", "BenchRow", "Ceiling", "Job", "as_json", "as_markdown", "bench", "ceiling", "equal_accuracy"]
