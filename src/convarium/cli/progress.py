"""Progress on standard error while something takes long: a study, a download, the decoding of images.

Bars where a terminal can draw them, else lines: at most one in ten seconds, and one at the end of every run. rich is
imported where something is drawn: help and complaints do without it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

from convarium.characters import encodable, one_line
from convarium.cli.terminal import can_redraw, console_on, note

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement
    from rich.progress import Progress, ProgressColumn, Task, TaskID
    from rich.table import Column

    from convarium.studies.events import StudyEvent

_LEAST_FOR_BAR = 60
"""Columns from which there is room for a bar beside the numbers."""
_NAME_TAIL = 8
"""Columns at the end of a name that stay where it is cut: those of " seed 12"."""
_LEAST_FOR_STATE = 50
"""Columns from which there is room for a run's scores."""


@contextmanager
def study_progress(
    mark: str = "", *, split: Literal["test", "validation"] = "test"
) -> Iterator[Callable[[StudyEvent], None]]:
    """A handler of a study's events that draws bars: the runs of the study, and the steps of each run in training.

    Where no bars can be drawn, it prints the lines of `ProgressLines`.

    Args:
        mark: what stands before every line, such as "[reduced] ".
        split: whose accuracy is printed when a run ends, if the run has it.
    """
    if not can_redraw(sys.stderr):
        from convarium.studies.progress_lines import ProgressLines

        yield ProgressLines(lambda line: note(one_line(f"{mark}{line}")), split=split).on_event
        return
    from rich.progress import MofNCompleteColumn

    from convarium.cli.study_bars import StudyBars

    with _bars(MofNCompleteColumn(), _fixed("left"), with_state=True) as bars:
        yield StudyBars(bars, mark).on_event


@contextmanager
def download_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A listener to downloads that draws one bar a file: name, bytes so far, bytes in all."""
    from rich.filesize import decimal
    from rich.progress import DownloadColumn, TransferSpeedColumn

    with _progress_of(DownloadColumn(), TransferSpeedColumn(), amount=decimal) as handle:
        yield handle


@contextmanager
def image_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A listener to the decoding of images that draws a bar: what is read, how many so far, how many in all."""
    from rich.progress import MofNCompleteColumn

    with _progress_of(MofNCompleteColumn(), amount="{:,}".format) as handle:
        yield handle


@contextmanager
def _progress_of(*columns: ProgressColumn, amount: Callable[[int], str]) -> Iterator[Callable[[str, int, int], None]]:
    if not can_redraw(sys.stderr):
        yield _amounts_in_lines(amount)
        return
    with _bars(*columns) as bars:
        tasks: dict[str, TaskID] = {}

        def handle(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(one_line(name), total=total)
            bars.update(tasks[name], completed=done)

        yield handle


def _amounts_in_lines(amount: Callable[[int], str]) -> Callable[[str, int, int], None]:
    """A listener that prints how far something is, once it has taken ten seconds and every ten seconds from then on."""
    from convarium.studies.progress_lines import LINE_SECONDS

    last = time.monotonic()

    def handle(name: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            note(one_line(f"{name}  {amount(done)} of {amount(total)}"))

    return handle


def _bars(*columns: ProgressColumn, with_state: bool = False) -> Progress:
    """Bars with a description and these columns, whose numbers are never cut.

    What there is no room for in a narrow terminal is left out: first the bar, then the state.
    """
    from rich.progress import BarColumn, Progress

    console = console_on(sys.stderr)
    every: list[Any] = [_fitted("{task.description}", tail=_NAME_TAIL)]
    every += [BarColumn(bar_width=10)] if console.width > _LEAST_FOR_BAR else []
    every += columns
    every += [_fitted("{task.fields[state]}", tail=0)] if with_state and console.width >= _LEAST_FOR_STATE else []
    return Progress(
        *every,
        console=console,
        transient=True,
        expand=True,
        refresh_per_second=5,
        redirect_stdout=sys.stdout.isatty(),  # answers that go to a file or a pipe go there
    )


def _fixed(field: str) -> ProgressColumn:
    """A column with a field of each task, which is never cut."""
    from rich.progress import TextColumn
    from rich.table import Column

    form = f"{{task.fields[{field}]}}"
    return TextColumn(form, markup=False, justify="right", table_column=Column(no_wrap=True, min_width=7))


def _fitted(form: str, *, tail: int) -> ProgressColumn:
    """A column that shares the room that the numbers leave, see `elided`."""
    return cast("ProgressColumn", _FittedColumn(form, tail))


class _FittedColumn:
    def __init__(self, form: str, tail: int) -> None:
        self.form, self.tail = form, tail

    def get_table_column(self) -> Column:
        from rich.table import Column

        return Column(ratio=1, no_wrap=True)

    def __call__(self, task: Task) -> _FittedText:
        return _FittedText(self.form.format(task=task), self.tail)


class _FittedText:
    def __init__(self, text: str, tail: int) -> None:
        self.text, self.tail = text, tail

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement

        return Measurement(
            1, max(1, len(elided(self.text, options.max_width, tail=self.tail, encoding=options.encoding)))
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        yield Text(
            elided(self.text, options.max_width, tail=self.tail, encoding=options.encoding),
            no_wrap=True,
            overflow="crop",
        )


def elided(text: str, width: int, *, tail: int, encoding: str | None = None) -> str:
    """A text in so many columns.

    Args:
        text: any text.
        width: columns that there are.
        tail: columns at the end of a longer text that stay, such as those of " seed 12", but not more than half.
        encoding: whose characters are used.
    """
    from rich.cells import cell_len, chop_cells

    text, mark = encodable(text, encoding), encodable("…", encoding)
    if cell_len(text) <= width:
        return text
    room = width - cell_len(mark)
    if room < 1:
        return mark[: max(0, width)]
    tail = min(tail, room // 2)
    end = chop_cells(text[::-1], tail)[0][::-1] if tail else ""
    return chop_cells(text, room - tail)[0] + mark + end
