"""The executor of several processes on this machine, each of which trains one unit after another."""

import dataclasses
import os
import queue
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import joblib
import torch

from convarium.errors import RecipeError
from convarium.records import Environment
from convarium.runs.environment import environment
from convarium.runs.store import StoredRun
from convarium.studies.executors.round import hand_out
from convarium.studies.executors.shared_data import SharedData
from convarium.studies.executors.work import PlannedUnit, Work
from convarium.studies.executors.worker_process import WorkerProcess

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

    losses = 2

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
        """See `Executor.carry_out`."""
        return hand_out(self, units, work)

    def environment(self) -> Environment:
        """That in which a worker trains."""
        return dataclasses.replace(environment(self.device), threads=self.threads, workers=self.workers)

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


def _gpus(device: torch.device) -> list[str]:
    """The GPUs that are visible here, as CUDA_VISIBLE_DEVICES names them."""
    if device.type != "cuda":
        return []
    named = os.environ.get(_DEVICES)
    return [name.strip() for name in named.split(",")] if named else list(map(str, range(torch.cuda.device_count())))
