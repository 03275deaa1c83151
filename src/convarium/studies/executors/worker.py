"""A worker: a process that trains the units that it is given, one after another, until its input ends.

It locks and finishes runs in the store as any process does, so that it loses nothing when it is killed. It leaves
Ctrl-C to the process that started it, and ends at once when that one is gone.
"""

import dataclasses
import logging
import os
import pickle
import queue
import shutil
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import torch

from convarium.errors import SpecError
from convarium.runs.store import Store
from convarium.studies.events import StudyEvent
from convarium.studies.executors.locked_unit import carry_out_unit
from convarium.studies.executors.messages import (
    END,
    OUT_OF_MEMORY,
    STOP,
    Channel,
    Done,
    Failed,
    Happened,
    Job,
    Logged,
    Ready,
    receive,
)
from convarium.studies.executors.work import Work
from convarium.studies.fitting import OutOfMemoryError
from convarium.training import tune_memory
from convarium.training.stopping import TerminatedError, TrainingStoppedError

STEP_SECONDS = 0.2
"""Of the events after training steps, one is passed on in this time, so that they take nothing from training."""


def main(threads: int, shared: str) -> None:
    """Carries out units until the input ends.

    Args:
        threads: on which they train.
        shared: the folder of the data sets, which is deleted when the process that started this one is gone.
    """
    inbox, outbox = _streams()
    tune_memory()
    torch.set_num_threads(threads)
    channel, jobs, stop = Channel(outbox), queue.SimpleQueue[Job](), threading.Event()
    log = logging.getLogger("convarium")
    log.addHandler(_Forwarding(channel))
    log.setLevel(logging.INFO)
    log.propagate = False
    threading.Thread(target=_listen, args=(inbox, jobs, stop, shared), daemon=True).start()
    stores: dict[Path, Store] = {}
    channel.send(channel.pack(Ready()))
    while True:
        job = jobs.get()
        store = stores.setdefault(job.root, Store(job.root))
        channel.send(channel.pack(_carry_out(job, store, channel, stop.is_set)))


def _streams() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output as streams of messages; what anything else prints goes to standard error."""
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return inbox, outbox


def _listen(inbox: BinaryIO, jobs: "queue.SimpleQueue[Job]", stop: threading.Event, shared: str) -> None:
    try:
        while True:
            message = receive(inbox)
            if message == END:
                os._exit(0)  # the locks end with the process, and what is unfinished has its last checkpoint
            elif message == STOP:
                stop.set()
            else:
                jobs.put(message)
    except EOFError:  # the process that started this one was killed
        shutil.rmtree(shared, ignore_errors=True)
        os._exit(1)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _carry_out(job: Job, store: Store, channel: Channel, should_stop: Callable[[], bool]) -> Done | Failed:
    """Carries a unit out, and says how it ended."""
    work = Work(
        store,
        torch.device(job.device),
        _Reporter(channel).report,
        wants_graph=lambda _: job.with_graph,
        exact=job.exact,
        keep_weights=job.keep_weights,
        should_stop=should_stop,
    )
    try:
        for run in job.unit:
            if run.recipe.key(run.splits.digest) != run.key:
                raise SpecError(
                    f"the source of {run.recipe.model} has changed since the study began", hint="start it again"
                )
        return Done(carry_out_unit(job.unit, work, attempt=job.attempt))
    except TrainingStoppedError:
        return Failed(None)
    except TerminatedError as end:
        os._exit(end.exit_code)
    except OutOfMemoryError:
        os._exit(OUT_OF_MEMORY)  # a new process has all of its memory
    except Exception as error:
        return Failed(sendable(error))


def sendable(error: Exception) -> Exception:
    """An error that can be pickled, with the lines of this process that raised it."""
    lines = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  (what has just been pickled)
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(lines)
    return error


class _Reporter:
    """Passes events on: every one but those after training steps, of which it passes a few on.

    Args:
        channel: on which they are sent.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel, self.last = channel, 0.0

    def report(self, event: StudyEvent) -> None:
        training = event.training
        if training is not None and training.history is None:
            now = time.monotonic()
            if now - self.last < STEP_SECONDS:
                return
            self.last = now
        elif training is not None:
            training = dataclasses.replace(training, step_loss=None, step_accuracy=None, weights=None)
            event = dataclasses.replace(event, training=training)
        self.channel.send(self.channel.pack(Happened(event)))


class _Forwarding(logging.Handler):
    """Passes what the library logs on to the process that shows it."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self.channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        self.channel.send(self.channel.pack(Logged(record.levelno, record.getMessage())))
