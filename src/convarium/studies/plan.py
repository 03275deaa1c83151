"""What a study will cost before it trains: runs, time, and the smallest difference that its seeds resolve; and the
same study made smaller or larger.
"""

import contextlib
import dataclasses
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch

from convarium.analysis.comparison.rows import hardware_label
from convarium.analysis.statistics import smallest_difference
from convarium.data import load_data
from convarium.data.splits import Splits
from convarium.errors import StoreError
from convarium.models.index import resolve
from convarium.recipes.recipe import Recipe
from convarium.runs.environment import environment
from convarium.runs.store import Store, StoredRun
from convarium.studies.run import check_recipe
from convarium.studies.study import Study, check_seeds, with_seeds
from convarium.training import TrainingEvent, fit
from convarium.training.scoring import pick_device

TIMED_SECONDS = 2.0
"""How long the first epoch of each network is timed at most."""
REDUCED_EPOCHS, REDUCED_SEEDS, REDUCED_SIDE = 2, 2, 96


@dataclass(frozen=True)
class Plan:
    """What lies ahead of a study.

    Attributes:
        runs: planned, those in the store included.
        missing: still to be trained.
        seeds: of the compared value that has the fewest.
        smallest: least difference between two compared values that so many seeds resolve with 80 % power, in standard
            deviations between seeds; None for one seed, or one value.
        seconds: for what is missing, from a timed start of each network's first epoch; None where that failed.
    """

    runs: int
    missing: int
    seeds: int
    smallest: float | None
    seconds: float | None


def plan_study(
    study: Study,
    store: Store,
    *,
    only: tuple[object, ...] | None = None,
    device: torch.device | str | None = None,
    data_dir: Path | None = None,
) -> Plan:
    """Counts a study's runs and times what is missing of it; trains nothing to the end and writes nothing.

    Args:
        study, store, only, device, data_dir: as for `convarium.studies.run.run`.

    Raises:
        ConvariumError: a recipe that does not fit its data.
    """
    device = pick_device(device)
    wanted = [r for r in study.recipes if only is None or getattr(r, study.compare) in only]
    splits = {of: load_data(of[0], data_dir=data_dir, validation=of[1], resize=of[2]) for of in map(_data, wanted)}
    for recipe in wanted:
        check_recipe(recipe, splits[_data(recipe)])
    done: dict[Recipe, StoredRun] = {}
    missing: Counter[Recipe] = Counter()
    for recipe in wanted:
        base, run = dataclasses.replace(recipe, seed=0), _stored(recipe, splits[_data(recipe)], store)
        done |= {base: run} if run else {}
        missing[base] += run is None
    each = [
        (n, run_seconds(base, splits[_data(base)], device, like=done.get(base))) for base, n in missing.items() if n
    ]
    known = [n * seconds for n, seconds in each if seconds is not None]
    seeds = min(Counter(getattr(recipe, study.compare) for recipe in wanted).values())
    family = len(study.values) - 1
    return Plan(
        runs=len(wanted),
        missing=sum(missing.values()),
        seeds=seeds,
        smallest=smallest_difference(seeds, family=family) if family else None,
        seconds=sum(known) if len(known) == len(each) else None,
    )


def tell_plan(plan: Plan) -> str:
    """A plan in one line: "20 runs; 10 seeds each resolve 1.3 standard deviations between seeds; about 12 min"."""
    parts = [f"{plan.runs} run{'s' * (plan.runs > 1)}"]
    if plan.smallest is not None:
        parts.append(f"{plan.seeds} seeds each resolve {plan.smallest:.1f} standard deviations between seeds")
    elif plan.seeds < 2:
        parts.append("one seed decides nothing")
    if plan.missing < plan.runs:
        parts.append(f"{plan.runs - plan.missing} in the store" if plan.missing else "all in the store")
    if plan.missing and plan.seconds is not None:
        parts.append(f"about {duration(plan.seconds)} to go")
    return "; ".join(parts)


