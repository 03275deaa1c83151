"""Bars on standard error while something takes long: a study, a download, the decoding of images.

rich is imported where something is drawn: help and complaints do without it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from convarium.characters import encodable, one_line
from convarium.cli.terminal import console_on

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

    from convarium.records import Epoch
    from convarium.studies.events import StudyEvent


@contextmanager
def study_progress(
    mark: str = "", *, split: Literal["test", "validation"] = "test"
) -> Iterator[Callable[[StudyEvent], None]]:
    """A handler of a study's events that draws two bars: the runs of the study, and the steps of the run in training.

    Without a terminal it prints a line when a run ends.

    Args:
        mark: what stands before every line, such as "[reduced] ".
        split: whose accuracy is printed when a run ends.
    """
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    with _bars(MofNCompleteColumn(), TimeRemainingColumn(), _text("{task.fields[state]}")) as bars:
        runs_bar = bars.add_task(f"{mark}runs", total=None, state="")
        run_bar = bars.add_task("", total=None, state="")
        reused = 0
        steps_done: dict[Any, int] = {}  # recipe → steps, of the runs that are training

        def print_above(text: str) -> None:
            """Folds a line between words on a terminal; in a file a line stays a line."""
            shown = encodable(one_line(f"{mark}{text}"), sys.stderr.encoding)
            bars.console.print(shown, markup=False, soft_wrap=not bars.console.is_terminal)

        def handle(event: StudyEvent) -> None:
            nonlocal reused
            if event.reading:
                what, done, total = event.reading
                bars.update(run_bar, description=one_line(f"{mark}reading {what}"), total=total, completed=done)
                if done >= total:
                    bars.reset(run_bar, total=None, description="", state="")
            if event.message:
                print_above(event.message)
            if event.notice:
                print_above(f"note: {event.notice}")
            if event.finished:
                reused += not event.trained_now
                state = f"{reused} from the store" if reused else ""
                bars.update(runs_bar, total=event.total, completed=event.number, state=state)
                if event.trained_now and not bars.console.is_terminal:
                    print_above(_end_of_run(event, split))
                bars.reset(run_bar, total=None, description="", state="")
            if event.begins:
                steps_done.clear()
                steps_done.update(dict.fromkeys(event.begins, 0))
            if event.training:
                t = event.training
                steps_done[event.recipe] = t.epoch * t.steps_per_epoch + t.step
                runs, steps = len(steps_done), t.epochs * t.steps_per_epoch
                name = f"{event.recipe.model} seed {event.recipe.seed}"
                label = one_line(mark + (name if runs == 1 else f"{event.recipe.model}, {runs} runs"))
                bars.update(run_bar, description=label, total=runs * steps, completed=sum(steps_done.values()))
                bars.update(runs_bar, total=event.total, completed=event.number - 1)
                if t.history:
                    bars.update(run_bar, state=_scores(t.history[-1]))

        yield handle


@contextmanager
def download_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A listener to downloads that draws one bar a file: name, bytes so far, bytes in all."""
    from rich.progress import DownloadColumn, TransferSpeedColumn

    with _progress_of(DownloadColumn(), TransferSpeedColumn()) as handle:
        yield handle


@contextmanager
def image_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A listener to the decoding of images that draws a bar: what is read, how many so far, how many in all."""
    from rich.progress import MofNCompleteColumn

    with _progress_of(MofNCompleteColumn()) as handle:
        yield handle


@contextmanager
def _progress_of(*columns: ProgressColumn) -> Iterator[Callable[[str, int, int], None]]:
    with _bars(*columns) as bars:
        tasks: dict[str, TaskID] = {}

        def handle(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(one_line(name), total=total)
            bars.update(tasks[name], completed=done)

        yield handle


def _bars(*columns: ProgressColumn) -> Progress:
    """Bars with a description and these columns; texts are cut before a number is."""
    from rich.progress import BarColumn, Progress

    console = console_on(sys.stderr)
    every = (_text("{task.description}"), BarColumn(bar_width=10), *columns)
    return Progress(
        *every,
        console=console,
        transient=True,
        expand=True,
        refresh_per_second=5,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # answers that go to a file or a pipe go there
    )


def _text(form: str) -> ProgressColumn:
    from rich.progress import TextColumn
    from rich.table import Column

    return TextColumn(form, markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))


def _end_of_run(event: StudyEvent, split: Literal["test", "validation"]) -> str:
    assert event.finished is not None
    outcome = event.finished.outcome
    scores = outcome.test if split == "test" else outcome.validation
    ended = f"{split} accuracy {scores.accuracy:.2%}" if scores else outcome.status
    seconds = f", {outcome.cost.train_seconds:.1f} s of training" if outcome.cost else ""
    return f"run {event.number} of {event.total}: {event.recipe.model} seed {event.recipe.seed}: {ended}{seconds}"


def _scores(row: Epoch) -> str:
    """The last epoch's scores; the first words are what 80 columns have room for."""
    validation = f", val {row.validation_accuracy:.1%}" if row.validation_accuracy is not None else ""
    return f"loss {row.train_loss:.3f}{validation}, epoch {row.epoch}"
