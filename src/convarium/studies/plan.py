"""What a study will cost before it trains: its runs, those that are stored already, the time for the others, and the
smallest difference that its seeds resolve.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from convarium import kernels
from convarium.analysis.comparison import metric_of
from convarium.analysis.statistics import LEAST_SEEDS, smallest_difference
from convarium.data.splits import Splits
from convarium.errors import DamageError
from convarium.models.build import build_model, check_image
from convarium.models.factories import check_source_unchanged
from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store, StoredRun, StudyRecord
from convarium.studies.estimate import TIMED_SECONDS, afterwards_seconds, run_seconds
from convarium.studies.events import Expected, StudyEvent
from convarium.studies.extension import abandoned_keys, check_unchanged, extended_record
from convarium.studies.limits import limits_of
from convarium.studies.plan_sentence import Plan
from convarium.studies.resources import Resources
from convarium.studies.spreads import stored_spreads
from convarium.studies.starts import find_start, with_starts
from convarium.studies.study import Study
from convarium.training.freezing import freeze
from convarium.training.starting import StartWeights
from convarium.training.trainer import check_batches


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        recipe: what is trained.
        key: its identity in the store.
        splits: of its data set.
        stored: the run, if the store has it undamaged and it has not failed.
        failed: the run, if the store has it and it has failed, which is why it will be trained again.
        start: the weights that it starts from; None: there are none, or it is stored already.
    """

    recipe: Recipe
    key: str
    splits: Splits
    start: StartWeights | None = None
    stored: StoredRun | None = None
    failed: StoredRun | None = None


@dataclass(frozen=True)
class PreparedStudy:
    """A study whose recipes are known to fit their data: what planning and running start from.

    Attributes:
        study: the question.
        record: `study.json` as it will be written; a study of this name in the store is extended.
        runs: those that are wanted now, in the study's order.
        abandoned: from `abandoned_keys`.
    """

    study: Study
    record: StudyRecord
    runs: tuple[PlannedRun, ...]
    abandoned: frozenset[str] = frozenset()


def prepare_study(
    study: Study,
    resources: Resources,
    *,
    only: Sequence[Any] | None = None,
    on_event: Callable[[StudyEvent], None] | None = None,
) -> PreparedStudy:
    """Loads a study's data sets, checks its recipes, and looks up its runs. Trains and writes nothing.

    Args:
        study: the question.
        resources: the store, the data sets and the device.
        only: the compared values that are wanted; None: all.
        on_event: called while data are downloaded or images are decoded.

    Raises:
        ConvariumError: a recipe that does not fit its data, or a study of this name with another base recipe, other
            images or another source of a network.
    """
    _ = resources.training_device  # which is refused before anything is read
    n, given = len(study.recipes), study
    splits_of_runs = [
        resources.splits(recipe, on_event=reading_events(recipe, n, on_event)) for recipe in study.recipes
    ]
    starts = [find_start(recipe, resources) for recipe in study.recipes]
    study = with_starts(study, [recipe for recipe, _ in starts])
    checked: set[Recipe] = set()
    for recipe, splits in zip(study.recipes, splits_of_runs, strict=True):
        alike = dataclasses.replace(recipe, seed=0)
        if alike not in checked:
            check_recipe(recipe, splits)
            checked.add(alike)
    keys = [recipe.key(splits.digest) for recipe, splits in zip(study.recipes, splits_of_runs, strict=True)]
    resources.store.check_study_name(study.name)
    before = resources.store.find_study(study.name)
    abandoned = frozenset[str]()
    if before is not None:
        check_unchanged(study, keys, before, resources.store)
        abandoned = abandoned_keys(study, keys, before, resources.store)
    record = extended_record(study, keys, before, abandoned=abandoned)
    with resources.store.read_once():
        runs = tuple(
            planned_run(recipe, splits, resources.store, start=start)
            for named, (recipe, start), splits in zip(given.recipes, starts, splits_of_runs, strict=True)
            if only is None or getattr(named, study.compare) in only
        )
    return PreparedStudy(study, record, runs, abandoned)


def reading_events(
    recipe: Recipe, total: int, on_event: Callable[[StudyEvent], None] | None
) -> Callable[[str, int, int], None] | None:
    """A listener to the reading of a recipe's data that makes study's events of it; None without `on_event`."""
    if on_event is None:
        return None
    return lambda what, done, of: on_event(StudyEvent(0, total, recipe, reading=(what, done, of)))


