"""The executor of several processes on this machine, each of which trains one unit after another."""

import dataclasses
import logging
import os
import queue
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import joblib
import torch

from convarium.errors import LockedError, RecipeError, RunError
from convarium.models.factories import source_digest
from convarium.records import Outcome
from convarium.runs.environment import environment
from convarium.runs.files import read_history
from convarium.runs.store import StoredRun
from convarium.studies.events import StudyEvent
from convarium.studies.executors.locked_unit import carry_out_unit
from convarium.studies.executors.messages import Done, Failed, Happened, Job, Logged, Ready
from convarium.studies.executors.shared_data import SharedData
from convarium.studies.executors.work import PlannedUnit, Work
from convarium.studies.executors.worker_process import Ended, WorkerProcess
from convarium.studies.unit import Attempt
from convarium.training.stopping import TrainingStoppedError, stop_on_signals

LOOK_SECONDS = 0.2
"""How often it is asked whether training is to stop."""

_DEVICES = "CUDA_VISIBLE_DEVICES"


def count_workers(workers: int | Literal["auto"] | None, device: torch.device, *, runs: int) -> int | None:
    """How many worker processes train a study; None: this process trains it.

    Args:
        workers: a number; "auto": as many as there are GPUs, or cores of a processor, but no more than there are runs;
            None: this process.
        device: on which the runs train.
        runs: those of the study, also the ones that the store has, so that a study that goes on has as many workers,
            with as many threads each, as it had before.

    Raises:
        RecipeError: no such number.
    """
    if workers is None:
        return None
    if workers == "auto":
        available = len(_gpus(device)) if device.type == "cuda" else 1 if device.type == "mps" else joblib.cpu_count()
        number = max(1, min(available, runs))
        return number if number > 1 else None
    if type(workers) is not int or workers < 1:
        raise RecipeError("workers is out of range", expected="1 or more, or auto", received=workers)
    return workers


class LocalWorkers:
    """Trains as many units at a time as there are worker processes, which share this machine's cores and GPUs.

    Each worker has its share of the cores, one GPU of those that are visible, in turns, and the data sets in files that
    all of them map into memory. It locks and finishes runs in the store itself. A worker that ends unexpectedly, as
    when the system kills it because memory is short, loses the steps since its last checkpoint; another one goes on
    from there, once, and the record of the run says so.

    Args:
        workers: how many.
        device: on which they train.
    """

    def __init__(self, workers: int, device: torch.device) -> None:
        self.workers, self.device = workers, device
        self.threads = max(1, min(torch.get_num_threads(), joblib.cpu_count() // workers))
        self._gpus: list[str] = [] if ":" in str(device) else _gpus(device)
        self._processes: list[WorkerProcess] = []
        self._started = 0
        self._inbox: queue.SimpleQueue[tuple[WorkerProcess, Any]] = queue.SimpleQueue()
        self._folder = tempfile.TemporaryDirectory(prefix="convarium-", ignore_cleanup_errors=True)
        self._shared = SharedData(Path(self._folder.name))

    def __enter__(self) -> Self:
        """Returns itself; processes are started when there is work for them."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the processes and deletes what they share."""
        self.end_processes()
        self._folder.cleanup()

    def end_processes(self) -> None:
        """Ends the processes; others are started when there is work again."""
        while self._processes:
            self._processes.pop().close()
        self._inbox = queue.SimpleQueue()  # what they have still said comes too late

    def carry_out(self, units: Sequence[PlannedUnit], work: Work) -> Iterator[tuple[int, list[StoredRun] | None]]:
        """See `Executor.carry_out`; what the store has already comes first."""
        waiting: deque[int] = deque()
        for number, unit in enumerate(units):
            if all(planned.stored for planned in unit):
                yield number, carry_out_unit(unit, work)
            else:
                waiting.append(number)
        with stop_on_signals() as is_interrupted:
            yield from _Round(self, units, work, waiting).results(is_interrupted)

    def idle(self, wanted: int) -> list[WorkerProcess]:
        """Workers without a unit, of which so many are wanted; they are started where there are fewer.

        Raises:
            OSError: the system starts no more processes.
        """
        free = [process for process in self._processes if process.number is None]
        for _ in range(min(wanted - len(free), self.workers - len(self._processes))):
            variables = {_DEVICES: self._gpus[self._started % len(self._gpus)]} if self._gpus else {}
            process = WorkerProcess(
                self._inbox,
                threads=self.threads,
                workers=self.workers,
                shared=self._shared.folder,
                reference=self._shared.reference,
                variables=variables,
            )
            self._started += 1
            self._processes.append(process)
            free.append(process)
        return free[:wanted]

    def busy(self) -> list[WorkerProcess]:
        """The workers that have a unit."""
        return [process for process in self._processes if process.number is not None]

    def next_message(self) -> tuple[WorkerProcess, Any] | None:
        """The next message of a worker; None if there is none for a while."""
        try:
            return self._inbox.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            return None

    def forget(self, process: WorkerProcess) -> str:
        """Forgets a worker that has ended, and says how it ended."""
        self._processes.remove(process)
        cause = process.cause_of_end()
        process.close()
        return cause


class _Round:
    """The units of one call, as they are handed out and come back."""

    def __init__(self, pool: LocalWorkers, units: Sequence[PlannedUnit], work: Work, waiting: "deque[int]") -> None:
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
            self.work.notify(
                dataclasses.replace(event, notice=f"{name}: {reason}; it is tried again from its last checkpoint")
            )
            return
        runs = self._record_failure(unit, reason)
        if any(run.outcome.status == "failed" for run in runs or ()):
            self.work.notify(dataclasses.replace(event, notice=f"{name} failed: {reason}, twice"))
        yield number, runs

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


def _gpus(device: torch.device) -> list[str]:
    """The GPUs that are visible here, as CUDA_VISIBLE_DEVICES names them."""
    if device.type != "cuda":
        return []
    named = os.environ.get(_DEVICES)
    return [name.strip() for name in named.split(",")] if named else list(map(str, range(torch.cuda.device_count())))
