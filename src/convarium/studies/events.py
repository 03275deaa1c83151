"""StudyEvent: what is reported while a study is carried out."""

from dataclasses import dataclass

from convarium.recipes.recipe import Recipe
from convarium.runs.store import StoredRun
from convarium.training import TrainingEvent


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
