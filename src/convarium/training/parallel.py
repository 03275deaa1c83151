"""fit_stack(recipes, splits): several runs of one network, trained at the same time as a stack.

Every member of the stack sees the batches, augmentations, initial weights, learning rates and, on the CPU, dropout
masks that it would see alone, and `fit_stack` records of it what `fit` records. What differs is the order of summation,
hence the last bits; so a run's environment names the members of its stack.

On a CPU the members train side by side, each on threads of its own: two threads that share the step of a small network
wait for each other in every layer, and a member that has one for itself waits for nobody. In images per second, members
side by side on two threads against one run on both: 1.4 to 1.9 for memory_mlp, 1.5 for LeNet, 2.1 for residual_cnn. On
CUDA the members are one stacked model, so that eight members launch as many kernels as one: see `stacked`.
"""

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
from convarium.errors import RecipeError
from convarium.recipes.recipe import Recipe
from convarium.records import ImageSpec, Outcome
from convarium.training.checkpoint import save_checkpoint
from convarium.training.class_weights import class_weights
from convarium.training.loop import make_step, train
from convarium.training.numerics import preserved_generators
from convarium.training.recording import make_outcome
from convarium.training.scoring import pick_device
from convarium.training.stacked import fit_stacked_model
from convarium.training.starting import StartWeights
from convarium.training.state import TrainingEvent
from convarium.training.stopping import TrainingStoppedError, stop_on_signals
from convarium.training.timing import Stopwatch
from convarium.training.trainer import check_batches, prepare_run

LARGEST_STACK = 8
STACK_FIELDS = ("seed", "learning_rate", "weight_decay", "momentum")
"""The recipe fields in which the members of a stack may differ."""
_LOOK_SECONDS = 0.5
"""How long the main thread sleeps at most: a signal that arrives just before it falls asleep does not wake it."""


def fit_stack(
    recipes: Sequence[Recipe],
    splits: Splits,
    *,
    device: torch.device | str | None = None,
    start: StartWeights | None = None,
    folders: Sequence[Path | None] | None = None,
    on_event: Callable[[int, TrainingEvent], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    exact: bool = False,
    keep_weights: int | None = None,
) -> list[Outcome]:
    """Trains recipes that differ only in STACK_FIELDS, all at once, and scores each of them.

    A member that diverges ends and leaves the others as they are. A member's seconds are its share of the stack's
    wall-clock time.

    Args:
        recipes: what to train; on CUDA, neighbors that differ only in the seed are updated fastest.
        splits: as for `fit`.
        device, start: as for `fit`.
        folders: one per member, for checkpoints as in `fit`: on the CPU one file per member, on CUDA one file for the
            stack, in the first folder given. None: no checkpoint is written.
        on_event: called after every step and every epoch of each member, with the member's index, by one thread at a
            time; any exception that it raises ends all runs.
        should_stop, exact, keep_weights: as for `fit`.

    Returns:
        Outcomes in the order of the recipes.

    Raises:
        RecipeError, ImageSizeError: the recipes do not fit each other or the data.
        RunError: a member was begun in another environment, with `exact`.
        TrainingStoppedError: `should_stop` answered True.
    """
    device = pick_device(device)
    check_batches(_common_recipe(recipes), splits)
    fit_members = _method_for(device)
    folders = folders or [None] * len(recipes)
    return fit_members(
        recipes,
        splits,
        device,
        folders,
        start=start,
        on_event=on_event,
        should_stop=should_stop,
        exact=exact,
        keep_weights=keep_weights,
    )


def plan_stacks(recipes: Sequence[Recipe]) -> list[list[Recipe]]:
    """Groups recipes that can train together into stacks of 2 to LARGEST_STACK, and leaves single recipes out.

    Recipes with equal settings are neighbors, as `fit_stack` prefers.
    """
    groups: dict[tuple[object, ...], list[Recipe]] = {}
    for recipe in dict.fromkeys(recipes):
        groups.setdefault(tuple(_common_fields(recipe).values()), []).append(recipe)
    stacks = []
    for group in groups.values():
        group.sort(key=lambda recipe: (recipe.learning_rate, recipe.weight_decay, recipe.momentum))
        pieces = -(-len(group) // LARGEST_STACK)
        size, larger = divmod(len(group), pieces)
        ends = [(piece + 1) * size + min(piece + 1, larger) for piece in range(pieces)]
        stacks += [group[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [stack for stack in stacks if len(stack) > 1]


def stacking_pays(device: torch.device) -> bool | None:
    """Whether a stack trains faster than one run after another; None where that has not been measured."""
    return torch.get_num_threads() > 1 if device.type == "cpu" else None


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


def _method_for(device: torch.device) -> Callable[..., list[Outcome]]:
    return fit_side_by_side if device.type == "cpu" else fit_stacked_model


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


def _common_recipe(recipes: Sequence[Recipe]) -> Recipe:
    """The first recipe, after a check that all agree in the fields that they must share."""
    if not recipes:
        raise RecipeError("a stack needs at least one recipe")
    first = _common_fields(recipes[0])
    for recipe in recipes[1:]:
        for name, value in _common_fields(recipe).items():
            if value != first[name]:
                raise RecipeError(
                    f"{name} differs within a stack: {first[name]!r} and {value!r}",
                    expected=f"recipes that differ only in {', '.join(STACK_FIELDS)}",
                    hint="train them in separate runs",
                )
    return recipes[0]


def _common_fields(recipe: Recipe) -> dict[str, object]:
    return {name: value for name, value in recipe.to_json().items() if name not in STACK_FIELDS}
