"""The rungs of a successive halving: studies in the store like any other, trained as far as the time allows.

They are named "<name>-rung-1" and so on, the last one "<name>". What such a study has planned is not planned anew.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from convarium.analysis.comparison import METRICS, Metric
from convarium.analysis.comparison.formatting import count, duration, listed
from convarium.analysis.recommendation import Rung
from convarium.chance import is_imbalanced
from convarium.data.splits import Splits
from convarium.errors import RunError, TimeLimitError
from convarium.recipes.recipe import Recipe
from convarium.runs.store import StoredRun
from convarium.studies.estimate import TIMED_SECONDS, measure_time
from convarium.studies.events import StudyEvent
from convarium.studies.halving import Epochs, epochs_of_rung, fitting, seeds_that_fit
from convarium.studies.plan import planned_run, prepare_study
from convarium.studies.resources import Resources
from convarium.studies.run import run_prepared
from convarium.studies.study import Study, with_seeds
from convarium.studies.time_budget import TimeBudget
from convarium.training.scoring import pick_device

LEAST_STEPS = 200
"""Training steps of the shortest runs, after which networks can be told apart."""
PLANNED = 0.9
"""The share of the time that is planned; the rest is for what takes longer than expected, and for the page."""

OnEvent = Callable[[StudyEvent], None]


@dataclass(frozen=True)
class Search:
    """What all rungs share.

    Attributes:
        bases: each network's recipe.
        splits, resources, time: the data, what trains, and how long.
        name: of the studies.
        command: the command line that asks the same.
        on_event: called as the runs go on.
        notes: sentences about what a user may not expect.
    """

    bases: dict[str, Recipe]
    splits: Splits
    resources: Resources
    time: TimeBudget
    name: str
    command: str | None
    on_event: OnEvent | None
    notes: list[str]

    @cached_property
    def balanced(self) -> bool:
        """Whether networks are chosen by the balanced accuracy, because the training images are imbalanced."""
        return is_imbalanced(self.splits.train.labels.bincount().tolist())

    @property
    def score(self) -> Metric:
        """What networks are chosen by."""
        return METRICS["validation_balanced_accuracy" if self.balanced else "validation_accuracy"]

    def score_of(self, run: StoredRun) -> float | None:
        """The number that networks are chosen by; None for a run that failed."""
        return self.score.measure(run) if run.outcome.status == "finished" else None

    def say(self, text: str) -> None:
        """Reports a line about what comes next."""
        if self.on_event:
            self.on_event(StudyEvent(0, len(self.bases), next(iter(self.bases.values())), message=text))


@dataclass(frozen=True)
class Trained:
    """A rung, and the runs of those networks in it whose first seed has ended: the seeds that all of them have."""

    study: Study
    rung: Rung
    runs: dict[str, list[StoredRun]]


def first_networks(search: Search) -> list[str]:
    """The networks of the first rung: those that fit into the time, or those of the plan that the store has."""
    for name in (_rung_name(search, 0, 2), _rung_name(search, 0, 1)):
        planned = _recorded(search, name)
        if planned is not None:
            names = list(dict.fromkeys(recipe.model for recipe in planned))
            _note_left_out(search, names)
            return names
    _measure(search, list(search.bases.values()))
    times = {name: search.time.times[name] for name in search.bases if name in search.time.times}
    names = fitting(times, PLANNED * search.time.left, epochs_between(search), workers=search.resources.workers)
    if not names:
        least = epochs_between(search).least
        shortest = min((each.of(least) for each in times.values()), default=None)
        needed = (
            "" if shortest is None else f": the shortest of {count(least, 'epoch')} takes about {duration(shortest)}"
        )
        raise RunError(f"no run fits into {duration(search.time.seconds)}{needed}", hint="give a longer --budget")
    _note_left_out(search, [*names, *(name for name in search.bases if name not in times)])
    return names


def _note_left_out(search: Search, names: Sequence[str]) -> None:
    """Names the networks that the time does not suffice for: those that are not among these."""
    slow = [name for name in search.bases if name not in names]
    if slow:
        search.notes.append(f"Left out, since the time does not suffice for them: {listed(slow)}.")


def train_rung(
    search: Search, names: Sequence[str], number: int, *, rungs: int, seeds: int, before: Sequence[Trained]
) -> Trained:
    """Trains a rung as long as the time allows."""
    started = search.time.used
    name = _rung_name(search, number, rungs)
    recipes = _recorded(search, name)
    if recipes is None:
        least = max([epochs_between(search).least, *(each.rung.epochs for each in before)])
        limits = Epochs(least, epochs_between(search).most)
        _measure(search, [search.bases[each] for each in names])
        times = [search.time.times[each] for each in names]
        workers = search.resources.workers
        epochs = epochs_of_rung(times, PLANNED * search.time.left, rungs - number, limits, workers=workers)
        several = number + 1 == rungs and epochs == limits.most
        n = seeds_that_fit(times, PLANNED * search.time.left, epochs, seeds, workers=workers) if several else 1
        recipes = with_seeds([dataclasses.replace(search.bases[each], epochs=epochs) for each in names], range(n))
    is_last = number + 1 == rungs
    study = Study(
        name=name,
        question=f"Which network suits {recipes[0].dataset}?"
        if is_last
        else f"Which of {count(len(names), 'network')} are worth training longer on {recipes[0].dataset}?",
        recipes=recipes,
        metric=None if is_last else search.score.name,
        command=search.command,
    )
    prepared = prepare_study(study, search.resources)
    missing = [planned.recipe for planned in prepared.runs if planned.stored is None]
    _measure(search, missing)
    n = len({recipe.seed for recipe in recipes})
    each = "" if n == 1 else f", {count(n, 'seed')} each"
    how_long = (
        f"about {duration(search.time.expected(missing, search.resources.workers))}" if missing else "all in the store"
    )
    what = f"{count(len(study.values), 'network')}, {count(recipes[0].epochs, 'epoch')}{each}"
    search.say(f"rung {number + 1} of {rungs}: {what}; {how_long}")
    deadline = min(search.time.deadline, search.resources.deadline or math.inf)
    limited = dataclasses.replace(search.resources, deadline=deadline, may_begin=search.time.fits)
    try:
        run_prepared(prepared, limited, on_event=search.time.follow(search.on_event))
    except TimeLimitError:  # the time for a recommendation ends in what has been trained; another limit ends the call
        if search.resources.is_time_over():
            raise
    return _ended(search, study, search.time.used - started)


def _ended(search: Search, study: Study, seconds: float) -> Trained:
    """What a rung has trained."""
    by_network: dict[str, list[StoredRun]] = {}
    for recipe in study.recipes:
        planned = planned_run(recipe, search.splits, search.resources.store)
        run = planned.stored or planned.failed
        if run is not None:
            by_network.setdefault(recipe.model, []).append(run)
    # A seed counts once all networks have it.
    seeds = min(map(len, by_network.values()), default=0)
    runs = {name: each[:seeds] for name, each in by_network.items()}
    validation = {name: _mean_score(search, runs[name]) for name in study.values if name in runs}
    ordered = sorted(validation, key=lambda name: -(validation[name] or 0.0))
    rung = Rung(study.recipes[0].epochs, seeds, {name: validation[name] for name in ordered}, (), seconds)
    late = [name for name in study.values if name not in runs]
    if late:
        search.notes.append(f"Not trained in time ({count(rung.epochs, 'epoch')}): {listed(late)}.")
    planned_seeds = len(study.recipes) // len(study.values)
    if runs and not late and seeds < planned_seeds:
        search.notes.append(f"The time sufficed for {seeds} of {count(planned_seeds, 'seed')}.")
    return Trained(study, rung, runs)


def _measure(search: Search, recipes: Sequence[Recipe]) -> None:
    """Times the start of the first epoch of those networks whose time is not known."""
    unknown = [name for name in dict.fromkeys(recipe.model for recipe in recipes) if name not in search.time.times]
    device = pick_device(search.resources.device)
    for name in unknown:
        one = dataclasses.replace(search.bases[name], epochs=1, warmup=0)
        at_most = min(TIMED_SECONDS, search.time.seconds / 20 / len(search.bases))
        with search.resources.threads_of_a_run():
            measured = measure_time(one, search.splits, device, timed_seconds=at_most)
        if measured is None:
            search.notes.append(f"Left out, since it fails in training: {name}.")
        else:
            search.time.times[name] = measured


def _recorded(search: Search, name: str) -> tuple[Recipe, ...] | None:
    """The recipes of a rung that the store has planned already; None if it has not."""
    record = search.resources.store.find_study(name)
    if record is None:
        return None
    epochs = record.base.get("epochs", next(iter(search.bases.values())).epochs)
    bases = [dataclasses.replace(base, epochs=epochs) for base in search.bases.values()]
    recipes = with_seeds(bases, range(len(record.keys)))
    by_key = {recipe.key(search.splits.digest): recipe for recipe in recipes}
    return tuple(by_key[key] for key in record.keys if key in by_key) or None


def _rung_name(search: Search, number: int, rungs: int) -> str:
    return search.name if number + 1 == rungs else f"{search.name}-rung-{number + 1}"


def epochs_between(search: Search) -> Epochs:
    """The epochs of the shortest and of the longest runs."""
    base = next(iter(search.bases.values()))
    steps = max(1, len(search.splits.train) // base.batch_size)
    return Epochs(min(base.epochs, math.ceil(LEAST_STEPS / steps)), base.epochs)


def _mean_score(search: Search, runs: Sequence[StoredRun]) -> float | None:
    """The mean over the seeds, where a run that failed counts as 0; None if all failed, or there are none."""
    scores = [search.score_of(run) for run in runs]
    return None if all(score is None for score in scores) else fmean(score or 0.0 for score in scores)
