"""How one run, or a stack of runs, is trained into the store, and what becomes of an error."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from convarium.errors import ConvariumError
from convarium.models.build import build_model
from convarium.models.factories import source_digest
from convarium.models.index import resolve
from convarium.records import Epoch, Outcome
from convarium.runs.environment import emulates_bfloat16, emulates_float16, environment
from convarium.runs.failed import note_retry, noted_retry
from convarium.runs.files import write_history, write_predicted
from convarium.runs.folders import source_of
from convarium.runs.store import StoredRun
from convarium.runs.tensorboard import EventLog, event_log
from convarium.studies.events import StudyEvent
from convarium.studies.executors.work import Work
from convarium.studies.plan import PlannedRun
from convarium.studies.stacks import stack_notice
from convarium.training import TrainingEvent, fit, fit_stack
from convarium.training.stopping import TrainingStoppedError, stop_on_signals
from convarium.training.trainer import has_batch_of_one, larger_batch_hint


@dataclass(frozen=True)
class Unit:
    """One run, or the runs of a stack, which train at the same time. All lists have the same length.

    Attributes:
        planned: the runs.
        stored: each run as the store has it; None: it is missing.
        events: an event with each run's number.
        paths: each run's folder.
    """

    planned: Sequence[PlannedRun]
    stored: Sequence[StoredRun | None]
    events: Sequence[StudyEvent]
    paths: Sequence[Path]

    @property
    def missing(self) -> list[int]:
        """The positions of the runs that the store does not have."""
        return [member for member, stored in enumerate(self.stored) if stored is None]


@dataclass(frozen=True)
class Attempt:
    """Which attempt to train a unit this is.

    Attributes:
        retried: why the unit is tried again, for the records of its runs; None: it is the first attempt.
        is_last: whether runs for which the memory does not suffice are recorded as failed. If not, that is an error,
            so that a new process may try them again.
    """

    retried: str | None = None
    is_last: bool = True


ONLY_ATTEMPT = Attempt()


class OutOfMemoryError(Exception):
    """The memory does not suffice for a unit."""


def train_unit(unit: Unit, work: Work, *, attempt: Attempt) -> list[StoredRun]:
    """Trains one run, or a stack of runs; of a stack, only the runs that are missing are written.

    Only for a process that holds the locks of the runs that are missing. Ctrl-C, signals to terminate and
    `work.should_stop` end it between two steps, after a checkpoint is written.

    Args:
        unit: the runs.
        work: the store, the device, and what is called meanwhile.
        attempt: whether the unit is tried again, and may be.

    Raises:
        TrainingStoppedError: `work.should_stop` answered True.
        OutOfMemoryError: the memory does not suffice, and this is not the last attempt.
    """
    store, device, notify = work.store, work.device, work.notify
    planned, paths, image = unit.planned, list(unit.paths), unit.planned[0].splits.train.spec
    _set_aside_checkpoints_of_another_source(unit, notify)
    _notify_before_training(unit, device, notify)
    for member in unit.missing:
        recipe = planned[member].recipe
        paths[member] = store.begin(recipe, planned[member].key, source_digest(recipe.model))
        if attempt.retried is not None:
            note_retry(paths[member], attempt.retried)
    unit = dataclasses.replace(unit, paths=paths)
    with stop_on_signals() as is_interrupted:
        with ExitStack() as opened:
            logs = {member: opened.enter_context(event_log(paths[member])) for member in unit.missing}
            if work.wants_graph(planned[0].recipe.model):
                logs[unit.missing[0]].graph(build_model(planned[0].recipe.model, image), image)
            outcomes = _fit_unit(
                unit, logs, work, should_stop=lambda: is_interrupted() or work.should_stop(), is_last=attempt.is_last
            )
            for member, log in logs.items():
                with suppress(OSError):  # a full disk; the run's own files are still to be written
                    log.finish(planned[member].recipe, outcomes[member])
        # The folder that may hold the stack's checkpoint is finished last: a stack that is killed in between goes on
        # from there.
        outcomes = [
            dataclasses.replace(outcome, image=image, retried=attempt.retried or noted_retry(path))
            for outcome, path in zip(outcomes, paths, strict=True)
        ]
        finished = {member: store.finish(paths[member], outcomes[member]) for member in reversed(unit.missing)}
    return [stored or finished[member] for member, stored in enumerate(unit.stored)]


def _set_aside_checkpoints_of_another_source(unit: Unit, notify: Callable[[StudyEvent], None]) -> None:
    """A run's key covers the file that defines a user's network, and not what that file imports of the user's own."""
    for member in unit.missing:
        recipe, path = unit.planned[member].recipe, unit.paths[member]
        source, checkpoint = source_of(path), path / "last.ckpt"
        if source is not None and source != source_digest(recipe.model) and checkpoint.exists():
            checkpoint.replace(path / "last.ckpt.other")
            notice = (
                f"{recipe.model} seed {recipe.seed} was begun with another source of its network; it begins anew, so "
                "that no run mixes the two"
            )
            notify(dataclasses.replace(unit.events[member], notice=notice))


