"""Bars on standard error while something takes long: a study, a download, the decoding of images.

rich is imported where something is drawn: help and complaints do without it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

from convarium.characters import encodable, one_line
from convarium.cli.terminal import console_on

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

    from convarium.recipes.recipe import Recipe
    from convarium.records import Epoch
    from convarium.studies.events import StudyEvent


_ESTIMATED_FROM = 600.0
"""Seconds from whose progress the time that is left is estimated."""


@contextmanager
def study_progress(
    mark: str = "", *, split: Literal["test", "validation"] = "test"
) -> Iterator[Callable[[StudyEvent], None]]:
    """A handler of a study's events that draws bars: the runs of the study, and the steps of each run in training.

    The bar of the runs also counts the shares of those in training, from which the time that is left is estimated.
    Without a terminal a line is printed when a run ends.

    Args:
        mark: what stands before every line, such as "[reduced] ".
        split: whose accuracy is printed when a run ends, if the run has it.
    """
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    with _bars(MofNCompleteColumn(), TimeRemainingColumn(), _text("{task.fields[state]}")) as bars:
        yield _StudyBars(bars, mark, split).on_event


class _StudyBars:
    def __init__(self, bars: Progress, mark: str, split: Literal["test", "validation"]) -> None:
        self.bars, self.mark, self.split = bars, mark, split
        self.runs = bars.add_task(f"{mark}runs", total=None, state="")
        self.reading: TaskID | None = None
        self.units: dict[Recipe, _UnitBar] = {}  # those in training, by each of their recipes
        self.reused = self.failed = 0

    def on_event(self, event: StudyEvent) -> None:
        if event.reading:
            self._show_reading(*event.reading)
        if event.message:
            self._print_above(event.message)
        if event.notice:
            self._print_above(f"note: {event.notice}")
        if event.finished:
            self._finish(event)
        if event.begins:
            self._begin(event.begins)
        if event.training:
            self._show_training(event)

    def _show_reading(self, what: str, done: int, total: int) -> None:
        if self.reading is None:
            self.reading = self.bars.add_task("", total=None, state="")
        self.bars.update(self.reading, description=one_line(f"{self.mark}reading {what}"), total=total, completed=done)
        if done >= total:
            self.bars.remove_task(self.reading)
            self.reading = None

    def _print_above(self, text: str) -> None:
        """Folds a line between words on a terminal; in a file a line stays a line."""
        shown = encodable(one_line(f"{self.mark}{text}"), sys.stderr.encoding)
        self.bars.console.print(shown, markup=False, soft_wrap=not self.bars.console.is_terminal)

    def _begin(self, recipes: tuple[Recipe, ...]) -> None:
        for recipe in recipes:  # a unit that is tried again has a bar already
            self._forget(recipe)
        unit = _UnitBar(self.bars.add_task("", total=None, state=""), dict.fromkeys(recipes, 0.0))
        self.units |= dict.fromkeys(recipes, unit)

    def _show_training(self, event: StudyEvent) -> None:
        training, recipe = event.training, event.recipe
        assert training
        if recipe not in self.units:
            self._begin((recipe,))
        unit, steps = self.units[recipe], training.epochs * training.steps_per_epoch
        unit.shares[recipe] = (training.epoch * training.steps_per_epoch + training.step) / steps
        runs, done = len(unit.shares), sum(unit.shares.values())
        name = f"{recipe.model} seed {recipe.seed}" if runs == 1 else f"{recipe.model}, {runs} runs"
        self.bars.update(
            unit.task,
            description=one_line(self.mark + name),
            total=runs * steps,
            completed=round(done * steps),
        )
        if training.history:
            self.bars.update(unit.task, state=_scores(training.history[-1]))
        in_training = {id(unit): unit for unit in self.units.values()}.values()
        shares = sum(share for unit in in_training for share in unit.shares.values())
        self.bars.update(self.runs, total=event.total, completed=min(event.number - 1 + shares, event.total - 1e-6))

    def _finish(self, event: StudyEvent) -> None:
        run = event.finished
        assert run
        self.reused += not event.trained_now
        self.failed += run.outcome.status != "finished"
        parts = [f"{self.reused} from the store"] if self.reused else []
        parts += [f"{self.failed} failed"] if self.failed else []
        self.bars.update(self.runs, total=event.total, completed=event.number, state=", ".join(parts))
        if event.trained_now and not self.bars.console.is_terminal:
            self._print_above(_end_of_run(event, self.split))
        self._forget(event.recipe)

    def _forget(self, recipe: Recipe) -> None:
        """Takes a run's bar away, with the last of its runs if it is that of a stack."""
        unit = self.units.pop(recipe, None)
        if unit is not None:
            del unit.shares[recipe]
            if not unit.shares:
                self.bars.remove_task(unit.task)


class _UnitBar(NamedTuple):
    """The bar of a run, or of a stack's runs, and the shares of their steps that are done."""

    task: TaskID
    shares: dict[Recipe, float]


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
        speed_estimate_period=_ESTIMATED_FROM,
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
    if event.finished.result_split == "validation":
        split = "validation"
    scores = outcome.test if split == "test" else outcome.validation
    ended = f"{split} accuracy {scores.accuracy:.2%}" if scores else outcome.status
    seconds = f", {outcome.cost.train_seconds:.1f} s of training" if outcome.cost else ""
    return f"run {event.number} of {event.total}: {event.recipe.model} seed {event.recipe.seed}: {ended}{seconds}"


def _scores(row: Epoch) -> str:
    """The last epoch's scores; the first words are what 80 columns have room for."""
    validation = f", val {row.validation_accuracy:.1%}" if row.validation_accuracy is not None else ""
    return f"loss {row.train_loss:.3f}{validation}, epoch {row.epoch}"
