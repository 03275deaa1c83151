"""How far a study is that is not finished: what its page says of it, and when the page looks for news."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from convarium.analysis.comparison import Comparison, formatting
from convarium.analysis.comparison.rows import label
from convarium.errors import SpecError
from convarium.recipes.recipe import Recipe
from convarium.records import Epoch

_BEGINNINGS = ("The", "Of", "Undecided:", "Not", "No")
"""Words that have a capital for no other reason than that they begin a sentence."""


@dataclass(frozen=True)
class Underway:
    """A run that is training, with the epochs that it has behind it."""

    recipe: Recipe
    history: tuple[Epoch, ...] = ()


@dataclass(frozen=True)
class Standing:
    """How far a study is.

    Attributes:
        finished, planned: numbers of runs; one that failed is finished.
        underway: the runs that are training.
        written: when this was so.
        reload: seconds after which an open page looks for news; None: nobody trains, and none will come.
    """

    finished: int
    planned: int
    underway: tuple[Underway, ...] = ()
    written: datetime | None = None
    reload: float | None = None


def at_rest(comparison: Comparison, planned: int) -> Standing | None:
    """The standing of a study that nobody trains just now; None where all of its planned runs are finished."""
    finished = sum(len(row.runs) for row in comparison.rows)
    return Standing(finished, planned) if finished < planned else None


def told(standing: Standing, comparison: Comparison) -> str:
    """The standing in a sentence: "3 of 10 runs finished; lenet, seed 3: epoch 4 of 20."."""
    text = f"{standing.finished} of {formatting.count(standing.planned, 'run')} finished"
    if standing.reload is None:
        return f"{text}; the same command goes on from here."
    return "; ".join([text, *_training(standing.underway, comparison)]) + "."


def so_far(sentence: str) -> str:
    """A sentence on finished runs, as one on a study that is not finished."""
    first, _, rest = sentence.partition(" ")
    return f"So far, {first.lower() if first in _BEGINNINGS else first} {rest}"


def label_of(run: Underway, comparison: Comparison) -> str:
    """The row that a run belongs to, or will belong to as soon as it is finished."""
    value = getattr(run.recipe, comparison.by)
    try:
        return comparison.row(value).label
    except SpecError:
        return label(value, comparison.by)


def _training(underway: Sequence[Underway], comparison: Comparison) -> list[str]:
    """One piece a row and epoch: the runs of a stack are at the same one."""
    seeds: dict[tuple[str, int, int], list[int]] = {}
    for run in underway:
        at = label_of(run, comparison), len(run.history), run.recipe.epochs
        seeds.setdefault(at, []).append(run.recipe.seed)
    return [
        f"{name}, seed{'s' * (len(of) > 1)} {formatting.listed(sorted(of))}: "
        + (f"epoch {done} of {epochs}" if done else "beginning")
        for (name, done, epochs), of in seeds.items()
    ]
