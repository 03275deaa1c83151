"""fit_side_by_side(recipes, splits): several runs on the CPU at the same time, each on threads of its own.

Two threads that share the step of a small network wait for each other in every layer; a member that has one for itself
waits for nobody. By images a second, members side by side on two threads against one run on both: 1.4 to 1.9 for
memory_mlp, 1.5 for LeNet, 2.1 for residual_cnn.
"""

import copy
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Lock

import torch
from torch import nn

from convarium.data.splits import Splits
from convarium.recipes.recipe import Recipe
from convarium.records import ImageSpec, Outcome
from convarium.training.loop import Training
from convarium.training.recording import TrainingEvent


def fit_side_by_side(
    recipes: Sequence[Recipe],
    splits: Splits,
    device: torch.device,
    folders: Sequence[Path | None],
    on_event: Callable[[int, TrainingEvent], None] | None = None,
) -> list[Outcome]:
    """What `fit_stack` does on the CPU: as many members train at once as there are threads, each as `fit` trains it.

    A network that draws from PyTorch's global generator, other than by `nn.Dropout`, cannot share it: its members
    train one after another, with a line in the log.
    """
    began = time.perf_counter()
    keys = tuple(recipe.key(splits.digest)[:8] for recipe in recipes)
    members = min(torch.get_num_threads(), len(recipes))
    trainings = [Training(recipe, splits, device, beside=members) for recipe in recipes]
    if members > 1 and _draws_globally(trainings[0].network, splits.train.spec):
        logging.getLogger(__name__).warning(
            "%s draws from PyTorch's global generator, so its runs train one after another", recipes[0].model
        )
        members = 1
        trainings = [Training(recipe, splits, device) for recipe in recipes]
    stop, turn = Event(), Lock()

    def tell(member: int, told: TrainingEvent) -> None:
        with turn:
            if stop.is_set():
                raise _StoppedError
            try:
                if on_event:
                    on_event(member, told)
            except BaseException:
                stop.set()  # before another member has its turn
                raise

    def train(member: int) -> None:
        try:
            trainings[member].train(folders[member], partial(tell, member))
        except BaseException:
            stop.set()
            raise

    with _threads(torch.get_num_threads() // members), ThreadPoolExecutor(members) as pool:
        try:
            futures = [pool.submit(train, member) for member in range(len(recipes))]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:  # after an error, a member's or Ctrl-C: the others end with the step that they are at
            stop.set()
            pool.shutdown(cancel_futures=True)
    errors = [future.exception() for future in futures if not future.cancelled()]
    for error in errors:
        if error and not isinstance(error, _StoppedError):
            raise error

    share = (time.perf_counter() - began) / len(recipes)
    return [training.outcome(total_seconds=share, stack=keys) for training in trainings]


class _StoppedError(Exception):
    """Another member has failed."""


def _draws_globally(network: nn.Module, image: ImageSpec) -> bool:
    """Whether a training step draws from PyTorch's global generator, which is left as it was."""
    parameter = next(network.parameters())
    images = torch.zeros(2, image.channels, image.height, image.width, dtype=parameter.dtype)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        before = torch.get_rng_state()
        copy.deepcopy(network).train()(images)
        return not torch.equal(torch.get_rng_state(), before)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """PyTorch's threads, for each thread that begins to compute here."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
