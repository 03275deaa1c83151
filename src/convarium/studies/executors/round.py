"""How the units of a study are handed out to workers, and what becomes of those whose worker is lost."""

import dataclasses
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from convarium.errors import LockedError, RunError
from convarium.models.factories import source_digest
from convarium.records import Environment, Outcome
from convarium.runs.failed import note_retry
from convarium.runs.files import read_history
from convarium.runs.store import StoredRun
from convarium.studies.events import StudyEvent
from convarium.studies.executors.locked_unit import carry_out_unit
from convarium.studies.executors.messages import Done, Ended, Failed, Happened, Job, Logged
from convarium.studies.executors.work import PlannedUnit, Work, is_unfit
from convarium.studies.unit import Attempt
from convarium.training.stopping import TrainingStoppedError, stop_on_signals

Results = Iterator[tuple[int, list[StoredRun] | None]]
"""What `Executor.carry_out` yields."""

_TIMES = {1: "", 2: ", twice", 3: ", three times in a row"}


class Worker(Protocol):
    """What trains one unit after another, somewhere.

    Attributes:
        number: of its unit; None: it has none.
        has_progressed: whether its unit has a checkpoint from it, with which another worker goes on.
    """

    number: int | None
    has_progressed: bool

    @property
    def is_ready(self) -> bool:
        """Whether it has started."""

    def begin(self, number: int, job: Job) -> None:
        """Gives the worker, which is idle, the unit of a number."""

    def ask_to_stop(self) -> None:
        """Asks it to write a checkpoint and to end its unit."""


class Pool(Protocol):
    """Workers.

    Attributes:
        losses: how many workers in a row a unit may lose, none of which got it further, until it has failed.
    """

    losses: int

    def idle(self, wanted: int) -> Sequence[Worker]:
        """Workers without a unit, of which so many are wanted."""

    def busy(self) -> Sequence[Worker]:
        """The workers that have a unit."""

    def next_message(self) -> tuple[Any, Any] | None:
        """The next message of a worker; None if there is none for a while."""

    def forget(self, worker: Any) -> str:
        """Forgets a worker that has ended, and says how: "its worker process was killed by SIGKILL"."""

    def end_processes(self) -> None:
        """Ends the workers; others are started when there is work again."""

    def environment(self) -> Environment:
        """That in which its workers train."""


def hand_out(pool: Pool, units: Sequence[PlannedUnit], work: Work) -> Results:
    """`Executor.carry_out` by the workers of a pool; what the store has already comes first."""
    waiting: deque[int] = deque()
    for number, unit in enumerate(units):
        if all(planned.stored for planned in unit):
            yield number, carry_out_unit(unit, work)
        else:
            waiting.append(number)
    with stop_on_signals() as is_interrupted:
        yield from Round(pool, units, work, waiting).results(is_interrupted)


_OUT_OF_MEMORY = "out of memory"


