"""Seconds that a piece of a measurement takes."""

import resource
import time
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Runs from when it is made: `Clock()`, work, `clock.stop()`.

    Attributes:
        seconds: that passed.
        processor_seconds: user and system time of this process and of the processes that it has waited for, which other
            work on the machine hardly changes.
    """

    seconds: float = field(default_factory=time.perf_counter)
    processor_seconds: float = field(default_factory=lambda: _processor_seconds())

    def stop(self) -> "Clock":
        """Ends the measurement: from now on the attributes hold what it took."""
        self.seconds = time.perf_counter() - self.seconds
        self.processor_seconds = _processor_seconds() - self.processor_seconds
        return self


def _processor_seconds() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
