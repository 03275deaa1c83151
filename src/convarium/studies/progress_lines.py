"""How training goes in lines of text, for a log file, a pipe, or any place where no bar can be drawn."""

import math
import time
from collections.abc import Callable
from typing import Literal

from convarium.recipes.recipe import Recipe
from convarium.records import Epoch
from convarium.studies.events import TUNING_SEEDS, StudyEvent
from convarium.studies.time_left import TimeLeft

LINE_SECONDS = 10.0
"""The least time between two lines about epochs; the end of a run does not wait."""
SILENT_SECONDS = 60.0
"""After so long without a line there is one in the middle of an epoch."""


class ProgressLines:
    """Makes a study's events into lines: one an epoch, but not more than one in ten seconds, and one for each run.

        resnet seed 0  epoch 2/3  loss 1.92  validation 31.0 %  about 20 s left

    Args:
        on_line: called with each line.
        split: whose accuracy is told when a run ends, if the run has it.
        clock: the time in seconds.
    """

    def __init__(
        self,
        on_line: Callable[[str], None],
        *,
        split: Literal["test", "validation"] = "test",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_line, self._split, self._clock = on_line, split, clock
        self._time_left = TimeLeft(clock)
        self._last_epoch = self._last_reading = -math.inf
        self._last_line = clock()

    def on_event(self, event: StudyEvent) -> None:
        """Takes an event, and says what there is to say of it."""
        self._time_left.on_event(event)
        if event.reading:
            self._say_reading(*event.reading)
        if event.message:
            self._say(event.message)
        if event.notice:
            self._say(f"note: {event.notice}")
        if event.finished:
            self._say_end(event)
        if event.training:
            self._say_training(event)

    def _say_reading(self, what: str, done: int, total: int) -> None:
        if self._clock() - self._last_reading >= LINE_SECONDS:
            self._last_reading = self._clock()
            self._say(f"reading {what}", f"{done:,}/{total:,}")

    def _say_training(self, event: StudyEvent) -> None:
        training = event.training
        assert training is not None
        at = f"epoch {training.epoch}/{training.epochs}"
        if training.history:
            # The last epoch is told with the scores of the run, at its end.
            if training.epoch < training.epochs and self._clock() - self._last_epoch >= LINE_SECONDS:
                self._last_epoch = self._clock()
                self._say(run_name(event.recipe), at, *scores(training.history[-1]), self._time_left.text())
        elif self._clock() - self._last_line >= SILENT_SECONDS:
            at = f"epoch {training.epoch + 1}/{training.epochs}"
            self._say(
                run_name(event.recipe),
                at,
                f"step {training.step:,}/{training.steps_per_epoch:,}",
                self._time_left.text(),
            )

    def _say_end(self, event: StudyEvent) -> None:
        run = event.finished
        assert run is not None
        if not event.trained_now:
            return
        outcome, split = run.outcome, self._split
        if run.result_split == "validation" or event.recipe.seed in TUNING_SEEDS:
            split = "validation"
        parts = [run_name(event.recipe)]
        if outcome.history:
            last = outcome.history[-1]
            parts += [f"epoch {last.epoch}/{event.recipe.epochs}", *scores(last, without=split)]
        ended = outcome.test if split == "test" else outcome.validation
        parts.append(f"{split} {percent(ended.accuracy)}" if ended else outcome.status)
        parts += ["at chance"] if outcome.is_at_chance else []
        parts += [f"run {event.number}/{event.total}"] if event.total > 1 else []
        self._last_epoch = self._clock()
        self._say(*parts, self._time_left.text() if event.number < event.total else "")

    def _say(self, *parts: str) -> None:
        """Gives a line of the parts that are not empty."""
        self._last_line = self._clock()
        self._on_line("  ".join(filter(None, parts)))


def scores(row: Epoch, *, without: str = "") -> list[str]:
    """The scores of an epoch, the most telling first: ["loss 1.92", "validation 31.0 %"].

    Args:
        row: the epoch.
        without: a split whose accuracy is left out.
    """
    parts = [f"loss {_loss(row.train_loss)}"]
    measured = {"validation": row.validation_accuracy, "test": row.test_accuracy}
    return parts + [
        f"{split} {percent(value)}" for split, value in measured.items() if value is not None and split != without
    ]


def percent(share: float) -> str:
    """A share in per cent: "31.0 %"."""
    return f"{share:.1%}".replace("%", " %")


def run_name(recipe: Recipe) -> str:
    """What a person calls a run: "resnet seed 0", or where it chooses a learning rate, "resnet learning rate 0.03"."""
    if recipe.seed in TUNING_SEEDS:
        return f"{recipe.model} learning rate {recipe.learning_rate:g}"
    return f"{recipe.model} seed {recipe.seed}"


def _loss(loss: float) -> str:
    """A loss in three digits, without an exponent where that is short."""
    if not math.isfinite(loss) or loss >= 1e7:
        return f"{loss:.3g}"
    return f"{loss:,.0f}" if loss >= 100 else f"{loss:.{1 if loss >= 10 else 2 if loss >= 1 else 3}f}"
