"""The executor that trains in this process, one unit after another."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial

import torch

from convarium.runs.store import StoredRun
from convarium.studies.executors.locked_unit import carry_out_unit
from convarium.studies.executors.work import PlannedUnit, Work, is_unfit
from convarium.studies.fitting import fit_runs
from convarium.training.engines import LightningEngine
from convarium.training.stopping import TrainingStoppedError


class InProcess:
    """Trains one unit after another in this process, on all threads that PyTorch has here.

    Args:
        engine: what carries the steps of a run out; None: the native loop.
    """

    workers = 1

    def __init__(self, engine: LightningEngine | None = None) -> None:
        self.engine = engine

    @property
    def threads(self) -> int:
        """How many threads train a unit."""
        return torch.get_num_threads()

    def carry_out(self, units: Sequence[PlannedUnit], work: Work) -> Iterator[tuple[int, list[StoredRun] | None]]:
        """See `Executor.carry_out`."""
        if self.engine is not None:
            work = dataclasses.replace(work, fit=partial(fit_runs, engine=self.engine))
        for number, planned in enumerate(units):
            if is_unfit(planned, work):
                raise TrainingStoppedError
            yield number, carry_out_unit(planned, work)
