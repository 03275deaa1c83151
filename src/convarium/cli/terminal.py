"""What the command line shows: live progress on standard error, tables on standard output."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from convarium.recipes.recipe import Recipe
from convarium.studies.run import StudyEvent

OUT = Console(highlight=False, soft_wrap=False)
ERR = Console(stderr=True, highlight=False)


def say(text: str | RenderableType) -> None:
    """One text, or something rich can draw, on standard output; brackets in texts are no markup."""
    OUT.print(escape(text) if isinstance(text, str) else text, soft_wrap=isinstance(text, str))


def note(text: str) -> None:
    """One line on standard error: what is not the answer."""
    ERR.print(escape(text), soft_wrap=True)


def say_json(value: Any) -> None:
    """One JSON value on standard output, for machines."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """A plain table; the columns named in `right` are aligned to the right."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*("" if cell is None else escape(str(cell)) for cell in row))
    return drawn


@contextmanager
def study_progress(mark: str = "") -> Iterator[Any]:
    """A listener that draws two bars: the runs of the study, and the steps of the run that is training.

    Args:
        mark: what stands before every line, such as "[reduced] ".
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Progress(*columns, console=ERR, transient=True, refresh_per_second=5, disable=not ERR.is_terminal) as bars:
        whole, run = bars.add_task("runs", total=None, state=""), bars.add_task("", total=None, state="")
        kept = 0
        steps_done: dict[Recipe, int] = {}  # of the run, or the stack of runs, that is training

        def listen(progress: StudyEvent) -> None:
            nonlocal kept
            name = escape(f"{mark}{progress.recipe.model} seed {progress.recipe.seed}")
            if progress.message:
                ERR.print(escape(f"{mark}{progress.message}"), soft_wrap=True)
            if progress.notice:
                ERR.print(escape(f"{mark}note: {progress.notice}"), soft_wrap=True)
            if progress.finished:
                kept += not progress.trained_now
                bars.update(
                    whole,
                    total=progress.total,
                    completed=progress.number,
                    state=f"{kept} from the store" if kept else "",
                )
                if progress.trained_now and not ERR.is_terminal:
                    ERR.print(escape(mark) + _line(progress), soft_wrap=True)
                bars.reset(run, total=None, description="", state="")
            if progress.begins:
                steps_done.clear()
                steps_done.update(dict.fromkeys(progress.begins, 0))
            if progress.training:
                t = progress.training
                steps_done[progress.recipe] = t.epoch * t.steps_per_epoch + t.step
                runs, steps = len(steps_done), t.epochs * t.steps_per_epoch
                who = name if runs == 1 else escape(f"{mark}{progress.recipe.model}, {runs} runs")
                bars.update(run, description=who, total=runs * steps, completed=sum(steps_done.values()))
                bars.update(whole, total=progress.total, completed=progress.number - 1)
                if t.history:
                    bars.update(run, state=_scores(t.history[-1]))

        yield listen


@contextmanager
def download_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A listener that draws one bar a file: name, bytes so far, bytes in all."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=ERR, transient=True, disable=not ERR.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def listen(file: str, done: int, total: int) -> None:
            task = tasks.setdefault(file, TaskID(-1))
            if task < 0:
                task = tasks[file] = bars.add_task(escape(file), total=total)
            bars.update(task, completed=done)

        yield listen


def _line(progress: StudyEvent) -> str:
    assert progress.finished is not None
    outcome = progress.finished.outcome
    ended = f"test accuracy {outcome.test.accuracy:.2%}" if outcome.test else outcome.status
    seconds = f", {outcome.cost.train_seconds:.1f} s of training" if outcome.cost else ""
    name = escape(f"{progress.recipe.model} seed {progress.recipe.seed}")
    return f"run {progress.number} of {progress.total}: {name}: {ended}{seconds}"


def _scores(row: Any) -> str:
    validation = f", validation {row.validation_accuracy:.1%}" if row.validation_accuracy is not None else ""
    return f"epoch {row.epoch}: loss {row.train_loss:.3f}{validation}"
