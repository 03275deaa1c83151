"""What runs on a Ray worker: it fits one unit after another in a temporary folder, and hands back what happens.

It knows nothing of a store: the process that started it asks for its messages, and writes what they hold.
"""

import dataclasses
import logging
import os
import pickle
import queue
import shutil
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from convarium.errors import SpecError
from convarium.models.sources import import_sources, importable
from convarium.runs.environment import WORKERS_VARIABLE, environment
from convarium.studies.executors.messages import Logged
from convarium.studies.executors.ray_messages import (
    Checkpoint,
    Fitted,
    Hello,
    PackedSplits,
    Raised,
    RayJob,
    Reported,
    SetAside,
    open_job,
    open_splits,
)
from convarium.studies.executors.worker import STEP_SECONDS, sendable
from convarium.studies.fitting import OutOfMemoryError, fit_runs
from convarium.training import TrainingEvent
from convarium.training.memory import tune_memory
from convarium.training.stopping import TrainingStoppedError

_TRANSFER_SHARE = 0.05
"""Checkpoints are handed back so often that this share of the time goes into it at most."""

_PREFIX = "convarium-ray-"
_LOCK = "lock"
_STALE_SECONDS = 60


class RayTrainer:
    """A Ray actor. Its methods return at once, or within the pause that they are given: a thread trains.

    Args:
        threads: on which it trains.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        torch.set_num_threads(threads)
        tune_memory()
        self._messages: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._stop, self._ended = threading.Event(), threading.Event()
        self._trainer = ThreadPoolExecutor(1)
        log = logging.getLogger("convarium")
        log.addHandler(_Forwarding(self._messages))
        log.setLevel(logging.INFO)
        log.propagate = False
        _remove_stale_folders()
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = FileLock(self._folder / _LOCK)
        self._lock.acquire()
        self._splits: dict[PackedSplits, Any] = {}
        self._copies = _Copies([])

    def hello(self, device: str) -> Hello:
        """Who and where it is, as soon as it has started."""
        import ray

        return Hello(ray.get_runtime_context().get_node_id(), os.getpid(), environment(device))

    def begin(self, content: bytes, packed: list[PackedSplits]) -> None:
        """Begins to fit a unit, see `pack_job`."""
        import ray

        for splits in packed:
            if splits not in self._splits:
                self._splits[splits] = open_splits(splits, ray.get)
        job = open_job(content, [self._splits[splits] for splits in packed])
        self._stop.clear()
        self._ended = threading.Event()  # a new one: the unit before may be about to set its own
        folders = [self._folder / str(member) if wanted else None for member, wanted in enumerate(job.has_folder)]
        for member, folder in enumerate(folders):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                if member in job.checkpoints:
                    (folder / "last.ckpt").write_bytes(job.checkpoints[member])
        self._copies = _Copies(folders)
        self._trainer.submit(self._fit, job, folders, self._ended)

    def exchange(self, *, should_stop: bool, pause: float) -> bytes:
        """What has happened since the last call.

        Args:
            should_stop: whether training is to end, with a checkpoint.
            pause: seconds for which more is waited for; the end of training ends the waiting.

        Returns:
            The pickle of a list of messages; `Fitted` or `Raised` is the last one.
        """
        if should_stop:
            self._stop.set()
        self._ended.wait(pause)
        has_ended, messages = self._ended.is_set(), list[object]()
        with suppress(queue.Empty):
            while True:
                messages.append(self._messages.get_nowait())
        has_failed = any(isinstance(message, Raised) for message in messages)
        copies = self._copies.new(at_once=has_failed) if has_failed or not has_ended else []
        return pickle.dumps([*copies, *messages])

    def close(self) -> None:
        """Deletes what it has written."""
        self._lock.release()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _fit(self, job: RayJob, folders: list[Path | None], ended: threading.Event) -> None:
        message: Fitted | Raised
        try:
            message = Fitted(self._outcomes(job, folders))
        except (TrainingStoppedError, OutOfMemoryError) as error:
            message = Raised(error)
        except Exception as error:
            message = Raised(sendable(error))
        except BaseException as error:  # a user's network may exit
            message = Raised(RuntimeError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))
        self._messages.put(message)
        ended.set()

    def _outcomes(self, job: RayJob, folders: list[Path | None]) -> Any:
        torch.set_num_threads(self.threads)  # OpenMP counts them for each thread that asks
        os.environ[WORKERS_VARIABLE] = str(job.workers)
        last_step = 0.0

        def report(member: int, event: TrainingEvent) -> None:
            nonlocal last_step
            if event.history is None and event.notice is None and event.weights is None:
                now = time.monotonic()
                if now - last_step < STEP_SECONDS:
                    return
                last_step = now
            elif event.step_loss is not None and event.step_accuracy is not None:
                event = dataclasses.replace(
                    event, step_loss=event.step_loss.cpu(), step_accuracy=event.step_accuracy.cpu()
                )
            self._messages.put(Reported(member, event))

        with ExitStack() as stack:
            for name, sources in job.sources.items():
                stack.enter_context(importable(sources))
                if name not in sys.modules:
                    import_sources(name, sources)
            for run in job.runs:
                if run.recipe.key(run.splits.digest) != run.key:
                    raise SpecError(
                        f"a Ray worker has another source of {run.recipe.model}",
                        hint="restart Ray on its machine, or install the same there",
                    )
            return fit_runs(
                job.runs,
                folders,
                device=torch.device(job.device),
                on_event=report,
                should_stop=self._stop.is_set,
                exact=job.exact,
                is_last=job.is_last,
                keep_weights=job.keep_weights,
            )


class _Copies:
    """Looks for new checkpoints.

    Args:
        folders: of the runs.
    """

    def __init__(self, folders: list[Path | None]) -> None:
        self._paths = {member: folder / "last.ckpt" for member, folder in enumerate(folders) if folder is not None}
        self._known = {member: _state(path) for member, path in self._paths.items()}
        self._begun: float | None = None
        self._next = 0.0

    def new(self, *, at_once: bool) -> list[Checkpoint | SetAside]:
        """The checkpoints that have been written, or set aside, since the last call.

        Args:
            at_once: even if the last ones were handed back not long ago.
        """
        now = time.monotonic()
        if self._begun is not None:  # the last ones have arrived by now, since their receiver asks again
            self._next = now + (now - self._begun) / _TRANSFER_SHARE
            self._begun = None
        if now < self._next and not at_once:
            return []
        found: list[Checkpoint | SetAside] = []
        for member, path in self._paths.items():
            for aside in path.parent.glob(f"{path.name}.*"):
                found.append(SetAside(member, aside.name))
                aside.unlink()
            state = _state(path)
            if state is not None and state != self._known[member]:
                self._known[member] = state
                found.append(Checkpoint(member, path.read_bytes()))
                self._begun = now
        return found


def _state(path: Path) -> tuple[int, int, int] | None:
    """What changes when another file takes the path; None: there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _remove_stale_folders() -> None:
    """Removes the folders of workers that were killed: nobody holds their locks."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError, Timeout):
            if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
                with FileLock(folder / _LOCK, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)


class _Forwarding(logging.Handler):
    """Passes what the library logs on to the process that shows it."""

    def __init__(self, messages: "queue.SimpleQueue[object]") -> None:
        super().__init__()
        self.messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.put(Logged(record.levelno, record.getMessage()))