class Round:
    """The units of one call, as they are handed out and come back."""

    def __init__(self, pool: Pool, units: Sequence[PlannedUnit], work: Work, waiting: deque[int]) -> None:
        self.pool, self.units, self.work, self.waiting = pool, units, work, waiting
        self.missing = len(waiting)
        self.lost: dict[int, list[str]] = {}
        self.is_stopping = False

    def results(self, is_interrupted: Any) -> Results:
        """Hands the units out until all have come back, or training is to stop."""
        try:
            while self.waiting or self.pool.busy():
                if not self.is_stopping and (is_interrupted() or self.work.should_stop()):
                    self._stop()
                if not self.is_stopping:
                    self._hand_out()
                arrived = self.pool.next_message()
                for result in self._handle(*arrived) if arrived else ():
                    self.missing -= 1
                    yield result
        except BaseException:
            if not self.is_stopping:  # else it is a second Ctrl-C, which waits for nothing
                self._stop()
                self._wait_for_checkpoints()
            raise
        finally:
            if self.is_stopping:
                self.pool.end_processes()
        if self.missing and not is_interrupted():
            raise TrainingStoppedError

    def _hand_out(self) -> None:
        for process in self.pool.idle(len(self.waiting)):
            if is_unfit(self.units[self.waiting[0]], self.work):
                self.waiting.clear()
                return
            number = self.waiting.popleft()
            unit, reasons, work = self.units[number], self.lost.get(number, []), self.work
            is_last = len(reasons) + 1 >= self.pool.losses or any(_OUT_OF_MEMORY in reason for reason in reasons)
            job = Job(
                unit,
                Attempt(retried=reasons[-1] if reasons else None, is_last=is_last),
                work.store.root.absolute(),
                str(work.device),
                with_graph=work.wants_graph(unit[0].recipe.model),
                exact=work.exact,
                keep_weights=work.keep_weights,
            )
            process.begin(number, job)

    def _handle(self, process: Worker, message: object) -> Results:
        number = process.number
        match message:
            case Logged(level, text):
                logging.getLogger("convarium").log(level, "%s", text)
            case Happened(event):
                if event.finished:
                    self.work.store.reader.remember(event.finished)
                self.work.notify(event)
            case Done(runs):
                process.number = None
                assert number is not None
                yield number, runs
            case Failed(error):
                process.number = None
                if error is not None:
                    raise error
            case Ended():
                reason = self.pool.forget(process)
                if number is not None and not self.is_stopping:
                    if process.has_progressed:
                        self.lost.pop(number, None)
                    yield from self._lose(number, reason, has_started=process.is_ready)

    def _lose(self, number: int, reason: str, *, has_started: bool) -> Results:
        """What becomes of a unit whose worker has ended: it is tried again, unless that has been done too often."""
        if not has_started and not ("was killed" in reason and number not in self.lost):
            raise RunError(
                f"a {reason.removeprefix('its ')} before it could begin",
                hint="its own message may stand above; without --workers this process trains",
            )
        unit = self.units[number]
        name = f"{unit[0].recipe.model} seed {unit[0].recipe.seed}"
        name = name if len(unit) == 1 else f"the stack of {len(unit)} runs of {unit[0].recipe.model}"
        event = StudyEvent(0, 0, unit[0].recipe)
        reasons = self.lost.setdefault(number, [])
        reasons.append(reason)
        if len(reasons) < self.pool.losses:
            self.waiting.appendleft(number)
            self._note_retry(unit, reason)
            self.work.notify(
                dataclasses.replace(event, notice=f"{name}: {reason}; it is tried again from its last checkpoint")
            )
            return
        runs = self._record_failure(unit, reason)
        if any(run.outcome.status == "failed" for run in runs or ()):
            self.work.notify(dataclasses.replace(event, notice=f"{name} failed: {reason}{_TIMES[self.pool.losses]}"))
        yield number, runs

    def _note_retry(self, unit: PlannedUnit, reason: str) -> None:
        """Writes down that a unit's worker was lost, for whoever finishes its runs, in this call or in a later one."""
        store = self.work.store
        for planned in unit:
            path = store.folder(planned.recipe, planned.key)
            if not store.is_sealed(path):
                note_retry(path, reason)

    def _record_failure(self, unit: PlannedUnit, reason: str) -> list[StoredRun] | None:
        """Records the runs of a unit with which too many workers were lost as failed; a later study tries them again.

        Those that a worker has finished before it was lost stay as they are. None: another process is training one.
        """
        store, runs = self.work.store, []
        hardware, message = self.pool.environment(), f"{reason}{_TIMES[self.pool.losses]}"
        try:
            with store.lock([planned.key for planned in unit]):
                for planned in unit:
                    run = store.find(planned.recipe, planned.key)
                    if run is not None and run.outcome.status != "failed":
                        runs.append(run)
                        continue
                    path = store.begin(planned.recipe, planned.key, source_digest(planned.recipe.model))
                    try:
                        history = read_history(path)
                    except (OSError, ValueError):
                        history = ()
                    outcome = Outcome("failed", history, hardware, message=message, retried=reason)
                    runs.append(store.finish(path, outcome))
        except LockedError:
            return None
        for planned, run in zip(unit, runs, strict=True):
            self.work.notify(StudyEvent(0, 0, run.recipe, finished=run, trained_now=planned.stored is None))
        return runs

    def _stop(self) -> None:
        self.is_stopping = True
        self.waiting.clear()
        for process in self.pool.busy():
            process.ask_to_stop()

    def _wait_for_checkpoints(self) -> None:
        """Waits until no worker is training; what they say meanwhile is no longer told."""
        while self.pool.busy():
            arrived = self.pool.next_message()
            if arrived is None:
                continue
            process, message = arrived
            if isinstance(message, (Done, Failed)):
                process.number = None
            elif isinstance(message, Ended):
                self.pool.forget(process)
