"""How training goes, shown without a word in a notebook, and elsewhere where it is asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from convarium.characters import encodable, one_line
from convarium.notebook import UpdatedDisplay, is_notebook

if TYPE_CHECKING:
    from convarium.studies.events import StudyEvent

_MESSAGES = 6
"""Lines about the plan and about what a person should know that stand above the bar, the latest of them."""


def with_progress(
    on_event: Callable[[StudyEvent], None] | None,
    progress: bool | None,
    *,
    split: Literal["test", "validation"] = "test",
) -> Callable[[StudyEvent], None] | None:
    """A listener to a study's events that also shows them, where that is wanted.

    Args:
        on_event: the caller's own listener, which is called first.
        progress: True: in a notebook a bar that is updated, elsewhere lines on standard error; False: nothing; None:
            the bar in a notebook, unless the caller has a listener.
        split: whose accuracy is told when a run ends.

    Returns:
        None where nobody listens.
    """
    if progress is None:
        progress = on_event is None and is_notebook()
    if not progress:
        return on_event
    show = NotebookProgress().on_event if is_notebook() else _lines(split)
    if on_event is None:
        return show

    def tell_both(event: StudyEvent) -> None:
        on_event(event)
        show(event)

    return tell_both


class NotebookProgress:
    """Makes a study's events into one display that is replaced as training goes on: the latest messages and a bar.

        5 runs; about 20 s to go; kernels 9.
        ▬▬▬▬▬──  run 2/5  resnet seed 0  epoch 2/3  loss 1.92  validation 31.0 %  about 12 s left

    Args:
        display: where it is shown.
    """

    def __init__(self, display: UpdatedDisplay | None = None) -> None:
        from convarium.studies.time_left import TimeLeft

        self._display = display or UpdatedDisplay()
        self._time_left = TimeLeft()
        self._messages: list[str] = []
        self._scores: dict[str, list[str]] = {}
        self._failed = 0
        self._display.show(["preparing …"])

    def on_event(self, event: StudyEvent) -> None:
        """Takes an event, and shows it if enough time has passed or it must not be missed."""
        self._time_left.on_event(event)
        told = [event.message] if event.message else []
        told += [f"note: {event.notice}"] if event.notice else []
        self._messages += told
        training = event.training
        ends = event.finished or (training and training.history and training.epoch == training.epochs)
        is_last = event.number == event.total and bool(ends)
        if event.finished and event.trained_now:
            self._failed += event.finished.outcome.status != "finished"
        if told or is_last or self._display.is_due():
            line, share = self._reading(event) if event.reading else self._training(event)
            self._display.show([*self._messages[-_MESSAGES:], line], share)

    def _reading(self, event: StudyEvent) -> tuple[str, float | None]:
        assert event.reading is not None
        what, done, total = event.reading
        return f"reading {what}", done / total if total else None

    def _training(self, event: StudyEvent) -> tuple[str, float | None]:
        from convarium.studies.progress_lines import run_name, scores
        from convarium.studies.time_left import share_trained

        failed = f"{self._failed} failed" if self._failed else ""
        if event.finished and event.total <= 1:
            return f"{run_name(event)}  {event.finished.outcome.sentence}", 1.0
        if event.finished:
            parts = [f"{event.number} of {event.total} runs finished", failed]
            return "  ".join(filter(None, parts)), event.number / event.total
        if event.training is None:
            return (f"run {event.number}/{event.total}" if event.number else ""), 0.0
        training, name = event.training, run_name(event)
        if training.history:
            self._scores[name] = scores(training.history[-1])
        number = training.epoch + (training.history is None)
        epoch = f"epoch {number}/{training.epochs}"
        share = (event.number - 1 + share_trained(event)) / event.total
        run = f"run {event.number}/{event.total}" if event.total > 1 else ""
        left = self._time_left.text() if share < 1 else ""
        parts = [run, name, epoch, *self._scores.get(name, ()), left, failed]
        return "  ".join(filter(None, parts)), share


def _lines(split: Literal["test", "validation"]) -> Callable[[StudyEvent], None]:
    from convarium.studies.progress_lines import ProgressLines

    def write(line: str) -> None:
        sys.stderr.write(encodable(one_line(line), getattr(sys.stderr, "encoding", None)) + "\n")
        sys.stderr.flush()

    return ProgressLines(write, split=split).on_event
