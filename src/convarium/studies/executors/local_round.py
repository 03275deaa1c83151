"""How the units of a study are handed out to local workers, and what becomes of those whose worker is lost."""

import dataclasses
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from convarium.errors import LockedError, RunError
from convarium.models.factories import source_digest
from convarium.records import Outcome
from convarium.runs.environment import environment
from convarium.runs.failed import note_retry
from convarium.runs.files import read_history
from convarium.runs.store import StoredRun
from convarium.studies.events import StudyEvent
from convarium.studies.executors.messages import Done, Failed, Happened, Job, Logged, Ready
from convarium.studies.executors.work import PlannedUnit, Work, is_unfit
from convarium.studies.executors.worker_process import Ended, WorkerProcess
from convarium.studies.unit import Attempt
from convarium.training.stopping import TrainingStoppedError

if TYPE_CHECKING:
    from convarium.studies.executors.local_workers import LocalWorkers


class Round:
    """The units of one call, as they are handed out and come back."""

    def __init__(self, pool: "LocalWorkers", units: Sequence[PlannedUnit], work: Work, waiting: "deque[int]") -> None:
        self.pool, self.units, self.work, self.waiting = pool, units, work, waiting
        self.missing = len(waiting)
        self.lost: dict[int, str] = {}
        self.is_stopping = False

    def results(self, is_interrupted: Any) -> Iterator[tuple[int, list[StoredRun] | None]]:
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
            unit, reason, work = self.units[number], self.lost.get(number), self.work
            job = Job(
                unit,
                Attempt(retried=reason, is_last=reason is not None),
                work.store.root.absolute(),
                str(work.device),
                with_graph=work.wants_graph(unit[0].recipe.model),
                exact=work.exact,
            )
            process.begin(number, job)

    def _handle(self, process: WorkerProcess, message: object) -> Iterator[tuple[int, list[StoredRun] | None]]:
        number = process.number
        match message:
            case Ready():
                process.is_ready = True
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
                cause = self.pool.forget(process)
                if number is not None and not self.is_stopping:
                    yield from self._lose(number, cause, has_started=process.is_ready)

    def _lose(self, number: int, cause: str, *, has_started: bool) -> Iterator[tuple[int, list[StoredRun] | None]]:
        """What becomes of a unit whose worker has ended: it is tried again, once."""
        if not has_started and not (cause.startswith("killed") and number not in self.lost):
            raise RunError(
                f"a worker process {cause} before it could begin",
                hint="its own message may stand above; without --workers this process trains",
            )
        unit = self.units[number]
        name = f"{unit[0].recipe.model} seed {unit[0].recipe.seed}"
        name = name if len(unit) == 1 else f"the stack of {len(unit)} runs of {unit[0].recipe.model}"
        reason = f"its worker process was {cause}" if cause.startswith("killed") else f"its worker process {cause}"
        reason = "its worker process ran out of memory" if cause == "out of memory" else reason
        event = StudyEvent(0, 0, unit[0].recipe)
        if number not in self.lost:
            self.lost[number] = reason
            self.waiting.appendleft(number)
            self._note_retry(unit, reason)
            self.work.notify(
                dataclasses.replace(event, notice=f"{name}: {reason}; it is tried again from its last checkpoint")
            )
            return
        runs = self._record_failure(unit, reason)
        if any(run.outcome.status == "failed" for run in runs or ()):
            self.work.notify(dataclasses.replace(event, notice=f"{name} failed: {reason}, twice"))
        yield number, runs

    def _note_retry(self, unit: PlannedUnit, reason: str) -> None:
        """Writes down that a unit's worker was lost, for whoever finishes its runs, in this call or in a later one."""
        store = self.work.store
        for planned in unit:
            path = store.folder(planned.recipe, planned.key)
            if not store.is_sealed(path):
                note_retry(path, reason)

    def _record_failure(self, unit: PlannedUnit, reason: str) -> list[StoredRun] | None:
        """Records the runs of a unit that two workers were lost with as failed; a later study tries them again.

        Those that a worker has finished before it was lost stay as they are. None: another process is training one.
        """
        store, runs = self.work.store, []
        hardware = dataclasses.replace(
            environment(self.work.device), threads=self.pool.threads, workers=self.pool.workers
        )
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
                    outcome = Outcome("failed", history, hardware, message=f"{reason}, twice", retried=reason)
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
