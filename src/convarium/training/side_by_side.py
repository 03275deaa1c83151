"""fit_side_by_side: the members of a stack on a CPU, each trained in a thread of its own, as `fit` trains it."""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event, Lock

import torch
from torch import nn

from convarium.data.splits import Splits
from convarium.recipes.recipe import Recipe
from convarium.records import ImageSpec, Outcome
from convarium.training.checkpoint import save_checkpoint
from convarium.training.class_weights import class_weights
from convarium.training.loop import make_step, train
from convarium.training.numerics import preserved_generators
from convarium.training.recording import make_outcome
from convarium.training.starting import StartWeights
from convarium.training.state import TrainingEvent
from convarium.training.stopping import TrainingStoppedError, stop_on_signals
from convarium.training.timing import Stopwatch
from convarium.training.trainer import prepare_run

_LOOK_SECONDS = 0.5
"""How long the main thread sleeps at most: a signal that arrives just before it falls asleep does not wake it."""


def fit_side_by_side(
    recipes: Sequence[Recipe],
    splits: Splits,
    device: torch.device,
    folders: Sequence[Path | None],
    *,
    start: StartWeights | None = None,
    on_event: Callable[[int, TrainingEvent], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    exact: bool = False,
    keep_weights: int | None = None,
) -> list[Outcome]:
    """`fit_stack` on the CPU: as many members at a time as there are threads, each trained as `fit` trains it.

    A network that draws from PyTorch's global generator, other than by `nn.Dropout`, cannot share it with others: its
    members train one after another, and the log says so.

    Ctrl-C and signals to terminate end the members between two steps, after their checkpoints are written. Raised at
    once, a KeyboardInterrupt could leave a lock behind that a member then waits for without end.
    """
    stopwatch = Stopwatch(len(recipes))
    keys = tuple(recipe.key(splits.digest)[:8] for recipe in recipes)
    concurrent = min(torch.get_num_threads(), len(recipes))
    trainers = [
        prepare_run(recipe, splits, device, start=start, concurrent=concurrent, stack=keys) for recipe in recipes
    ]
    if concurrent > 1 and _draws_globally(trainers[0].network, splits.train.spec):
        logging.getLogger(__name__).warning(
            "%s draws from PyTorch's global generator, so its runs train one after another", recipes[0].model
        )
        concurrent = 1
        trainers = [prepare_run(recipe, splits, device, start=start) for recipe in recipes]
    stop, turn = Event(), Lock()

    def report(member: int, _: int, event: TrainingEvent) -> None:
        with turn:
            if stop.is_set():
                raise _StoppedError
            try:
                if on_event:
                    on_event(member, event)
            except BaseException:
                stop.set()  # before the next member reports
                raise

    def train_member(member: int, is_interrupted: Callable[[], bool]) -> None:
        def is_stopping() -> bool:
            return is_interrupted() or (should_stop is not None and should_stop())

        if is_stopping():
            raise TrainingStoppedError
        trainer = trainers[member]
        optimizer, scalers = trainer.optimizers[0], trainer.scalers
        weights = class_weights(trainer.runs[0])
        step = make_step(
            trainer.network, optimizer, trainer.recipe, trainer.generators, scalers=scalers, weights=weights
        )
        try:
            folder = folders[member]
            train(
                trainer,
                step,
                folder=folder,
                on_event=partial(report, member),
                should_stop=is_stopping,
                exact=exact,
                keep_weights=keep_weights,
            )
            if folder:
                with suppress(OSError):  # it is finished, and may wait for the others for long
                    save_checkpoint(folder / "last.ckpt", trainer)
        except TrainingStoppedError:  # as all others do, each after it has written its checkpoint
            raise
        except BaseException:
            stop.set()
            raise

    with preserved_generators(device), stop_on_signals() as is_interrupted:
        with _threads(torch.get_num_threads() // concurrent), ThreadPoolExecutor(concurrent) as pool:
            try:
                futures = [pool.submit(train_member, member, is_interrupted) for member in range(len(recipes))]
                while not _all_ended_or_one_failed(futures):
                    pass
                pool.shutdown(cancel_futures=True)  # in case of an exception, whose thread has stopped the others
            finally:  # after a second Ctrl-C the members end with their current step
                stop.set()
                pool.shutdown(cancel_futures=True)
        errors = [future.exception() for future in futures if not future.cancelled()]
        failures = [error for error in errors if error and not isinstance(error, _StoppedError)]
        for error in sorted(failures, key=lambda error: isinstance(error, TrainingStoppedError)):
            raise error

        return [make_outcome(trainer, 0, total_seconds=stopwatch.seconds) for trainer in trainers]


class _StoppedError(Exception):
    """Another member has failed."""


def _all_ended_or_one_failed(futures: Sequence[Future[None]]) -> bool:
    """Waits for that, but no longer than _LOOK_SECONDS, and says whether it is so."""
    done, running = wait(futures, timeout=_LOOK_SECONDS, return_when=FIRST_EXCEPTION)
    return not running or any(future.exception() for future in done)


def _draws_globally(network: nn.Module, image: ImageSpec) -> bool:
    """Whether a training step draws from PyTorch's global generator; its state is restored."""
    parameter = next(network.parameters())
    images = torch.zeros(2, image.channels, image.height, image.width, dtype=parameter.dtype)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        before = torch.get_rng_state()
        copy.deepcopy(network)(images)
        return not torch.equal(torch.get_rng_state(), before)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Sets the number of PyTorch's threads for every Python thread that is started inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
