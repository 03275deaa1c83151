"""A Ray worker as the process that started it sees it, which alone reads and writes the store."""

import pickle
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from convarium.disk import write_file
from convarium.models.index import resolve
from convarium.models.sources import Sources, find_sources
from convarium.records import Outcome
from convarium.runs.files import remove_epoch_weights
from convarium.runs.store import Store
from convarium.studies.events import StudyEvent
from convarium.studies.executors.locked_unit import carry_out_unit
from convarium.studies.executors.messages import Done, Ended, Failed, Happened, Job, Logged
from convarium.studies.executors.ray_messages import (
    Checkpoint,
    Fitted,
    Hello,
    Raised,
    RayData,
    RayJob,
    Reported,
    SetAside,
    pack_job,
)
from convarium.studies.executors.work import Work
from convarium.studies.fitting import OutOfMemoryError
from convarium.studies.plan import PlannedRun
from convarium.training import TrainingEvent
from convarium.training.stopping import TrainingStoppedError

_PATIENCE = 5.0
"""Seconds for which a thread that waits for a worker may take to notice that it has ended."""


class LostError(Exception):
    """A worker was lost with its unit."""


class RayWorker:
    """One worker: a Ray actor, and a thread here for each unit, which writes what the actor hands back.

    Args:
        inbox: gets pairs of this worker and each of its messages.
        ray: the module.
        actor: of the class `RayTrainer`.
        hello: the reference to what it says when it has started.
        data: the data sets in Ray's store.
        workers: answers how many units train at the same time.
    """

    def __init__(
        self,
        inbox: "queue.SimpleQueue[tuple[RayWorker, Any]]",
        ray: Any,
        actor: Any,
        *,
        hello: Any,
        data: RayData,
        workers: Callable[[], int],
    ) -> None:
        self._inbox, self._ray, self._actor, self._data, self._workers = inbox, ray, actor, data, workers
        self.starting: Any = hello
        self.hello: Hello | None = None
        self.number: int | None = None
        self.has_progressed, self.reason = False, ""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it has started."""
        return self.hello is not None

    def begin(self, number: int, job: Job) -> None:
        """Gives the worker, which is idle, the unit of a number."""
        self.number, self.has_progressed = number, False
        self._stop.clear()
        self._thread = threading.Thread(target=self._carry_out, args=(job,), daemon=True)
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Asks it to write a checkpoint and to end its unit."""
        self._stop.set()

    def close(self) -> None:
        """Ends the worker, at once if it is training; `join` waits for its thread here."""
        if self.number is None and self.is_ready:
            self._actor.close.remote()
            self._actor.__ray_terminate__.remote()
        else:
            self._ray.kill(self._actor, no_restart=True)

    def join(self) -> None:
        """Waits for the thread of a worker that was closed."""
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    def _carry_out(self, job: Job) -> None:
        work = Work(
            Store(job.root),
            torch.device(job.device),
            self._tell,
            wants_graph=lambda _: job.with_graph,
            exact=job.exact,
            keep_weights=job.keep_weights,
            should_stop=self._stop.is_set,
            fit=self._fit,
        )
        message: Done | Failed | Ended
        try:
            message = Done(carry_out_unit(job.unit, work, attempt=job.attempt))
        except TrainingStoppedError:
            message = Failed(None)
        except (LostError, OutOfMemoryError) as error:
            self.reason = str(error) if isinstance(error, LostError) else "its Ray worker ran out of memory"
            message = Ended()
        except BaseException as error:  # one that nobody hears of would be waited for in vain
            message = Failed(error if isinstance(error, Exception) else RuntimeError(repr(error)))
        self._inbox.put((self, message))

    def _tell(self, event: StudyEvent) -> None:
        self._inbox.put((self, Happened(event)))

    def _fit(
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
        """As `fit_runs`, on the worker.

        Raises:
            LostError: the worker was lost.
        """
        workers = self._workers()
        job = RayJob(
            [PlannedRun(run.recipe, run.key, run.splits, run.start) for run in planned],
            _own_sources(planned),
            [folder is not None for folder in folders],
            {
                member: (folder / "last.ckpt").read_bytes()
                for member, folder in enumerate(folders)
                if folder is not None and (folder / "last.ckpt").is_file()
            },
            workers=workers,
            device=str(device),
            exact=exact,
            is_last=is_last,
            keep_weights=keep_weights,
        )
        self._get(self._actor.begin.remote(*pack_job(job, self._data.pack)))
        pause = max(_PAUSE, workers / _CALLS_PER_SECOND)
        unwritten: list[OSError] = []
        while True:
            answer = self._get(self._actor.exchange.remote(should_stop=should_stop(), pause=pause))
            for message in pickle.loads(answer):  # noqa: S301  (what this program has just pickled there)
                match message:
                    case Fitted(outcomes):
                        return list(outcomes)
                    case Raised(error):
                        raise error
                    case Reported(member, event):
                        on_event(member, event)
                    case Logged():
                        self._inbox.put((self, message))
                    case Checkpoint(member, content):
                        path = _checkpoint(folders, member)
                        try:
                            write_file(path, lambda file, content=content: file.write(content))  # type: ignore[misc]
                            self.has_progressed = True
                        except OSError as error:
                            if not unwritten:
                                on_event(member, _unwritten(planned[member], path, error))
                            unwritten.append(error)
                    case SetAside(member, name):
                        path = _checkpoint(folders, member)
                        path.replace(path.with_name(name))
                        remove_epoch_weights(path.parent)

    def _get(self, reference: Any) -> Any:
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except exceptions.RayTaskError as error:
            raise error.as_instanceof_cause() from error
        except exceptions.RayError as error:
            self._ray.kill(self._actor, no_restart=True)
            raise LostError(self._how_lost(str(error))) from error

    def _how_lost(self, said: str) -> str:
        if "running low on memory" in said:
            return "its Ray worker ran out of memory"
        node = self.hello.node if self.hello else None
        is_alive = any(each["NodeID"] == node and each["Alive"] for each in self._ray.nodes())
        is_gone = "node has died" in said or "node was terminated" in said
        return "its Ray worker was lost" if is_alive and not is_gone else "its Ray node was lost"


_PAUSE = 0.2
_CALLS_PER_SECOND = 500
"""How often workers are asked: each this many seconds apart, and all together no more than so often."""


def _own_sources(planned: Sequence[PlannedRun]) -> dict[str, Sources]:
    """The user's own modules that the networks of runs are made from; one that is installed is imported there."""
    names = [resolved.name for run in planned if (resolved := resolve(run.recipe.model)).is_custom]
    sources = {module: find_sources(module) for module in (name.partition(":")[0] for name in names)}
    return {module: found for module, found in sources.items() if found.files and not found.in_library}


def _checkpoint(folders: Sequence[Path | None], member: int) -> Path:
    folder = folders[member]
    assert folder is not None
    return folder / "last.ckpt"


def _unwritten(run: PlannedRun, path: Path, error: OSError) -> TrainingEvent:
    notice = (
        f"the checkpoint of {run.recipe.model} seed {run.recipe.seed} cannot be written ({error.strerror}: {path}); "
        "training goes on, and what is done since the last one is lost if it is interrupted"
    )
    return TrainingEvent(0, run.recipe.epochs, 0, 0, notice=notice)
