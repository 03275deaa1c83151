"""StudyEvent: what is reported while a study is carried out."""

from collections.abc import Mapping
from dataclasses import dataclass

from convarium.recipes.recipe import Recipe
from convarium.runs.store import StoredRun
from convarium.training import TrainingEvent

TUNING_SEEDS = (1_000_000, 1_000_001)
"""Seeds of the runs that choose a learning rate. They are far from the seeds 0, 1, … of a comparison, so that no run
both chooses a rate and is judged with it."""


@dataclass(frozen=True)
class Expected:
    """What a plan expects of the runs that are still to be trained.

    Attributes:
        seconds: that each run takes.
        afterwards: seconds for what follows the last run.
        workers: how many runs train at the same time.
    """

    seconds: Mapping[Recipe, float]
    afterwards: float = 0.0
    workers: int = 1

    @property
    def total(self) -> float:
        """The seconds that all of it takes."""
        return sum(self.seconds.values()) / self.workers + self.afterwards


@dataclass(frozen=True)
class StudyEvent:
    """What happens while a study is carried out.

    Attributes:
        number, total: of the run, among those that are wanted; number is 0 before the first.
        recipe: of the run.
        training: what `fit` reports of it.
        finished: the run, as soon as the store has it.
        trained_now: whether the finished run was trained just now; False if the store had it already.
        notice: what a person should know, such as a run that failed.
        begins: the recipes that begin to train, one or a stack.
        reading: while data are downloaded or images are decoded: what, how much of it is done, and how much there is.
        message: a line about what comes next: the plan, a learning rate that was chosen, the page that follows.
        expected: with the plan, the time that it expects each run to take; None where a network could not be timed.
    """

    number: int
    total: int
    recipe: Recipe
    training: TrainingEvent | None = None
    finished: StoredRun | None = None
    trained_now: bool = True
    notice: str | None = None
    begins: tuple[Recipe, ...] = ()
    message: str | None = None
    reading: tuple[str, int, int] | None = None
    expected: Expected | None = None
