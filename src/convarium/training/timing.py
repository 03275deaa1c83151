"""The seconds of a run, and what they include.

`train_seconds` of a run adds up its epochs' training steps: batches, forward, loss, backward and update. Scoring,
checkpoints, loading, building and compiling are not in it. `total_seconds` is all of `fit`. Runs that train at the same
time share the clock: each counts its part of the seconds.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Measures wall-clock time from the moment it is made.

    Args:
        concurrent: runs that train at the same time, this one included.
    """

    def __init__(self, concurrent: int = 1) -> None:
        self.concurrent = concurrent
        self.started = time.perf_counter()

    def seconds(self) -> float:
        """Seconds since the start, divided by the runs that share them."""
        return (time.perf_counter() - self.started) / self.concurrent

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, no time passes."""
        before = time.perf_counter()
        try:
            yield
        finally:
            self.started += time.perf_counter() - before
