"""How a study of a store is extended by more seeds and networks, and what its name refuses."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from convarium.errors import StoreError
from convarium.recipes.recipe import ADDED_FIELDS, Recipe
from convarium.recipes.starting import split_start
from convarium.runs.store import Store, StudyRecord
from convarium.studies.study import Study


def extended_record(
    study: Study, keys: Sequence[str], before: StudyRecord | None, *, abandoned: Collection[str] = ()
) -> StudyRecord:
    """What `study.json` will hold: a new study, or the one of this name extended by new seeds and networks.

    Args:
        study: the question.
        keys: of its runs.
        before: the study of this name that the store has; None: there is none.
        abandoned: from `abandoned_keys`; these no longer belong to the study.

    Raises:
        StoreError: the store has a study of this name with another base recipe.
    """
    base = study.base
    if before is None:
        first = study.values[0] if study.baseline is None else study.baseline
        keys = tuple(dict.fromkeys(keys))
        n = len(keys)
        settings = (study.compare, first, base, keys, n, study.command, study.metric)
        return StudyRecord(study.name, study.question, *settings)
    added = {name: getattr(Recipe, name) for name in ADDED_FIELDS}  # which older studies have at their defaults
    was, now = (_described({"compare": r.compare, **added, **r.base}) for r in (before, study))
    differing = [n for n in {**was, **now} if was.get(n) != now.get(n)]
    if differing:
        name = differing[0]
        raise StoreError(
            f"study {study.name!r} exists with another base recipe: "
            f"{name} was {was.get(name)!r} and is now {now.get(name)!r}",
            hint="choose another --name; more seeds or networks extend a study, other settings do not",
        )
    together = tuple(key for key in dict.fromkeys((*before.keys, *keys)) if key not in abandoned)
    return dataclasses.replace(
        before,
        keys=together,
        baseline=before.baseline if study.baseline is None else study.baseline,
        command=study.command,
        metric=study.metric,
        recommended=before.recommended if together == before.keys else (),
    )


def check_unchanged(study: Study, keys: Sequence[str], before: StudyRecord, store: Store) -> None:
    """Refuses, before anything is trained, what would give a study two runs of one recipe: its images or the source of
    its network have changed since, and no table could tell the two apart.

    Raises:
        StoreError: the study has a run of a recipe that now has another key.
    """
    now = set(keys)
    others = dataclasses.replace(before, keys=tuple(key for key in before.keys if key not in now))
    recipes = set(map(_without_digest, study.recipes))
    for run in store.runs_of(others, damaged=[]):
        model, dataset, seed = run.recipe.model, run.recipe.dataset, run.recipe.seed
        if _without_digest(run.recipe) in recipes:
            source = "" if run.source is None else f"the source of {model}, "
            start = run.recipe.start_from
            weights = "" if start is None else f"the weights of {split_start(start)[0]}, "
            raise StoreError(
                f"study {study.name!r} has {model} with seed {seed} already, "
                f"but {source}{weights}the images of {dataset} or Convarium changed since",
                hint=f"choose another --name, or remove the study: convarium remove {study.name}",
            )


def abandoned_keys(study: Study, keys: Sequence[str], before: StudyRecord, store: Store) -> frozenset[str]:
    """The keys of runs that nothing will finish, since their network or their images were changed before they ended.

    That is seen by a run that was begun: its recipe is one of this study's, and its key is not. Then the study goes
    without every key that is planned no longer, and has no run in the store.

    Args:
        study: the question.
        keys: of its runs now.
        before: the study of this name that the store has.
        store: where its runs lie.
    """
    recipes = set(map(_without_digest, study.recipes))
    gone = [key for key in before.keys if key not in set(keys)]
    begun = [found for key in gone if (found := store.begun(key)) is not None]
    if not any(_without_digest(recipe) in recipes for recipe in begun):
        return frozenset()
    finished = {run.key for run in store.runs_of(before, damaged=[])}
    return frozenset(gone) - finished


def _described(base: dict[str, Any]) -> dict[str, Any]:
    """A base recipe in which weights are known by their content, wherever they lay."""
    start = base.get("start_from")
    digest = split_start(start)[1] if isinstance(start, str) else None
    return base if digest is None else base | {"start_from": f"SHA-256 {digest}"}


def _without_digest(recipe: Recipe) -> Recipe:
    start = recipe.start_from
    return recipe if start is None else dataclasses.replace(recipe, start_from=split_start(start)[0])
