"""How planned runs are carried out: what is missing is trained into the store, run by run or stack by stack.

Other processes may train into the same store. What one of them is training is left to it, and comes last.
"""

import dataclasses
from collections.abc import Callable, Sequence
from time import sleep

from convarium.analysis.comparison.formatting import count
from convarium.errors import TimeLimitError
from convarium.runs.store import StoredRun
from convarium.studies.events import StudyEvent
from convarium.studies.executors.in_process import InProcess
from convarium.studies.executors.work import Work, always
from convarium.studies.plan import PlannedRun
from convarium.studies.resources import Resources
from convarium.training.starting import describe_taken
from convarium.training.stopping import TrainingStoppedError

WAIT_SECONDS = 1.0
"""How often a process that waits for another one's run looks whether it has ended."""


def carry_out(
    units: Sequence[Sequence[PlannedRun]],
    resources: Resources,
    *,
    notify: Callable[[StudyEvent], None],
    hints: dict[str, str],
) -> list[StoredRun]:
    """Trains what is missing, unit by unit. Those that another process is training come last, when it has ended.

    Args:
        units: single runs and stacks.
        resources: the store, the device, the executor and the time limit.
        notify: called with what happens.
        hints: a notice for some runs by their keys, of which the first is given when its run begins.

    Returns:
        The runs, in the order in which they were finished.

    Raises:
        RunError: with `resources.exact`, a run was begun or is stored in another environment.
        TimeLimitError: the time was over; what was in training has a checkpoint.
        StoreError: a run may not be read, or the store cannot be written to.
    """
    announcer, finished = _Announcer(units, notify, hints), list[StoredRun]()
    executor, graphs = resources.executor or InProcess(resources.engine), set[str]()

    def wants_graph(model: str) -> bool:
        wanted = model not in graphs
        graphs.add(model)
        return wanted

    work = Work(
        resources.store,
        resources.training_device,
        announcer.tell,
        wants_graph,
        exact=resources.exact,
        keep_weights=resources.keep_weights,
        may_begin=resources.may_begin or always,
        should_stop=resources.is_time_over,
    )
    try:
        while units:
            elsewhere: list[int] = []
            for number, runs in executor.carry_out(units, work):
                if runs is None:
                    elsewhere.append(number)
                    graphs.discard(units[number][0].recipe.model)
                else:
                    graphs.add(units[number][0].recipe.model)
                    finished += runs
            waiting = [units[number] for number in sorted(elsewhere)]
            if len(waiting) == len(units):
                if resources.is_time_over():
                    raise TrainingStoppedError
                announcer.tell_waiting(waiting)
                sleep(WAIT_SECONDS)
            units = waiting
    except TrainingStoppedError:
        raise TimeLimitError(
            f"the time limit is reached with {announcer.finished} of {count(announcer.total, 'run')} finished",
            hint="what was in training has a checkpoint: give the same command again to go on",
        ) from None
    lacking = [run for run in finished if resources.keep_weights and not run.kept_epochs]
    if lacking:
        notify(StudyEvent(len(finished), len(finished), lacking[0].recipe, notice=_without_weights_notice(lacking)))
    return finished


class _Announcer:
    """Numbers a study's events, and tells before a run begins what a person should know about it, once."""

    def __init__(
        self, units: Sequence[Sequence[PlannedRun]], notify: Callable[[StudyEvent], None], hints: dict[str, str]
    ) -> None:
        self.notify, self.hints = notify, hints
        self.planned = {run.recipe: run for unit in units for run in unit}
        self.total, self.finished = sum(map(len, units)), 0
        self.announced: set[str] = set()

    def tell(self, event: StudyEvent) -> None:
        """Passes an event on with its number."""
        self.finished += event.finished is not None
        number = self.finished + (event.finished is None)
        event = dataclasses.replace(event, number=number, total=self.total)
        if event.begins:
            self._tell_before(self.planned[event.recipe], dataclasses.replace(event, begins=()))
        self.notify(event)

    def tell_waiting(self, units: Sequence[Sequence[PlannedRun]]) -> None:
        """Says that the runs of these units are being trained elsewhere."""
        first = units[0][0]
        if first.key not in self.announced:
            self.announced.add(first.key)
            self.notify(StudyEvent(self.finished + 1, self.total, first.recipe, notice=_waiting_notice(units)))

    def _tell_before(self, planned: PlannedRun, event: StudyEvent) -> None:
        if planned.key in self.hints:
            self.notify(dataclasses.replace(event, notice=self.hints[planned.key]))
            self.hints.clear()
        started = () if planned.start is None else (describe_taken(planned.start),)
        for note in (*planned.splits.notes, *started):  # what a user may not expect of the images and weights
            if note not in self.announced:
                self.announced.add(note)
                self.notify(dataclasses.replace(event, notice=note))


def _without_weights_notice(runs: Sequence[StoredRun]) -> str:
    name, others = runs[0].path.name, len(runs) - 1
    and_others = f" and {count(others, 'other run')}" if others else ""
    has = "have" if others else "has"
    return (
        f"{name}{and_others} {has} no weights by epoch, because they were not kept while it was trained; "
        f"`convarium remove {name}` and the same command train it again and keep them"
    )


def _waiting_notice(units: Sequence[Sequence[PlannedRun]]) -> str:
    first, others = units[0][0].recipe, sum(map(len, units)) - 1
    and_others = f" and {count(others, 'other run')}" if others else ""
    verb = "are" if others else "is"
    return (
        f"{first.model} seed {first.seed}{and_others} {verb} being trained by another process; waiting for it "
        "(Ctrl-C ends the waiting, and nothing is lost)"
    )
