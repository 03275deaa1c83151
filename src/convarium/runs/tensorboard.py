"""TensorBoard files beside a run, so that `tensorboard --logdir runs` just works."""

import contextlib
import dataclasses
import io
import math
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from convarium.recipes.recipe import Recipe
from convarium.records import Epoch, ImageSpec, Outcome
from convarium.runs.event_files import PATTERN, RESULT, STEP, forget_after

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter


class EventLog:
    """Writes scalars after every epoch: losses and accuracies, the learning rate, and every training step.

    Args:
        writer: None where no event file could be opened; then nothing is written.
        earlier: event files of the folder that are older.
    """

    def __init__(self, writer: "SummaryWriter | None", earlier: list[Path] | None = None):
        self.writer = writer
        self.earlier = earlier or []
        self.has_graph = False

    def graph(self, network: nn.Module, image: ImageSpec) -> None:
        """Writes the network's graph, from a trace of two images; a network that cannot be traced has none."""
        if self.writer is None:
            return
        example = torch.zeros(2, image.channels, image.height, image.width)
        # TensorBoard prints a failed trace to standard output, which is reserved for a command's result.
        quiet = contextlib.redirect_stdout(io.StringIO())
        with _TURN, warnings.catch_warnings(), torch.random.fork_rng(devices=[]), quiet:
            warnings.simplefilter("ignore")  # tracing is deprecated, but TensorBoard's graph page needs it
            try:
                self.writer.add_graph(network.eval(), example, verbose=False)
            except Exception:  # a user's network may raise anything; training it will raise the same error
                return
        self.has_graph = True

    def go_on(self, history: Sequence[Epoch]) -> None:
        """Takes up the log of a run that was interrupted: the earlier files keep what the checkpoint knows, once.

        Args:
            history: the epochs that the run has finished, one at least.

        Raises:
            OSError: the disk is full.
        """
        if self.writer is not None:
            last = history[-1]
            forget_after(self.earlier, epoch=last.epoch, step=last.steps, keep_graph=not self.has_graph)

    def epoch(self, row: Epoch, step_loss: Sequence[float], step_accuracy: Sequence[float]) -> None:
        """Writes one epoch: its row of the history by epoch, and its training steps by step.

        The first epoch removes the earlier event files of the folder: the run has begun anew, and TensorBoard would
        draw the curves of both attempts.

        Raises:
            OSError: the disk is full.
        """
        if self.writer is None:
            return
        if row.epoch == 1:
            for file in self.earlier:
                file.unlink(missing_ok=True)
        for name, value in dataclasses.asdict(row).items():
            if name not in ("epoch", "steps") and value is not None:
                self.writer.add_scalar(_tag(name), value, row.epoch)
        first = row.steps - len(step_loss)
        for number, (loss, accuracy) in enumerate(zip(step_loss, step_accuracy, strict=True), start=1):
            self.writer.add_scalar(f"{STEP}train_loss", loss, first + number)
            self.writer.add_scalar(f"{STEP}train_accuracy", accuracy, first + number)
        self.writer.flush()  # before the next checkpoint, so that no epoch is missing after a kill

    def finish(self, recipe: Recipe, outcome: Outcome) -> None:
        """Writes the recipe as hyper-parameters, with the final scores under names of their own.

        Raises:
            OSError: the disk is full.
        """
        if self.writer is None:
            return
        from torch.utils.tensorboard.summary import hparams

        settings = {k: v if isinstance(v, (bool, int, float, str)) else "none" for k, v in recipe.to_json().items()}
        test, validation = f"{RESULT}test_accuracy", f"{RESULT}validation_accuracy"
        finals = {test: outcome.test.accuracy if outcome.test else math.nan}
        if recipe.test == "none":
            finals = {validation: math.nan}
        if outcome.validation:
            finals[validation] = outcome.validation.accuracy
        writer = self.writer._get_file_writer()  # type: ignore[no-untyped-call]  # add_hparams would open a second run
        for summary in hparams(settings, finals):  # type: ignore[no-untyped-call]
            writer.add_summary(summary)
        for name, value in finals.items():
            self.writer.add_scalar(name, value, recipe.epochs)


@contextlib.contextmanager
def event_log(path: Path) -> Iterator[EventLog]:
    """Opens a new event file in a run's folder, beside those of an interrupted run that may go on.

    Event files are an addition: where the disk is too full to open one, or to close it, the run goes on without.
    """
    from torch.utils.tensorboard.writer import SummaryWriter  # half a second that not every command needs

    earlier = sorted(path.glob(PATTERN))
    with _without_tracebacks():
        writer = None
        with contextlib.suppress(OSError):
            writer = SummaryWriter(str(path))
        try:
            yield EventLog(writer, earlier)
        finally:
            if writer is not None:
                with contextlib.suppress(OSError):
                    writer.close()


@contextlib.contextmanager
def _without_tracebacks() -> Iterator[None]:
    """Keeps TensorBoard's thread from printing a traceback when the disk is full, while any event file is open.

    The thread hands its error to the next call of the writer, which raises it where it is handled.
    """
    with _TURN:
        if not _shows:
            show, threading.excepthook = threading.excepthook, _show_others
        else:
            show = _shows[0]
        _shows.append(show)
    try:
        yield
    finally:
        with _TURN:
            show = _shows.pop()
            if not _shows:
                threading.excepthook = show


_TURN = threading.Lock()
"""For what is of the whole process: its hooks and standard output, while several threads have event files."""

_shows: list[Callable[[threading.ExceptHookArgs], Any]] = []
"""The hook that was there before, once for each event file that is open."""


def _show_others(ended: threading.ExceptHookArgs) -> None:
    is_of_writer = ended.thread is not None and type(ended.thread).__module__.startswith("tensorboard.")
    if not (is_of_writer and issubclass(ended.exc_type, OSError)):
        (_shows[0] if _shows else threading.__excepthook__)(ended)


def _tag(name: str) -> str:
    split, _, quantity = name.rpartition("_")
    return f"{split}/{quantity}" if split in ("train", "validation", "test") else name