def duration(seconds: float) -> str:
    """A time in words, with two units at most: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours / 24:.1f} days"
    return f"{minutes} min" if not hours else f"{hours} h {rest} min"


def run_seconds(recipe: Recipe, splits: Splits, device: torch.device, *, like: StoredRun | None = None) -> float | None:
    """How long a run will take: as `like`, another seed of it, took here, or else from the start of its first epoch.

    None where the network fails in training.
    """
    if (
        like is not None
        and like.outcome.cost
        and hardware_label(like.outcome.environment) == hardware_label(environment(device))
    ):
        return max(like.outcome.cost.total_seconds, like.outcome.cost.train_seconds)
    try:
        step, steps = _first_steps(recipe, splits, device)
    except Exception as error:  # whatever a user's own network raises: training tells of it
        if not isinstance(error, (RuntimeError, MemoryError)) and not resolve(recipe.model).is_custom:
            raise
        return None
    looked_at = len(splits.validation) + (len(splits.test) if recipe.watch_test else 0)
    looking = step / recipe.batch_size / 3 * looked_at  # forward alone costs about a third of a step
    return recipe.epochs * (step * steps + looking)


class _EnoughError(Exception):
    """The first epoch has been timed for long enough."""


def _first_steps(recipe: Recipe, splits: Splits, device: torch.device) -> tuple[float, int]:
    """Seconds a step, the first one left out where there are others, and steps an epoch."""
    ends, steps = [time.perf_counter()], 1

    def watch(progress: TrainingEvent) -> None:
        nonlocal steps
        if progress.history:
            raise _EnoughError
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        ends.append(time.perf_counter())
        steps = progress.steps_per_epoch
        if len(ends) > 3 and ends[-1] - ends[1] > TIMED_SECONDS:
            raise _EnoughError

    with contextlib.suppress(_EnoughError):
        fit(dataclasses.replace(recipe, watch_test=False, select="last"), splits, device=device, on_event=watch)
    first = 1 if len(ends) > 2 else 0
    return (ends[-1] - ends[first]) / (len(ends) - 1 - first), steps


def reseeded(study: Study, seeds: int) -> Study:
    """The study with seeds 0, 1, … for every recipe.

    Raises:
        RecipeError: no seed at all, or too many.
    """
    check_seeds(seeds)
    bases = dict.fromkeys(dataclasses.replace(recipe, seed=0) for recipe in study.recipes)
    return dataclasses.replace(study, recipes=with_seeds(bases, range(seeds)))


def reduced(study: Study) -> Study:
    """The study made so small that it ends within minutes anywhere: it shows the machinery, and answers nothing.

    The 1,797 real digits stand for its data set, 2 epochs and 2 seeds for its own, 96 pixels for anything larger.
    """
    small = tuple(
        dataclasses.replace(
            recipe,
            dataset="digits",
            epochs=min(recipe.epochs, REDUCED_EPOCHS),
            batch_size=min(recipe.batch_size, 64),
            warmup=min(recipe.warmup, 1),
            normalize="none" if recipe.normalize == "none" else "dataset",
            resize=recipe.resize and min(recipe.resize, REDUCED_SIDE),
            validation=0 if recipe.validation == 0 else None,
        )
        for recipe in study.recipes
    )
    seeds = min(REDUCED_SEEDS, max(Counter(getattr(recipe, study.compare) for recipe in study.recipes).values()))
    command = study.command and f"{study.command} --quick"
    named = dataclasses.replace(study, name=f"{study.name}-quick", recipes=small, command=command)
    return reseeded(named, seeds)


def tell_reduction(study: Study) -> str:
    """What a reduced study is, in one line."""
    seeds, epochs = len({recipe.seed for recipe in study.recipes}), max(recipe.epochs for recipe in study.recipes)
    size = f"{epochs} epoch{'s' * (epochs > 1)}, {seeds} seed{'s' * (seeds > 1)}"
    return f"digits instead of the study's own images, {size}: this shows how the study works and answers nothing"


def _stored(recipe: Recipe, splits: Splits, store: Store) -> StoredRun | None:
    """The run if the store has it whole; one that is damaged or failed will be trained again."""
    try:
        found = store.find(recipe, recipe.key(splits.digest))
    except StoreError:
        return None
    return found if found and found.outcome.status != "failed" else None


def _data(recipe: Recipe) -> tuple[str, int | None, int | None]:
    return recipe.dataset, recipe.validation, recipe.resize
