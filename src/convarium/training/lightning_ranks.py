"""The process of one device of a run that Lightning trains on several.

It has no store, trains as the first device says, and ends with the run.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

import torch

from convarium.data.splits import Splits
from convarium.recipes.recipe import Recipe
from convarium.training.engines import LightningEngine
from convarium.training.starting import StartWeights

_START = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from convarium.training.lightning_ranks import main; main()"
)
"""The program of another device. It leaves Ctrl-C, which the terminal sends to all, to the first."""

_PATIENCE = 30.0
"""Seconds in which a process ends once the run has."""


_AFTER_ERROR = 10.0
"""Seconds in which a process ends that has met an error: the first device notices at once that it is gone."""


@dataclass(frozen=True)
class Job:
    """What all devices train.

    Attributes:
        recipe, splits, start: as for `fit`.
        engine: the devices.
        device_type: "cpu", "cuda" or "mps".
        dtype: PyTorch's default in the process that calls `fit`.
    """

    recipe: Recipe
    splits: Splits
    engine: LightningEngine
    device_type: str
    start: StartWeights | None
    dtype: torch.dtype = field(default_factory=torch.get_default_dtype)


class Rank:
    """A process for one device, as the one that started it sees it.

    Args:
        job: what it trains.
        rank: its number on this machine.
        where: the environment variables by which the processes find each other.
    """

    def __init__(self, job: Job, rank: int, where: dict[str, str]) -> None:
        self.rank = rank
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed in `close`)
        words = [sys.executable, "-P", "-c", _START, json.dumps(sys.path)]
        variables = os.environ | where | {"LOCAL_RANK": str(rank)}
        self.process = subprocess.Popen(  # noqa: S603  (fixed words)
            words, stdin=subprocess.PIPE, stdout=self._said, stderr=self._said, env=variables
        )
        assert self.process.stdin
        with suppress(OSError), self.process.stdin as stream:  # it has ended, which the first device will see
            pickle.dump(job, stream)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def wait(self, seconds: float = _PATIENCE) -> None:
        """Waits for its end, after the run, or for so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def loss(self) -> str | None:
        """What to say if it has ended by an error; else None."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_AFTER_ERROR)
        code = self.process.returncode
        if not code:
            return None
        if code < 0:
            with suppress(ValueError):
                return f"the process of device {self.rank} was killed by {signal.Signals(-code).name}"
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        last = lines[-1] if lines else "it said nothing"
        return f"the process of device {self.rank} ended with exit code {code}: {last}"

    def close(self) -> None:
        """Ends it, at once if it is training."""
        if self.is_running:
            self.process.kill()
        self.process.wait()
        self._said.close()


def main() -> None:
    """Trains on the device that the environment names, as the job on standard input says."""
    job: Job = pickle.load(sys.stdin.buffer)  # noqa: S301  (of the process that started this one)
    from convarium.training.lightning_callbacks import DeviceCallback
    from convarium.training.lightning_engine import train_rank
    from convarium.training.numerics import exact_arithmetic

    index = int(os.environ["LOCAL_RANK"]) if job.device_type == "cuda" else None
    device = torch.device(job.device_type, index) if index is not None else torch.device(job.device_type)
    torch.set_default_dtype(job.dtype)
    with exact_arithmetic(device):
        train_rank(job, device, DeviceCallback(job, device))
