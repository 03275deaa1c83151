"""How the runs of a unit are fitted by the process that trains them, and which errors are failures of a run."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from convarium.errors import ConvariumError
from convarium.models.index import resolve
from convarium.records import Epoch, Outcome
from convarium.runs.environment import emulates_bfloat16, emulates_float16, environment
from convarium.studies.plan import PlannedRun
from convarium.studies.stacks import stack_notice
from convarium.training import TrainingEvent, fit, fit_stack
from convarium.training.engines import LightningEngine
from convarium.training.stopping import TrainingStoppedError
from convarium.training.trainer import has_batch_of_one, larger_batch_hint


class OutOfMemoryError(Exception):
    """The memory does not suffice for a unit."""


class FitRuns(Protocol):
    """What fits the runs of a unit, in this process or in another one: see `fit_runs`."""

    def __call__(
        self,
        planned: Sequence[PlannedRun],
        folders: Sequence[Path | None],
        *,
        device: torch.device,
        on_event: Callable[[int, TrainingEvent], None],
        should_stop: Callable[[], bool],
        exact: bool,
        is_last: bool,
        keep_weights: int | None,
    ) -> list[Outcome]:
        """See `fit_runs`."""


def fit_runs(
    planned: Sequence[PlannedRun],
    folders: Sequence[Path | None],
    *,
    device: torch.device,
    on_event: Callable[[int, TrainingEvent], None],
    should_stop: Callable[[], bool],
    exact: bool,
    is_last: bool,
    keep_weights: int | None = None,
    engine: LightningEngine | None = None,
) -> list[Outcome]:
    """Fits one run, or the runs of a stack; if the network or the memory fails, every outcome has the status "failed".

    Args:
        planned: the runs.
        folders: one for each run, for its checkpoints; None: it has none.
        device: on which they train.
        on_event: called with a run's position and what `fit` reports of it; whatever that raises is raised.
        should_stop, exact: as for `fit`.
        keep_weights: as for `fit`.
        is_last: whether runs for which the memory does not suffice have failed; if not, that is an error.
        engine: what carries the steps of a single run out; None: the native loop.

    Raises:
        ConvariumError: a recipe that does not fit its data, or a run that was begun elsewhere, with `exact`.
        TrainingStoppedError: `should_stop` answered True.
        OutOfMemoryError: the memory does not suffice, and this is not the last attempt.
        Exception: an error of Convarium itself.
    """
    recipes, splits = [run.recipe for run in planned], planned[0].splits
    histories: dict[int, tuple[Epoch, ...]] = {}
    raised_by_listener: list[BaseException] = []

    def report(member: int, event: TrainingEvent) -> None:
        if event.history:
            histories[member] = event.history
        try:
            on_event(member, event)
        except BaseException as error:
            raised_by_listener.append(error)
            raise

    slow = _slow_precision(recipes[0].precision, device)
    for notice in (slow, stack_notice(planned, device) if len(recipes) > 1 else None):
        if notice is not None:
            on_event(0, TrainingEvent(0, recipes[0].epochs, 0, 0, notice=notice))
    start = next((run.start for run in planned if run.start), None)  # members of a stack share it
    settings: Any = {"start": start, "device": device, "should_stop": should_stop, "exact": exact}
    settings["keep_weights"] = keep_weights
    try:
        if engine is not None:
            from convarium.training.lightning_engine import fit_with_lightning  # Lightning is an extra

            settings |= {"folder": folders[0], "on_event": partial(report, 0)}
            return [fit_with_lightning(recipes[0], splits, engine=engine, **settings)]
        if len(recipes) == 1:
            return [fit(recipes[0], splits, folder=folders[0], on_event=partial(report, 0), **settings)]
        return fit_stack(recipes, splits, folders=folders, on_event=report, **settings)
    except TrainingStoppedError:
        raise
    except Exception as error:
        if raised_by_listener:
            raise raised_by_listener[0] from None
        if _is_about_a_file_in(folders, error):
            raise
        if not is_last and _is_about_memory(error):
            raise OutOfMemoryError(str(error)) from error
        # Memory may be full, and a user's own network may raise anything; any other error is a bug to show.
        custom = any(resolve(recipe.model).is_custom for recipe in recipes)
        if isinstance(error, ConvariumError) or not (custom or isinstance(error, (RuntimeError, MemoryError))):
            raise
        message = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
        if "more than 1 value per channel" in message and has_batch_of_one(recipes[0], splits):
            message += (
                f"; a batch of one image is too small for its batch norm, {larger_batch_hint(recipes[0], splits)}"
            )
    hardware = environment(device)
    return [Outcome("failed", histories.get(member, ()), hardware, message=message) for member in range(len(recipes))]


def _slow_precision(precision: str, device: torch.device) -> str | None:
    """What to know before training in a precision for which the device has no instructions; else None."""
    emulated = {"bfloat16": emulates_bfloat16, "float16": emulates_float16}
    if precision not in emulated or not emulated[precision](device):
        return None
    if device.type == "cuda":
        return (
            f"this GPU has no instructions for {precision} and computes it slowly; it has them for --precision float16"
        )
    return f"this processor has no instructions for {precision}; in float32 its matrix products are many times as fast"


def _is_about_memory(error: Exception) -> bool:
    """Whether memory could not be allocated, of the machine or of a device."""
    wordings = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in wordings)
    )


def _is_about_a_file_in(folders: Sequence[Path | None], error: Exception) -> bool:
    """Whether an error is that of a file in the runs' folders: a full disk is no failure of the network."""
    if not isinstance(error, OSError) or not isinstance(error.filename, (str, os.PathLike)):
        return False
    return any(folder in Path(error.filename).parents for folder in folders)
