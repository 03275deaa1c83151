"""How one run, or a stack of runs, is trained into the store, and what becomes of an error."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from convarium.models.build import build_model
from convarium.models.factories import source_digest
from convarium.records import Outcome
from convarium.runs.failed import note_retry, noted_retry
from convarium.runs.files import remove_epoch_weights, write_epoch_weights, write_history, write_predicted
from convarium.runs.folders import source_of
from convarium.runs.store import StoredRun
from convarium.runs.tensorboard import EventLog, event_log
from convarium.studies.events import StudyEvent
from convarium.studies.executors.work import Work
from convarium.studies.plan import PlannedRun
from convarium.training import TrainingEvent
from convarium.training.stopping import stop_on_signals


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
    store = work.store
    planned, paths, image = unit.planned, list(unit.paths), unit.planned[0].splits.train.spec
    _set_aside_checkpoints_of_another_source(unit, work.notify)
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


def _fit_unit(
    unit: Unit,
    logs: Mapping[int, EventLog],
    work: Work,
    *,
    should_stop: Callable[[], bool],
    is_last: bool,
) -> list[Outcome]:
    """Fits the runs of a unit with `work.fit`, and records their epochs in their folders meanwhile.

    Args:
        unit: the runs.
        logs: the TensorBoard file of each run that is missing, by its position.
        work: the device, what fits, and what is called with what it reports; whatever that raises is raised.
        should_stop, is_last: as for `fit_runs`, which also says what is raised.
    """
    predicted: dict[int, tuple[tuple[int, ...], ...]] = {}
    reported: list[OSError] = []

    def record_event(member: int, training: TrainingEvent) -> None:
        unwritten = None
        event = dataclasses.replace(unit.events[0], recipe=unit.planned[member].recipe)
        if member in logs and (training.history or training.weights):
            if training.test_predicted:
                predicted[member] = training.test_predicted
            unwritten = _record_epoch(unit.paths[member], logs[member], training)
        if unwritten and not reported:
            reported.append(unwritten)
            work.notify(dataclasses.replace(unit.events[0], notice=_unwritten_notice(unwritten)))
        if training.weights and not training.history:
            return  # the initial weights are no step
        if training.notice:
            work.notify(dataclasses.replace(event, notice=training.notice))
        else:
            work.notify(dataclasses.replace(event, training=training))

    if not any((unit.paths[member] / "last.ckpt").exists() for member in unit.missing):
        for member in unit.missing:  # they begin
            remove_epoch_weights(unit.paths[member])
    outcomes = work.fit(
        unit.planned,
        [path if stored is None else None for path, stored in zip(unit.paths, unit.stored, strict=True)],
        device=work.device,
        on_event=record_event,
        should_stop=should_stop,
        exact=work.exact,
        is_last=is_last,
        keep_weights=work.keep_weights,
    )
    for member, counts in predicted.items():  # again, because the disk may have been full before
        write_predicted(unit.paths[member], counts)
    if outcomes[0].status == "failed":
        way_out = "" if len(outcomes) == 1 else "; without --stack they train one by one"
        failed = "the run" if len(outcomes) == 1 else f"the stack of {len(outcomes)} runs"
        notice = f"{failed} failed: {outcomes[0].message}{way_out}"
        work.notify(dataclasses.replace(unit.events[0], notice=notice))
    return outcomes


def _record_epoch(path: Path, log: EventLog, training: TrainingEvent) -> OSError | None:
    """Writes the end of an epoch, or the initial weights, into a run's folder, so that it can be read meanwhile.

    Returns:
        Why it could not be written, such as a full disk; the run goes on, and writes its history when it ends.
    """
    try:
        if training.weights:
            write_epoch_weights(path, training.epoch, training.weights)
        if not training.history:
            return None
        write_history(path, training.history)
        if training.test_predicted is not None:
            write_predicted(path, training.test_predicted)
        if training.step_loss is None or training.step_accuracy is None:  # an earlier process logged them
            log.go_on(training.history)
        else:
            log.epoch(training.history[-1], training.step_loss.tolist(), training.step_accuracy.tolist())
    except OSError as error:
        return error
    return None


def _unwritten_notice(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"an epoch could not be written: {error.strerror or error}{where}; training goes on"