def check_recipe(recipe: Recipe, splits: Splits) -> None:
    """Refuses, before anything is trained, a recipe that does not fit its data.

    Args:
        recipe: what is to be trained.
        splits: of its data set.

    Raises:
        RecipeError, ImageSizeError: a batch, a selection or an image size that is impossible.
        SpecError: the source file of a user's network has changed since it was imported.
    """
    check_source_unchanged(recipe.model)
    check_batches(recipe, splits)
    check_image(recipe.model, splits.train.spec)
    if recipe.freeze is not None:
        freeze(build_model(recipe.model, splits.train.spec), recipe)


def planned_run(recipe: Recipe, splits: Splits, store: Store, *, start: StartWeights | None = None) -> PlannedRun:
    """One run of a study, looked up in the store. One that is damaged or failed will be trained again.

    Args:
        recipe, start: from `find_start`.
        splits: of its data set.
        store: where runs lie.

    Raises:
        StoreError: the run may not be read.
    """
    key = recipe.key(splits.digest)
    try:
        run = store.find(recipe, key)
    except DamageError:
        run = None
    failed = run is not None and run.outcome.status == "failed"
    return PlannedRun(recipe, key, splits, start, stored=None if failed else run, failed=run if failed else None)


_MANY = 4
"""With more recipes than this, timing them takes so long that it is announced."""


def plan_study(
    prepared: PreparedStudy, resources: Resources, *, on_event: Callable[[StudyEvent], None] | None = None
) -> Plan:
    """Counts a study's runs and times what is missing; trains nothing to the end and writes nothing.

    Args:
        prepared: from `prepare_study`.
        resources: the device on which the networks are timed, with as many threads as its executor gives a run.
        on_event: called with a message before many recipes are timed.
    """
    device = resources.training_device
    is_here = device.type != "cuda" or torch.cuda.is_available()  # else the time is not known
    missing: Counter[Recipe] = Counter()
    stored: dict[Recipe, StoredRun] = {}
    planned: dict[Recipe, PlannedRun] = {}
    for run in prepared.runs:
        base = dataclasses.replace(run.recipe, seed=0)
        if base not in planned or run.stored is None:
            planned[base] = run
        if run.stored is not None:
            stored[base] = run.stored
        missing[base] += run.stored is None
    # They are compiled at their first use, before anything is timed.
    used = None if device.type != "cpu" else kernels.TORCH if resources.engine else kernels.version()
    timed = [base for base, n in missing.items() if n and is_here]
    if on_event and len(timed) > _MANY:
        text = f"timing the first steps of {len(timed)} recipes, up to {TIMED_SECONDS:.0f} s each …"
        on_event(StudyEvent(0, len(prepared.runs), timed[0], message=text))
    with resources.threads_of_a_run():
        each = {
            base: run_seconds(base, planned[base].splits, device, start=planned[base].start, like=stored.get(base))
            for base in timed
        }
    workers = max(1, min(resources.workers, sum(missing.values())))
    known = {base: seconds for base, seconds in each.items() if seconds is not None}
    study, expected = prepared.study, None
    values = {getattr(run.recipe, study.compare) for run in prepared.runs}
    if is_here and len(known) == len(each):
        wanted = [run.recipe for run in prepared.runs if run.stored is None]
        seconds = {recipe: known[dataclasses.replace(recipe, seed=0)] for recipe in wanted}
        afterwards = afterwards_seconds(networks=len(values), runs=len(prepared.runs), workers=workers)
        expected = Expected(seconds, afterwards if wanted else 0.0, workers)
    counts = _seeds_of(prepared, resources.store)
    seeds, family = min(counts[value] for value in values), len(counts) - 1
    is_measured = metric_of(study.metric or "test_accuracy").kind not in ("size", "reach")  # of which means decide
    smallest = smallest_difference(seeds, family=family) if family and is_measured and seeds >= LEAST_SEEDS else None
    read = [run.stored for run in prepared.runs if run.stored is not None]
    return Plan(
        runs=len(prepared.runs),
        missing=sum(missing.values()),
        seeds=seeds,
        smallest=smallest,
        seconds=expected.total if expected else None,
        kernels=used,
        workers=workers,
        spreads=None if smallest is None else stored_spreads(study, read, resources.store),
        limits=limits_of(study, counts, wanted=values),
        expected=expected,
    )


def _seeds_of(prepared: PreparedStudy, store: Store) -> Counter[Any]:
    """How many seeds each compared value will have, with those that the store has of the study and nobody asks for."""
    study, record = prepared.study, prepared.record
    pairs = {(getattr(recipe, study.compare), recipe.seed) for recipe in study.recipes}
    if len(record.keys) > len(pairs):
        before = store.runs_of(record, files=(), damaged=[])
        pairs |= {(getattr(run.recipe, study.compare), run.recipe.seed) for run in before}
    return Counter(value for value, _ in pairs)
