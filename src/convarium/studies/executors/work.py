"""The interface of executors: what they are given, and what they yield."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store, StoredRun
from convarium.studies.events import StudyEvent
from convarium.studies.fitting import FitRuns, fit_runs
from convarium.studies.plan import PlannedRun

PlannedUnit = Sequence[PlannedRun]
"""A single run, or the runs of a stack, which train at the same time."""


def never() -> bool:
    """Training is never asked to stop."""
    return False


def always(_: Sequence[Recipe]) -> bool:
    """Every unit may begin."""
    return True


@dataclass(frozen=True)
class Work:
    """What training a study's units takes beside the units.

    Attributes:
        store: into which they are trained.
        device: on which they train.
        notify: called with what happens, in the thread that iterates over the executor; the number and the total of
            the events are filled in there. Whatever it raises ends the study.
        wants_graph: asked with a network's spec before a unit begins: whether TensorBoard's graph of it is written.
        exact: refuse to go on with a run that was begun in another environment.
        keep_weights: the runs' folders keep the initial weights and those after every so many epochs; None: neither.
        may_begin: asked with the recipes that a unit would train now; after False, nothing begins any more, and what is
            in training goes on to its end.
        should_stop: whether training is to end, after a checkpoint, and no other unit is to begin.
        fit: fits the runs of a unit, here or elsewhere.
    """

    store: Store
    device: torch.device
    notify: Callable[[StudyEvent], None]
    wants_graph: Callable[[str], bool]
    exact: bool = False
    keep_weights: int | None = None
    may_begin: Callable[[Sequence[Recipe]], bool] = always
    should_stop: Callable[[], bool] = never
    fit: FitRuns = fit_runs


def is_unfit(unit: PlannedUnit, work: Work) -> bool:
    """Whether a unit has runs to train that may not begin."""
    missing = [planned.recipe for planned in unit if planned.stored is None]
    return bool(missing) and not work.may_begin(missing)


class Executor(Protocol):
    """Trains units, one after another or several at a time."""

    @property
    def workers(self) -> int:
        """How many units may train at the same time."""

    @property
    def threads(self) -> int:
        """How many threads of a processor train a unit."""

    @property
    def device(self) -> torch.device:
        """On which units train."""

    def carry_out(self, units: Sequence[PlannedUnit], work: Work) -> Iterator[tuple[int, list[StoredRun] | None]]:
        """Trains what the store does not have of each unit.

        An executor locks the runs of a unit while it trains them, looks again whether the store has them by then, and
        finishes them in the store. A unit that is lost with the process or the machine that trained it is tried once
        more, from its checkpoint.

        Args:
            units: single runs and stacks.
            work: the store, the device, and what is called meanwhile.

        Yields:
            A unit's position and its runs, as soon as all of them are finished; None in place of the runs if another
            process is training one of them.

        Raises:
            TrainingStoppedError: `work.should_stop` answered True, and what was in training has a checkpoint; or
                `work.may_begin` answered False.
            KeyboardInterrupt: after Ctrl-C or a signal to terminate; what was in training has a checkpoint.
        """
