"""What the command line shows: answers on standard output; notes and live progress on standard error.

rich is imported where something is drawn: help and complaints do without it.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from convarium.characters import encodable, one_line, visible, visible_json

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.progress import Progress, ProgressColumn, TaskID
    from rich.table import Table

    from convarium.records import Epoch
    from convarium.studies.events import StudyEvent

_NARROWEST = 20


def say(answer: str | RenderableType, *, mark: str = "") -> None:
    """Prints one text, or something that rich can draw, on standard output.

    Args:
        answer: a text is printed as it is; a drawing is as wide as the terminal, or 80 columns without one.
        mark: what stands before every line, such as "[reduced] ".
    """
    if isinstance(answer, str):
        lines = encodable(visible(answer), sys.stdout.encoding).split("\n")
    else:
        console = _console(sys.stdout)
        if console.is_terminal and not mark:
            console.print(_Shown(answer))
            return
        lines = drawn_lines(answer, console.width - len(mark))
    sys.stdout.write("".join(f"{mark}{line}\n" for line in lines))


def say_wrapped(text: str, *, mark: str = "", indent: str = "    ") -> None:
    """Prints a sentence, folded between words where it is wider than the terminal, or than 80 columns without one."""
    width = _console(sys.stdout).width - len(mark)
    say("\n".join(textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)), mark=mark)


def note(text: str) -> None:
    """Prints a note on standard error; a terminal gets it folded between words, a file or a pipe in one line."""
    text = encodable(visible(text), sys.stderr.encoding)
    if sys.stderr.isatty():
        try:
            columns = os.get_terminal_size(sys.stderr.fileno()).columns
        except OSError:
            columns = 0
        text = textwrap.fill(text, columns or 80, break_long_words=False, break_on_hyphens=False)
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@contextmanager
def log_as_notes() -> Iterator[None]:
    """Inside, what the library logs, such as that kernels are compiled, is shown as notes."""
    import logging  # only where a command runs: help and complaints do without it

    log, handler = logging.getLogger("convarium"), logging.StreamHandler(_Notes())
    handler.terminator = ""
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)


class _Notes:
    """Standard error as a stream of notes, also where a bar is drawn there."""

    def write(self, text: str) -> None:
        note(text)

    def flush(self) -> None: ...


def say_json(value: Any) -> None:
    """Prints one JSON value on standard output, for machines."""
    encodes_all = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    text = json.dumps(value, indent=1, ensure_ascii=not encodes_all, allow_nan=False)
    sys.stdout.write(visible_json(text) + "\n")


def columns_of_terminal() -> int:
    """The width of standard output: 80 without a terminal."""
    return _console(sys.stdout).width


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """A plain table; the columns named in `right` are aligned to the right, and a tuple is a cell of several lines."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, header_style="bold")
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(escape("\n".join(map(one_line, _lines(cell)))) for cell in row))
    return drawn


def drawn_lines(drawing: RenderableType, width: int) -> list[str]:
    """What rich draws in so many columns, as lines of plain text in characters that standard output can encode."""
    from rich.console import Console

    console = Console(file=sys.stdout, width=width, highlight=False, force_terminal=False)
    with console.capture() as captured:
        console.print(_Shown(drawing))
    return [line.rstrip() for line in captured.get().splitlines()]


def _lines(cell: object) -> tuple[object, ...]:
    if isinstance(cell, tuple):
        return cell
    return () if cell is None else (cell,)


class _Shown:
    """A drawing whose texts have no control characters, and only characters that the console can encode."""

    def __init__(self, drawing: Any) -> None:
        self._drawing = drawing

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.console import Group
        from rich.segment import Segment
        from rich.table import Table
        from rich.text import Text

        def shown(text: str) -> str:
            return encodable(visible(text), options.encoding)

        def cell(content: Any) -> Any:
            if isinstance(content, Text):
                content.plain = shown(content.plain)
                return content
            return shown(content) if isinstance(content, str) else content

        match self._drawing:
            case Group():
                yield from map(_Shown, self._drawing.renderables)
            case Table():
                for column in self._drawing.columns:
                    column.header, column._cells = cell(column.header), list(map(cell, column.cells))
                yield self._drawing
            case str() | Text():
                yield cell(self._drawing)
            case Segment():
                yield self._drawing if self._drawing.control else self._drawing._replace(text=shown(self._drawing.text))
            case _:  # a drawing of our own is asked for its parts
                yield from map(_Shown, self._drawing.__rich_console__(console, options))


@contextmanager
def study_progress(mark: str = "") -> Iterator[Callable[[StudyEvent], None]]:
    """A handler of a study's events that draws two bars: the runs of the study, and the steps of the run in training.

    Without a terminal it prints a line when a run ends.

    Args:
        mark: what stands before every line, such as "[reduced] ".
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
                    print_above(_end_of_run(event))
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

    console = _console(sys.stderr)
    every = (_text("{task.description}"), BarColumn(bar_width=10), *columns)
    return Progress(
        *every, console=console, transient=True, expand=True, refresh_per_second=5, disable=not console.is_terminal
    )


def _text(form: str) -> ProgressColumn:
    from rich.progress import TextColumn
    from rich.table import Column

    return TextColumn(form, markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))


def _console(stream: Any) -> Console:
    from rich.console import Console

    console = Console(file=stream, highlight=False)
    if console.width < _NARROWEST:  # COLUMNS=0, in which nothing could be shown
        console.width = 80
    return console


def _end_of_run(event: StudyEvent) -> str:
    assert event.finished is not None
    outcome = event.finished.outcome
    ended = f"test accuracy {outcome.test.accuracy:.2%}" if outcome.test else outcome.status
    seconds = f", {outcome.cost.train_seconds:.1f} s of training" if outcome.cost else ""
    return f"run {event.number} of {event.total}: {event.recipe.model} seed {event.recipe.seed}: {ended}{seconds}"


def _scores(row: Epoch) -> str:
    """The last epoch's scores; the first words are what 80 columns have room for."""
    validation = f", val {row.validation_accuracy:.1%}" if row.validation_accuracy is not None else ""
    return f"loss {row.train_loss:.3f}{validation}, epoch {row.epoch}"
