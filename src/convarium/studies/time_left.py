"""The time that is left until a study is trained, from what its runs were expected to take and what they take."""

import time
from collections.abc import Callable

from convarium.analysis.comparison.formatting import duration
from convarium.recipes.recipe import Recipe
from convarium.studies.events import StudyEvent

_PRIOR = 5.0
"""Seconds of training for which the plan's estimate counts, before what was measured since outweighs it."""


class TimeLeft:
    """Follows a study's events.

    A run counts as much as the plan expects it to take. Where there is no plan, as for a single run, all count alike.

    Args:
        clock: the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin_study({})

    def _begin_study(self, expected: dict[Recipe, float]) -> None:
        self._expected = expected
        self._per_second = 0.0  # seconds of planned training that pass in a second, by the plan: the number of workers
        self._after = 0.0
        self._finished = self._runs_left = 0
        self._shares: dict[Recipe, float] = {}
        self._earlier: dict[Recipe, float] = {}  # shares that were trained before an interruption
        self._worked = 0.0
        self._started: float | None = None

    def on_event(self, event: StudyEvent) -> None:
        """Takes an event into account."""
        if event.expected is not None:
            self._begin_study(dict(event.expected.seconds))
            self._per_second, self._after = float(event.expected.workers), event.expected.afterwards
            return
        if 0 < event.number <= self._finished:  # the next study, of which there was no plan
            self._begin_study({})
        if event.begins or event.training or event.finished:
            self._finished = event.number if event.finished else event.number - 1
            self._runs_left = event.total - event.number + (event.finished is None)
        if self._started is None and (event.begins or event.training):
            self._started = self._clock()
        for recipe in event.begins:
            self._shares[recipe] = 0.0
        training = event.training
        if training is not None:
            share = share_trained(event)
            if event.recipe not in self._earlier:
                went_on = training.history is not None and training.step_loss is None
                self._earlier[event.recipe] = share if went_on else 0.0
            self._shares[event.recipe] = share
        if event.finished:
            self._shares.pop(event.recipe, None)
            earlier = self._earlier.pop(event.recipe, 0.0)
            weight = self._weight(event.recipe)
            self._expected.pop(event.recipe, None)
            if event.trained_now:
                self._worked += weight * (1 - earlier)

    def seconds(self) -> float | None:
        """The seconds that are left; None while nothing is known."""
        if self._started is None:
            return None
        elapsed = self._clock() - self._started
        worked = self._worked + sum(
            (share - self._earlier.get(recipe, 0.0)) * self._weight(recipe) for recipe, share in self._shares.items()
        )
        wanted = sum(self._expected.values()) if self._per_second else float(self._runs_left)
        left = wanted - sum(share * self._weight(recipe) for recipe, share in self._shares.items())
        if self._per_second:
            return max(0.0, left) * (elapsed + _PRIOR) / (worked + _PRIOR * self._per_second) + self._after
        return max(0.0, left) * elapsed / worked if worked > 0 else None

    def text(self) -> str:
        """The time that is left in words: "about 20 s left"; empty while nothing is known."""
        seconds = self.seconds()
        return "" if seconds is None else f"about {duration(seconds)} left"

    def _weight(self, recipe: Recipe) -> float:
        return self._expected.get(recipe, 0.0) if self._per_second else 1.0


def share_trained(event: StudyEvent) -> float:
    """The share of its steps that a run in training has made."""
    training = event.training
    assert training is not None
    steps = training.epochs * training.steps_per_epoch
    return (training.epoch * training.steps_per_epoch + training.step) / steps
