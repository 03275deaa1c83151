"""A time that is not exceeded: which runs still fit into it, by the measured times of those before."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from convarium.recipes.recipe import Recipe
from convarium.runs.store import StoredRun
from convarium.studies.events import StudyEvent
from convarium.studies.halving import RunTime, seconds_together

GRACE = 0.05
"""A run that takes longer than was expected is ended when the time is over by this share of it."""


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
    _begun: dict[Recipe, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = self.clock()

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

    def expected(self, recipes: Sequence[Recipe], workers: int = 1) -> float:
        """The seconds that runs will take; nothing for a network whose time is not known."""
        known = ((self.times.get(recipe.model), recipe.epochs) for recipe in recipes)
        return seconds_together([each.of(epochs) for each, epochs in known if each is not None], workers)

    def fits(self, recipes: Sequence[Recipe]) -> bool:
        """Whether there is the time for runs that would begin now, one after another."""
        return self.expected(recipes) <= self.left

    def follow(self, on_event: Callable[[StudyEvent], None] | None) -> Callable[[StudyEvent], None]:
        """A listener that learns the networks' times, and passes every event on."""

        def listen(event: StudyEvent) -> None:
            for recipe in event.begins:
                self._begun[recipe] = self.clock()
            if event.finished:
                begun = self._begun.pop(event.finished.recipe, None)
                self._learn(event.finished, None if begun is None else self.clock() - begun)
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
