"""The executor that trains in this process, one unit after another."""

from collections.abc import Iterator, Sequence

import torch

from convarium.runs.store import StoredRun
from convarium.studies.executors.locked_unit import carry_out_unit
from convarium.studies.executors.work import PlannedUnit, Work, is_unfit
from convarium.training.stopping import TrainingStoppedError


class InProcess:
    """Trains one unit after another in this process, on all threads that PyTorch has here."""

    workers = 1

    @property
    def threads(self) -> int:
        """How many threads train a unit."""
        return torch.get_num_threads()

    def carry_out(self, units: Sequence[PlannedUnit], work: Work) -> Iterator[tuple[int, list[StoredRun] | None]]:
        """See `Executor.carry_out`."""
        for number, planned in enumerate(units):
            if is_unfit(planned, work):
                raise TrainingStoppedError
            yield number, carry_out_unit(planned, work)
