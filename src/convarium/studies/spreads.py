"""How far the seeds of stored networks lie apart: what the plan of a study takes for the spread of those to come."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from convarium.analysis.comparison import METRICS, metric_of, primary_metric, status
from convarium.analysis.statistics import estimate
from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store, StoredRun
from convarium.studies.study import Study

LEAST_RUNS = 3
"""Fewer runs of a network say nothing of its spread."""

MOST_READ = 200
"""Of a store with more runs of the data set than this, only so many are read, so that a plan does not wait."""


@dataclass(frozen=True)
class Spreads:
    """Standard deviations over seeds of an accuracy.

    Attributes:
        low, high: the smallest and the largest, as fractions of 1.
        networks: how many networks (or other rows) were looked at.
        own: whether they are runs of the study itself; else they are others of the same data set.
    """

    low: float
    high: float
    networks: int
    own: bool


def stored_spreads(study: Study, stored: Sequence[StoredRun], store: Store) -> Spreads | None:
    """Looks for the spread of a study's metric: in its own runs, else in others of its data set in the store.

    Args:
        study: the question.
        stored: those of its runs that the store has.
        store: where others may lie.

    Returns:
        None where no network has enough runs, or where the study does not compare an accuracy.
    """
    if study.metric is not None and metric_of(study.metric).kind != "accuracy":
        return None
    own = _deviations(study, stored)
    found = own or _deviations(study, _others(study, store))
    return Spreads(min(found), max(found), len(found), bool(own)) if found else None


def _others(study: Study, store: Store) -> list[StoredRun]:
    """Other runs of the data set; where some were made by a recipe that differs in the network alone, these."""
    recipe = study.recipes[0]
    runs = [run for run in store.runs_on(recipe.dataset, most=MOST_READ) if run.recipe.dataset == recipe.dataset]
    alike = [run for run in runs if _but_the_network(run.recipe) == _but_the_network(recipe)]
    return alike if _deviations(study, alike) else runs


def _but_the_network(recipe: Recipe) -> Recipe:
    return dataclasses.replace(recipe, seed=0, model="lenet")


def _deviations(study: Study, runs: Sequence[StoredRun]) -> list[float]:
    """The deviations over seeds of every recipe with enough trained runs, without those whose runs are all the same."""
    groups: dict[Recipe, list[StoredRun]] = {}
    for run in runs:
        if status(run) == "trained":
            groups.setdefault(dataclasses.replace(run.recipe, seed=0), []).append(run)
    deviations = []
    for group in groups.values():
        metric = metric_of(study.metric) if study.metric else METRICS[primary_metric(group)[0]]
        values = [value for run in group if (value := metric.measure(run)) is not None]
        if len(values) >= LEAST_RUNS:
            deviations.append(estimate(values).deviation or 0.0)
    return [deviation for deviation in deviations if deviation]
