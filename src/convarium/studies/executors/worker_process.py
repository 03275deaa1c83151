"""A worker process as the process that started it sees it."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from convarium.data.splits import Splits
from convarium.runs.environment import WORKERS_VARIABLE
from convarium.studies.executors.messages import END, OUT_OF_MEMORY, STOP, Channel, Ended, Job, Ready, receive

_START = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from convarium.studies.executors.worker import main; main(int(sys.argv[2]), sys.argv[3])"
)
"""The worker's program. It imports what this process imports, and not the file that this process runs. From the
beginning it leaves Ctrl-C, which the terminal sends to both, to this process.
"""

_PATIENCE = 10.0
"""Seconds in which a worker that was asked to end does so."""


class WorkerProcess:
    """One worker.

    Args:
        inbox: gets pairs of this worker and each of its messages, and `Ended` last.
        threads: on which it trains.
        workers: how many workers there are.
        shared: the folder of the data sets.
        reference: the text that is sent in place of splits.
        variables: environment variables that it gets besides those of this process.
    """

    def __init__(
        self,
        inbox: "queue.SimpleQueue[tuple[WorkerProcess, Any]]",
        *,
        threads: int,
        workers: int,
        shared: Path,
        reference: Callable[[Splits], str],
        variables: Mapping[str, str],
    ) -> None:
        words = [sys.executable, "-P", "-c", _START, json.dumps(sys.path), str(threads), str(shared)]
        own = {"OMP_NUM_THREADS": str(threads), WORKERS_VARIABLE: str(workers), **variables}
        self.process = subprocess.Popen(  # noqa: S603  (fixed words)
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **own}
        )
        assert self.process.stdin
        self._channel = Channel(self.process.stdin, reference)
        self.is_ready, self.has_progressed = False, False
        self.number: int | None = None
        self._listener = threading.Thread(target=self._listen, args=(inbox,), daemon=True)
        self._listener.start()

    def begin(self, number: int, job: Job) -> None:
        """Gives the worker, which is idle, the unit of a number.

        Raises:
            OSError: the unit's data cannot be shared, as when the disk is full.
        """
        packed = self._channel.pack(job)
        self.number = number
        with suppress(OSError):  # it has ended, which its last message says
            self._channel.send(packed)

    def ask_to_stop(self) -> None:
        """Asks it to write a checkpoint and to end its unit."""
        with suppress(OSError):
            self._channel.send(self._channel.pack(STOP))

    def close(self) -> None:
        """Ends the worker, at once if it is training, and waits for its end."""
        assert self.process.stdin
        with suppress(OSError):
            self._channel.send(self._channel.pack(END))
        with suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._listener.join()

    def cause_of_end(self) -> str:
        """How the process has ended: "its worker process was killed by SIGKILL"."""
        try:
            code = self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if code == OUT_OF_MEMORY:
            return "its worker process ran out of memory"
        if code >= 0:
            return f"its worker process ended with exit code {code}"
        with suppress(ValueError):
            return f"its worker process was killed by {signal.Signals(-code).name}"
        return f"its worker process was killed by signal {-code}"

    def _listen(self, inbox: "queue.SimpleQueue[tuple[WorkerProcess, Any]]") -> None:
        assert self.process.stdout
        try:
            with self.process.stdout as stream, suppress(EOFError):
                while True:
                    message = receive(stream)
                    if isinstance(message, Ready):
                        self.is_ready = True
                    else:
                        inbox.put((self, message))
        finally:  # also after a message that cannot be unpickled, which nobody may wait for
            inbox.put((self, Ended()))
