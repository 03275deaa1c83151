"""A study in bars: one for its runs, and one for each run, or stack of runs, in training."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from convarium.characters import encodable, one_line
from convarium.studies.progress_lines import run_name, scores
from convarium.studies.time_left import TimeLeft, share_trained

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from convarium.recipes.recipe import Recipe
    from convarium.studies.events import StudyEvent


class StudyBars:
    """Draws a study's events.

    The bar of the runs also counts the shares of those in training.

    Args:
        bars: where they are drawn; each has the fields `left`, the time that is left, and `state`.
        mark: what stands before every line, such as "[reduced] ".
    """

    def __init__(self, bars: Progress, mark: str) -> None:
        self.bars, self.mark = bars, mark
        self.time_left = TimeLeft()
        self.runs = bars.add_task(f"{mark}preparing", total=None, left="", state="")  # imports, checks, first steps
        self.reading: TaskID | None = None
        self.units: dict[Recipe, _UnitBar] = {}  # those in training, by each of their recipes
        self.reused = self.failed = 0

    def on_event(self, event: StudyEvent) -> None:
        """Draws what has happened."""
        self.time_left.on_event(event)
        if event.reading:
            self._show_reading(*event.reading)
        if event.message:
            self._print_above(event.message)
        if event.notice:
            self._print_above(f"note: {event.notice}")
        if event.finished or event.begins or event.training:
            self.bars.update(self.runs, description=f"{self.mark}runs", total=event.total)
        if event.finished:
            self._finish(event)
        if event.begins:
            self._begin(event.begins)
        if event.training:
            self._show_training(event)

    def _show_reading(self, what: str, done: int, total: int) -> None:
        if self.reading is None:
            self.reading = self.bars.add_task("", total=None, left="", state="")
        self.bars.update(self.reading, description=one_line(f"{self.mark}reading {what}"), total=total, completed=done)
        if done >= total:
            self.bars.remove_task(self.reading)
            self.reading = None

    def _print_above(self, text: str) -> None:
        """Prints a line above the bars, folded between words."""
        self.bars.console.print(encodable(one_line(f"{self.mark}{text}"), sys.stderr.encoding), markup=False)

    def _begin(self, recipes: tuple[Recipe, ...]) -> None:
        for recipe in recipes:  # a unit that is tried again has a bar already
            self._forget(recipe)
        task = self.bars.add_task(one_line(self.mark + _name(recipes)), total=None, left="", state="")
        unit = _UnitBar(task, dict.fromkeys(recipes, 0.0), _Pace(time.monotonic()))
        self.units |= dict.fromkeys(recipes, unit)

    def _show_training(self, event: StudyEvent) -> None:
        training, recipe = event.training, event.recipe
        assert training
        if recipe not in self.units:
            self._begin((recipe,))
        unit, steps = self.units[recipe], training.epochs * training.steps_per_epoch
        unit.shares[recipe] = share_trained(event)
        runs, done = len(unit.shares), sum(unit.shares.values())
        self.bars.update(
            unit.task,
            description=one_line(self.mark + _name(tuple(unit.shares))),
            total=runs * steps,
            completed=round(done * steps),
            left=_clock(unit.pace.seconds_left(done / runs)),
        )
        if training.history:
            last = training.history[-1]
            state = ", ".join([*scores(last), f"epoch {last.epoch}"]).replace(
                "validation", "val"
            )  # there is little room
            self.bars.update(unit.task, state=state)
        in_training = {id(unit): unit for unit in self.units.values()}.values()
        shares = sum(share for unit in in_training for share in unit.shares.values())
        done = min(event.number - 1 + shares, event.total - 1e-6)
        self.bars.update(self.runs, completed=done, left=_clock(self.time_left.seconds()))

    def _finish(self, event: StudyEvent) -> None:
        run = event.finished
        assert run
        self.reused += not event.trained_now
        self.failed += run.outcome.status != "finished" or bool(run.outcome.is_at_chance)
        parts = [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.reused} from the store"] if self.reused else []
        self.bars.update(self.runs, completed=event.number, state=", ".join(parts))
        self._forget(event.recipe)

    def _forget(self, recipe: Recipe) -> None:
        """Takes a run's bar away, with the last of its runs if it is that of a stack."""
        unit = self.units.pop(recipe, None)
        if unit is not None:
            del unit.shares[recipe]
            if not unit.shares:
                self.bars.remove_task(unit.task)


class _Pace:
    """How fast a share grows from what it was at first, which an interrupted run has made before.

    Args:
        started: when it began to grow.
    """

    def __init__(self, started: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.started, self.clock = started, clock
        self.first: float | None = None

    def seconds_left(self, share: float) -> float | None:
        """The seconds until the share is 1; None while that is not known."""
        if self.first is None:
            self.first = share
        grown = share - self.first
        return (1 - share) / grown * (self.clock() - self.started) if grown > 0 else None


class _UnitBar(NamedTuple):
    """The bar of a run, or of a stack's runs, the shares of their steps that are done, and how fast they grow."""

    task: TaskID
    shares: dict[Recipe, float]
    pace: _Pace


def _name(recipes: tuple[Recipe, ...]) -> str:
    if len(recipes) == 1:
        return run_name(recipes[0])
    return f"{recipes[0].model}, {len(recipes)} runs"


def _clock(seconds: float | None) -> str:
    """A time as on a clock, "0:12:34", in at most seven characters for up to 99 days."""
    if seconds is None:
        return ""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours < 100 else f"{hours // 24} days"
