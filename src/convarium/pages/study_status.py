"""How far an unfinished study is: the sentence on its page, and how often an open page loads itself again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from convarium.analysis.comparison import Comparison, formatting
from convarium.analysis.comparison.rows import label
from convarium.errors import SpecError
from convarium.recipes.recipe import Recipe
from convarium.records import Epoch

_CAPITALIZED = ("The", "Of", "Undecided:", "Not", "No")
"""Words that are capitalized only because they begin a sentence."""


@dataclass(frozen=True)
class RunInProgress:
    """A run that is training, with its epochs so far."""

    recipe: Recipe
    history: tuple[Epoch, ...] = ()


@dataclass(frozen=True)
class StudyStatus:
    """How far a study is.

    Attributes:
        finished: number of runs that ended; a failed run counts.
        planned: number of runs that the study has in the end.
        in_progress: the runs that are training now.
        written_at: the time of this status.
        reload_seconds: an open page loads itself again after this time; None: nothing is training, so it does not.
    """

    finished: int
    planned: int
    in_progress: tuple[RunInProgress, ...] = ()
    written_at: datetime | None = None
    reload_seconds: float | None = None


def stopped_status(comparison: Comparison, planned: int) -> StudyStatus | None:
    """The status of a study in which nothing is training now.

    Args:
        comparison: the comparison of the finished runs.
        planned: number of runs that the study has in the end.

    Returns:
        None if all planned runs are finished.
    """
    finished = sum(len(row.runs) for row in comparison.rows)
    return StudyStatus(finished, planned) if finished < planned else None


def status_sentence(status: StudyStatus, comparison: Comparison) -> str:
    """The status as a sentence: "3 of 10 runs finished; lenet, seed 3: epoch 4 of 20."."""
    text = f"{status.finished} of {formatting.count(status.planned, 'run')} finished"
    if status.reload_seconds is None:
        return f"{text}; the same command continues from here."
    return "; ".join([text, *_progress(status.in_progress, comparison)]) + "."


def so_far(sentence: str) -> str:
    """Qualifies a sentence about the finished runs of an unfinished study: "So far, lenet is …"."""
    first, _, rest = sentence.partition(" ")
    return f"So far, {first.lower() if first in _CAPITALIZED else first} {rest}"


def row_label(run: RunInProgress, comparison: Comparison) -> str:
    """The label of the comparison's row that the run will belong to once it is finished."""
    value = getattr(run.recipe, comparison.by)
    try:
        return comparison.row(value).label
    except SpecError:
        return label(value, comparison.by)


def _progress(runs: Sequence[RunInProgress], comparison: Comparison) -> list[str]:
    """One phrase for all seeds of a row that are in the same epoch, as the seeds of a stack are."""
    seeds: dict[tuple[str, int, int], list[int]] = {}
    for run in runs:
        position = row_label(run, comparison), len(run.history), run.recipe.epochs
        seeds.setdefault(position, []).append(run.recipe.seed)
    return [
        f"{name}, seed{'s' * (len(numbers) > 1)} {formatting.listed(sorted(numbers))}: "
        + (f"epoch {done} of {epochs}" if done else "starting")
        for (name, done, epochs), numbers in seeds.items()
    ]
