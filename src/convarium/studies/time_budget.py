"""A time that is not exceeded: which runs still fit into it, by the measured times of those before."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from convarium.recipes.recipe import Recipe
from convarium.runs.store import StoredRun
from convarium.studies.events import StudyEvent
from convarium.studies.halving import RunTime

GRACE = 0.05
"""A run that takes longer than was expected is ended when the time is over by this share of it."""


class OutOfTimeError(Exception):
    """The next run does not fit into what is left of the time."""


@dataclass
class TimeBudget:
    """The time of a recommendation, from the moment that this is made.

    Attributes:
        seconds: that there are.
        clock: the time in seconds.
        times: what a run of each network takes, as far as it is known.
    """

    seconds: float
    clock: Callable[[], float] = time.monotonic
    times: dict[str, RunTime] = field(default_factory=dict)
    started: float = field(init=False)
    _run_started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self._run_started = self.clock()

    @property
    def used(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.started

    @property
    def left(self) -> float:
        """Seconds that are left; below 0 where it took longer."""
        return self.seconds - self.used

    @property
    def deadline(self) -> float:
        """The reading of the clock at which a run is ended that takes longer than was expected."""
        return self.started + (1 + GRACE) * self.seconds

    def expected(self, recipes: Iterable[Recipe]) -> float:
        """The seconds that runs will take one after another; nothing for a network whose time is not known."""
        known = ((self.times.get(recipe.model), recipe.epochs) for recipe in recipes)
        return sum(each.of(epochs) for each, epochs in known if each is not None)

    def follow(self, on_event: Callable[[StudyEvent], None] | None) -> Callable[[StudyEvent], None]:
        """A listener that lets no run begin that does not fit, learns the networks' times, and passes every event on.

        What it raises is `OutOfTimeError`.
        """

        def listen(event: StudyEvent) -> None:
            if event.begins:
                if self.expected(event.begins) > self.left:
                    raise OutOfTimeError
                self._run_started = self.clock()
            if event.finished:
                self._learn(event.finished, self.clock() - self._run_started if event.trained_now else None)
            if on_event:
                on_event(event)

        return listen

    def _learn(self, run: StoredRun, seconds: float | None) -> None:
        """Takes the time of a network from a finished run, and the seconds that it took; None: it was stored."""
        cost, epochs = run.outcome.cost, len(run.outcome.history)
        if cost is None or not epochs:
            return
        before = self.times.get(run.recipe.model)
        if seconds is None:
            self.times[run.recipe.model] = before or run_time(cost.total_seconds / epochs)
        else:
            fit = min(cost.total_seconds, seconds)
            self.times[run.recipe.model] = RunTime(fit / epochs, seconds - fit)


def run_time(epoch: float) -> RunTime:
    """What a run may take, from the seconds of an epoch: scoring and writing take about a second and half an epoch."""
    return RunTime(epoch, 1 + epoch / 2)
