"""The executor of a Ray cluster: workers on any number of machines, each of which trains one unit after another."""

import dataclasses
import queue
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from importlib import metadata
from types import TracebackType
from typing import Any, Literal, Self

import torch

from convarium.errors import RecipeError, RunError
from convarium.records import Environment
from convarium.runs.environment import code_digest, environment
from convarium.studies.events import StudyEvent
from convarium.studies.executors.ray_cluster import check_shares, connected, has_gpus, import_ray, places
from convarium.studies.executors.ray_messages import RayData
from convarium.studies.executors.ray_trainer import RayTrainer
from convarium.studies.executors.ray_worker import RayWorker
from convarium.studies.executors.round import Results, hand_out
from convarium.studies.executors.work import PlannedUnit, Work

LOOK_SECONDS = 0.2
"""How often it is asked whether training is to stop, and whether workers have started."""

_COUNT_SECONDS = 2.0
"""How often the machines of the cluster are counted."""

_MOST_AHEAD = 16
"""Workers that are asked for though there is no room for them, so that a cluster that can grow does."""

_MOST_FAILED_STARTS = 3


class RayWorkers:
    """Trains as many units at a time as a Ray cluster has room for; see `Executor`.

    A context manager, which connects to the cluster. This process alone reads and writes the store: data sets, a user's
    own modules and checkpoints go to the workers, and checkpoints, epochs and results come back, so that a run goes on
    elsewhere when its worker or its machine is lost. A run that is lost three times in a row without having got further
    has failed.

    Args:
        address: see `connected`.
        cpus: of a machine that each run takes, and on so many threads it trains.
        gpus: that each run takes, or the share of one; None: one if the cluster has any and the device allows, else 0.
        device: "cpu", "cuda" or None.
        limit: train no more runs than this at a time; "auto" or None: as many as there is room for.

    Raises:
        RecipeError: a number or a device that cannot be.
        ConvariumError: Ray is not installed.
    """

    losses = 3

    def __init__(
        self,
        address: str | None = None,
        *,
        cpus: float = 1.0,
        gpus: float | None = None,
        device: str | None = None,
        limit: int | Literal["auto"] | None = None,
    ) -> None:
        check_shares(cpus, gpus)
        if device not in (None, "cpu", "cuda"):
            raise RecipeError("device does not suit the executor", expected="cpu or cuda with ray", received=device)
        if device == "cpu" and gpus:
            raise RecipeError("gpus_per_run takes GPUs for runs on a CPU", hint="leave it out, or use --device cuda")
        if device == "cuda" and gpus == 0:
            raise RecipeError("gpus_per_run is 0 for runs on CUDA", hint="leave it out, or use --device cpu")
        if limit not in (None, "auto") and (type(limit) is not int or limit < 1):
            raise RecipeError("workers is out of range", expected="1 or more, or auto", received=limit)
        self._ray, self._address, self._limit = import_ray(), address, None if limit == "auto" else limit
        self.cpus, self.gpus, self.device = cpus, gpus or 0.0, torch.device(device or "cpu")
        self._are_gpus_open = gpus is None and device != "cpu"
        if gpus:
            self.device = torch.device("cuda")
        self.threads = max(1, int(cpus))
        self._workers: list[RayWorker] = []
        self._inbox: queue.SimpleQueue[tuple[RayWorker, Any]] = queue.SimpleQueue()
        self._context = ExitStack()
        self._places, self._counted = 0, float("-inf")
        self._failed_starts, self._environment = 0, environment("cpu")
        self._is_own = False

    def __enter__(self) -> Self:
        """Connects to the cluster; workers are started when there is work for them."""
        self._is_own = self._context.enter_context(connected(self._address))
        if self._are_gpus_open and (has_gpus(self._ray.nodes()) or self.device.type == "cuda"):
            self.gpus, self.device = 1.0, torch.device("cuda")
        self._data, self._actor = RayData(self._ray.put), self._ray.remote(RayTrainer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the workers and leaves the cluster."""
        self.end_processes()
        self._context.close()

    @property
    def workers(self) -> int:
        """How many units train at the same time, if nobody else uses the cluster."""
        return max(1, self._room())

    def _room(self) -> int:
        now = time.monotonic()
        if now - self._counted > _COUNT_SECONDS:
            self._places, self._counted = places(self._ray.nodes(), cpus=self.cpus, gpus=self.gpus), now
        return self._places if self._limit is None else min(self._places, self._limit)

    def carry_out(self, units: Sequence[PlannedUnit], work: Work) -> Results:
        """See `Executor.carry_out`."""
        missing = [unit for unit in units if not all(run.stored for run in unit)]
        if missing and not self._room():
            share = f"{self.cpus:g} CPU{'' if self.cpus == 1 else 's'}"
            share += f" and {self.gpus:g} GPU{'' if self.gpus == 1 else 's'}" if self.gpus else ""
            wrong = f"no machine of the Ray cluster has room for a run, which takes {share}"
            if self._is_own:
                raise RunError(wrong, hint="use a smaller --cpus-per-run or --gpus-per-run")
            work.notify(StudyEvent(0, 0, missing[0][0].recipe, notice=f"{wrong}; waiting for one (Ctrl-C ends that)"))
        return hand_out(self, units, work)

    def environment(self) -> Environment:
        """That in which a worker trains, or as much of it as is known."""
        return dataclasses.replace(self._environment, threads=self.threads, workers=self.workers)

    def idle(self, wanted: int) -> list[RayWorker]:
        """Workers that have started and have no unit, of which so many are wanted; others are asked for.

        Raises:
            RunError: they cannot start.
        """
        self._look_for_started()
        room = self._room()
        ahead = 0 if self._is_own or self._limit is not None else min(max(1, room), _MOST_AHEAD)
        target = min(wanted + len(self.busy()), room + ahead)
        for worker in [worker for worker in self._workers if not worker.is_ready][max(0, target - self._ready()) :]:
            self._workers.remove(worker)
            worker.close()
        while len(self._workers) < target:
            self._workers.append(self._started())
        return [worker for worker in self._workers if worker.is_ready and worker.number is None][:wanted]

    def _ready(self) -> int:
        return sum(worker.is_ready for worker in self._workers)

    def _started(self) -> RayWorker:
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_restarts": 0, "max_task_retries": 0}
        actor = self._actor.options(**options).remote(self.threads)
        return RayWorker(
            self._inbox,
            self._ray,
            actor,
            hello=actor.hello.remote(self.device.type),
            data=self._data,
            workers=lambda: self.workers,
        )

    def _look_for_started(self) -> None:
        starting = {worker.starting: worker for worker in self._workers if not worker.is_ready}
        if not starting:
            return
        started, _ = self._ray.wait(list(starting), num_returns=len(starting), timeout=0)
        for reference in started:
            worker = starting[reference]
            try:
                worker.hello = self._ray.get(reference)
            except Exception as error:
                self._workers.remove(worker)
                self._failed_starts += 1
                if self._failed_starts >= _MOST_FAILED_STARTS:
                    last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
                    raise RunError(
                        f"Ray workers cannot start ({last})",
                        hint="each machine of the cluster needs the Python, Ray, PyTorch and Convarium of this one",
                    ) from error
                continue
            self._environment, self._failed_starts = worker.hello.environment, 0
            if self._environment.code != code_digest():
                raise RunError(
                    "a machine of the Ray cluster has another version of Convarium than this one",
                    expected=metadata.version("convarium"),
                    received=self._environment.convarium,
                    hint="install the same one there, and restart Ray",
                )

    def busy(self) -> list[RayWorker]:
        """The workers that have a unit."""
        return [worker for worker in self._workers if worker.number is not None]

    def next_message(self) -> tuple[RayWorker, Any] | None:
        """The next message of a worker; None if there is none for a while."""
        try:
            return self._inbox.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            return None

    def forget(self, worker: RayWorker) -> str:
        """Forgets a worker that has ended, and says how it ended."""
        self._workers.remove(worker)
        worker.close()
        self._counted = float("-inf")
        return worker.reason

    def end_processes(self) -> None:
        """Ends the workers; others are started when there is work again."""
        workers, self._workers = self._workers, []
        for worker in workers:
            with suppress(Exception):  # the cluster may be gone
                worker.close()
        for worker in workers:
            worker.join()
        self._inbox = queue.SimpleQueue()  # what they have still said comes too late
