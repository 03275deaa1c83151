"""How a study of a store is extended by more seeds and networks, and what its name refuses."""

import dataclasses
from collections.abc import Sequence

from convarium.errors import StoreError
from convarium.recipes.recipe import ADDED_FIELDS, Recipe
from convarium.runs.store import Store, StudyRecord
from convarium.studies.study import Study


def extended_record(study: Study, keys: Sequence[str], before: StudyRecord | None) -> StudyRecord:
    """What `study.json` will hold: a new study, or the one of this name extended by new seeds and networks.

    Args:
        study: the question.
        keys: of its runs.
        before: the study of this name that the store has; None: there is none.

    Raises:
        StoreError: the store has a study of this name with another base recipe.
    """
    base = study.base
    if before is None:
        first = study.values[0] if study.baseline is None else study.baseline
        n = len(keys)
        settings = (study.compare, first, base, tuple(keys), n, study.command, study.metric)
        return StudyRecord(study.name, study.question, *settings)
    added = {name: getattr(Recipe, name) for name in ADDED_FIELDS}  # which older studies have at their defaults
    was, now = ({"compare": r.compare, **added, **r.base} for r in (before, study))
    differing = [n for n in {**was, **now} if was.get(n) != now.get(n)]
    if differing:
        name = differing[0]
        raise StoreError(
            f"study {study.name!r} exists with another base recipe: "
            f"{name} was {was.get(name)!r} and is now {now.get(name)!r}",
            hint="choose another --name; more seeds or networks extend a study, other settings do not",
        )
    return dataclasses.replace(
        before,
        keys=tuple(dict.fromkeys((*before.keys, *keys))),
        baseline=before.baseline if study.baseline is None else study.baseline,
        command=study.command,
        metric=study.metric,
    )


def check_unchanged(study: Study, keys: Sequence[str], before: StudyRecord, store: Store) -> None:
    """Refuses, before anything is trained, what would give a study two runs of one recipe: its images or the source of
    its network have changed since, and no table could tell the two apart.

    Raises:
        StoreError: the study has a run of a recipe that now has another key.
    """
    now = set(keys)
    others = dataclasses.replace(before, keys=tuple(key for key in before.keys if key not in now))
    recipes = set(study.recipes)
    for run in store.runs_of(others, damaged=[]):
        model, dataset, seed = run.recipe.model, run.recipe.dataset, run.recipe.seed
        if run.recipe in recipes:
            source = "" if run.source is None else f"the source of {model}, "
            raise StoreError(
                f"study {study.name!r} has {model} with seed {seed} already, "
                f"but {source}the images of {dataset} or Convarium changed since",
                hint=f"choose another --name, or remove the study: convarium remove {study.name}",
            )