def _notify_before_training(unit: Unit, device: torch.device, notify: Callable[[StudyEvent], None]) -> None:
    slow = _slow_precision(unit.planned[0].recipe.precision, device)
    if slow is not None:
        notify(dataclasses.replace(unit.events[0], notice=slow))


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


def _fit_unit(
    unit: Unit,
    logs: Mapping[int, EventLog],
    work: Work,
    *,
    should_stop: Callable[[], bool],
    is_last: bool,
) -> list[Outcome]:
    """Fits the runs of a unit; if the network or the memory fails, every outcome has the status "failed".

    Args:
        unit: the runs.
        logs: the TensorBoard file of each run that is missing, by its position.
        work: the device, and what is called with what `fit` reports; whatever that raises is raised.
        should_stop: as for `fit`.
        is_last: as in `Attempt`.

    Raises:
        ConvariumError: a recipe that does not fit its data, or a run that was begun elsewhere, with `exact`.
        TrainingStoppedError: `should_stop` answered True.
        OutOfMemoryError: the memory does not suffice, and this is not the last attempt.
        Exception: an error of Convarium itself.
    """
    device, notify = work.device, work.notify
    histories: dict[int, tuple[Epoch, ...]] = {}
    predicted: dict[int, tuple[tuple[int, ...], ...]] = {}
    raised_by_notify: list[BaseException] = []
    reported: list[OSError] = []

    def record_event(member: int, training: TrainingEvent) -> None:
        unwritten = None
        event = dataclasses.replace(unit.events[0], recipe=unit.planned[member].recipe)
        if member in logs and training.history:
            histories[member] = training.history
            if training.test_predicted:
                predicted[member] = training.test_predicted
            unwritten = _record_epoch(unit.paths[member], logs[member], training)
        try:
            if unwritten and not reported:
                reported.append(unwritten)
                notify(dataclasses.replace(unit.events[0], notice=_unwritten_notice(unwritten)))
            if training.notice:
                notify(dataclasses.replace(event, notice=training.notice))
            else:
                notify(dataclasses.replace(event, training=training))
        except BaseException as error:
            raised_by_notify.append(error)
            raise

    recipes, splits = [planned.recipe for planned in unit.planned], unit.planned[0].splits
    folders = [path if stored is None else None for path, stored in zip(unit.paths, unit.stored, strict=True)]
    if len(recipes) > 1:
        notify(dataclasses.replace(unit.events[0], notice=stack_notice(unit.planned, device)))
    start = next((planned.start for planned in unit.planned if planned.start), None)  # members of a stack share it
    settings: Any = {"start": start, "device": device, "should_stop": should_stop, "exact": work.exact}
    try:
        if len(recipes) == 1:
            outcomes = [fit(recipes[0], splits, folder=folders[0], on_event=partial(record_event, 0), **settings)]
        else:
            outcomes = fit_stack(recipes, splits, folders=folders, on_event=record_event, **settings)
        for member, counts in predicted.items():  # again, because the disk may have been full before
            write_predicted(unit.paths[member], counts)
        return outcomes
    except TrainingStoppedError:
        raise
    except Exception as error:
        if raised_by_notify:
            raise raised_by_notify[0] from None
        if _is_about_a_file_of(unit, error):
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
    way_out = "" if len(recipes) == 1 else "; without --stack they train one by one"
    failed = "the run" if len(recipes) == 1 else f"the stack of {len(recipes)} runs"
    notify(dataclasses.replace(unit.events[0], notice=f"{failed} failed: {message}{way_out}"))
    hardware = environment(device)
    return [Outcome("failed", histories.get(member, ()), hardware, message=message) for member in range(len(recipes))]


def _record_epoch(path: Path, log: EventLog, training: TrainingEvent) -> OSError | None:
    """Writes the end of an epoch into a run's folder, so that it can be read while the run goes on.

    Returns:
        Why it could not be written, such as a full disk; the run goes on, and writes its history when it ends.
    """
    assert training.history
    try:
        write_history(path, training.history)
        if training.test_predicted is not None:
            write_predicted(path, training.test_predicted)
        if training.step_loss is not None and training.step_accuracy is not None:  # else an earlier process logged them
            log.epoch(training.history[-1], training.step_loss.tolist(), training.step_accuracy.tolist())
    except OSError as error:
        return error
    return None


def _unwritten_notice(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"an epoch could not be written: {error.strerror or error}{where}; training goes on"


def _is_about_memory(error: Exception) -> bool:
    """Whether memory could not be allocated, of the machine or of a device."""
    wordings = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in wordings)
    )


def _is_about_a_file_of(unit: Unit, error: Exception) -> bool:
    """Whether an error is that of a file in the runs' folders: a full disk is no failure of the network."""
    if not isinstance(error, OSError) or not isinstance(error.filename, (str, os.PathLike)):
        return False
    return any(path in Path(error.filename).parents for path in unit.paths)
