"""A study: a question, its recipes, and how they are carried out into a store and compared."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import torch

from convarium.building import build_model, check_image, resolve
from convarium.claims import Claim, Verdict, judge, labels_of
from convarium.comparison import Comparison, compare_runs, metric_of
from convarium.comparison.rows import label
from convarium.cost import environment
from convarium.data import load_data
from convarium.data.images import Splits
from convarium.errors import RecipeError, SpecError, StoreError
from convarium.events import event_log
from convarium.recipe import Recipe
from convarium.records import Epoch, Outcome
from convarium.run_files import write_history, write_predicted
from convarium.spec import unknown
from convarium.store import Store, StoredRun, StudyRecord
from convarium.training import Progress, fit
from convarium.training.loop import check_batches
from convarium.training.scoring import pick_device

Panel = Literal["classes", "spread", "predicted", "gradients"]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question, and the runs that answer it.

    Attributes:
        name: of its folder in the store.
        question: one sentence.
        recipes: every run, seeds included; see `grid`.
        compare: the recipe field whose values are compared.
        baseline: the value that the others are compared with; None: the first.
        metric: what is compared first.
        claims: sentences to judge, each under a short name, see `convarium.claims`.
        shows: what `convarium run` shows beside table and verdicts: accuracies class by class and what the baseline
            misses; how far single runs lie apart; the classes that failed runs predict; gradients layer by layer.
        command: the command line that asks the same, for people to repeat.
    """

    name: str
    question: str
    recipes: tuple[Recipe, ...]
    compare: str = "model"
    baseline: Any = None
    metric: str = "test_accuracy"
    claims: Mapping[str, Claim] = field(default_factory=dict)
    shows: tuple[Panel, ...] = ()
    command: str | None = None

    def __post_init__(self) -> None:
        if not self.recipes:
            raise RecipeError("a study needs at least one recipe", hint="see convarium.grid")
        if self.compare not in {f.name for f in dataclasses.fields(Recipe)}:
            raise RecipeError(
                f"compare={self.compare!r} is not a recipe field", hint="compare='model' is the usual one"
            )
        if not self.name or self.name in (".", "..") or any(c in self.name for c in "/\\\0"):
            raise RecipeError(f"{self.name!r} cannot name a study", hint="use letters, digits and dashes")
        values = list(self.values)
        if self.baseline is not None and self.baseline not in values:
            raise RecipeError(f"baseline {self.baseline!r} is not compared", expected=" or ".join(map(repr, values)))
        metric_of(self.metric)
        for claim in self.claims.values():
            self.values_of(claim)
        by_value: dict[tuple[Any, int], Recipe] = {}
        for recipe in self.recipes:
            value = getattr(recipe, self.compare)
            if by_value.setdefault((value, recipe.seed), recipe) != recipe:
                raise RecipeError(
                    f"two different recipes of the study share {self.compare}={value!r} and seed {recipe.seed}",
                    hint="compare the field in which they differ, or make two studies of it",
                )

    @property
    def values(self) -> tuple[Any, ...]:
        """The compared values, in order of appearance."""
        return tuple(dict.fromkeys(getattr(recipe, self.compare) for recipe in self.recipes))

    def values_of(self, claim: Claim) -> tuple[Any, ...]:
        """The compared values that a claim speaks of.

        Raises:
            SpecError: it speaks of one that the study does not have.
        """
        found = {label(value, self.compare): value for value in self.values}
        for name in labels_of(claim):
            if name not in found:
                raise unknown("row of the study in a claim", name, found)
        return tuple(found[name] for name in labels_of(claim))

    @property
    def base(self) -> dict[str, Any]:
        """The recipe fields that all runs share."""
        every = [recipe.to_json() for recipe in self.recipes]
        varied = ("seed", self.compare)
        return {n: v for n, v in every[0].items() if n not in varied and all(other[n] == v for other in every)}


@dataclass(frozen=True)
class StudyProgress:
    """What a running study tells: which run it is at, and what `fit` says of it, or a notice for people."""

    number: int
    total: int
    recipe: Recipe
    training: Progress | None = None
    finished: StoredRun | None = None
    trained_now: bool = True
    notice: str | None = None


def grid(base: Recipe, **axes: Iterable[Any]) -> tuple[Recipe, ...]:
    """Every combination of the axes' values, put into `base`; the last axis varies fastest.

        grid(Recipe(epochs=5), seed=range(3), model=["lenet", "residual_cnn"])

    Raises:
        RecipeError: an axis that is no recipe field, or has no value.
    """
    known = {f.name for f in dataclasses.fields(Recipe)}
    lists = {name: list(values) for name, values in axes.items()}
    for name, values in lists.items():
        if name not in known:
            raise RecipeError(f"axis {name!r} is not a recipe field", expected=", ".join(sorted(known)))
        if not values:
            raise RecipeError(f"axis {name!r} has no value", hint="give at least one")
    combinations = itertools.product(*lists.values())
    return tuple(Recipe(**(base.to_json() | dict(zip(lists, values, strict=True)))) for values in combinations)


def with_seeds(bases: Iterable[Recipe], seeds: Iterable[int]) -> tuple[Recipe, ...]:
    """Every base with every seed; all bases of one seed come first, so that a study broken off is balanced."""
    each = tuple(bases)
    return tuple(dataclasses.replace(base, seed=seed) for seed in seeds for base in each)


def run(
    study: Study,
    store: Store,
    *,
    only: Sequence[Any] | None = None,
    device: torch.device | str | None = None,
    data_dir: Path | None = None,
    progress: Callable[[StudyProgress], None] | None = None,
) -> Comparison:
    """Trains what is missing of a study, one run after another in this process, and compares.

    Nothing is trained or written before every recipe is known to fit its data.

    Args:
        study: what to run. A study of this name that the store already has is extended by new seeds and networks.
        store: where runs lie; finished ones are not trained again, whichever study they were trained for.
        only: the compared values that are trained now; None: all. The others stay planned.
        device: as for `fit`.
        data_dir: where to look for data sets first.
        progress: called often; whatever it raises, KeyboardInterrupt above all, ends the study with what is finished
            kept.

    Raises:
        ConvariumError: a recipe that does not fit its data, or a study of this name with another base recipe.
    """
    tell, device = progress or (lambda _: None), pick_device(device)
    load = cache(partial(load_data, data_dir=data_dir))
    of = [load(recipe.dataset, validation=recipe.validation, resize=recipe.resize) for recipe in study.recipes]
    for recipe, splits in zip(study.recipes, of, strict=True):
        check_recipe(recipe, splits)
    keys = [recipe.key(splits.digest) for recipe, splits in zip(study.recipes, of, strict=True)]
    record = _record(study, keys, store)
    store.save_study(record)
    graphs: set[str] = set()
    planned = zip(study.recipes, keys, of, strict=True)
    wanted = [p for p in planned if only is None or getattr(p[0], study.compare) in only]
    for number, (recipe, key, splits) in enumerate(wanted, start=1):
        at = StudyProgress(number, len(wanted), recipe)
        done = _finished(store, recipe, key, at, tell)
        if done is None:
            with_graph = recipe.model not in graphs
            done = _train(recipe, key, splits, store, device, at, tell, with_graph=with_graph)
            tell(dataclasses.replace(at, finished=done))
        else:
            tell(dataclasses.replace(at, finished=done, trained_now=False))
        graphs.add(recipe.model)
    return compare_study(record, store)


def train_one(
    recipe: Recipe,
    store: Store,
    *,
    device: torch.device | str | None = None,
    data_dir: Path | None = None,
    progress: Callable[[StudyProgress], None] | None = None,
) -> StoredRun:
    """One run into the store; if the store has it already, nothing is trained.

    Raises:
        ConvariumError: the recipe does not fit its data.
    """
    tell, device = progress or (lambda _: None), pick_device(device)
    splits = load_data(recipe.dataset, data_dir=data_dir, validation=recipe.validation, resize=recipe.resize)
    check_recipe(recipe, splits)
    key, at = recipe.key(splits.digest), StudyProgress(1, 1, recipe)
    done = _finished(store, recipe, key, at, tell)
    if done is not None:
        tell(dataclasses.replace(at, finished=done, trained_now=False))
        return done
    return _train(recipe, key, splits, store, device, at, tell, with_graph=True)


def judge_study(study: Study, comparison: Comparison) -> dict[str, Verdict]:
    """The verdicts on a study's claims, by their names; those whose rows are not all there yet are left out.

    The family is that of the whole plan, so that no claim is judged more leniently while runs are missing.
    """
    whole = dataclasses.replace(comparison, family=max(comparison.family, len(study.values) - 1))

    def there(name: str) -> bool:
        try:
            return bool(comparison.row(name))
        except SpecError:
            return False

    return {name: judge(claim, whole) for name, claim in study.claims.items() if all(map(there, labels_of(claim)))}


def compare_study(record: StudyRecord, store: Store) -> Comparison:
    """The comparison of a study's finished runs.

    Raises:
        StoreError: none is finished yet.
    """
    runs = store.runs_of(record)
    if not runs:
        raise StoreError(
            f"study {record.name!r} has no finished run yet", hint="start it again; it goes on where it stopped"
        )
    begun = {getattr(run.recipe, record.compare) for run in runs}
    baseline = record.baseline if record.baseline in begun else None
    comparison = compare_runs(
        runs,
        by=record.compare,
        baseline=baseline,
        metric=record.metric,
        question=record.question,
        command=record.command,
    )
    notes = list(comparison.notes)
    if len(runs) < len(record.keys):
        notes.append(f"{len(runs)} of the {len(record.keys)} planned runs are finished.")
    if record.planned < len(record.keys):
        added = len(record.keys) - record.planned
        notes.append(f"The study was planned with {record.planned} runs; {added} were added afterwards.")
    return dataclasses.replace(comparison, notes=tuple(notes))


def check_recipe(recipe: Recipe, splits: Splits) -> None:
    """Refuses, before anything is trained, a recipe that does not fit its data.

    Raises:
        RecipeError, ImageSizeError: a batch, a selection or an image size that cannot be.
    """
    check_batches(recipe, splits)
    check_image(resolve(recipe.model), splits.train.spec)


def _record(study: Study, keys: Sequence[str], store: Store) -> StudyRecord:
    base = study.base
    found = store.find_study(study.name)
    if found is None:
        first = study.values[0] if study.baseline is None else study.baseline
        n = len(keys)
        settings = (study.compare, first, base, tuple(keys), n, study.command, study.metric)
        return StudyRecord(study.name, study.question, *settings)
    was, now = ({"compare": r.compare, **r.base} for r in (found, study))
    differing = [n for n in {**was, **now} if was.get(n) != now.get(n)]
    if differing:
        name = differing[0]
        raise StoreError(
            f"study {study.name!r} exists with another base recipe: "
            f"{name} was {was.get(name)!r} and is now {now.get(name)!r}",
            hint="choose another --name; more seeds or networks extend a study, other settings do not",
        )
    together = tuple(dict.fromkeys((*found.keys, *keys)))
    return dataclasses.replace(
        found,
        keys=together,
        baseline=found.baseline if study.baseline is None else study.baseline,
        command=study.command,
        metric=study.metric,
    )


def _finished(
    store: Store, recipe: Recipe, key: str, at: StudyProgress, tell: Callable[[StudyProgress], None]
) -> StoredRun | None:
    """The run if it is there and whole. A damaged one is set aside; a failed one is tried again."""
    try:
        found = store.find(recipe, key)
    except StoreError as error:
        aside = store.set_aside(store.folder(recipe, key))
        tell(dataclasses.replace(at, notice=f"{error.wrong}; set aside as {aside.name} and trained again"))
        return None
    return found if found and found.outcome.status != "failed" else None


def _train(
    recipe: Recipe,
    key: str,
    splits: Splits,
    store: Store,
    device: torch.device,
    at: StudyProgress,
    tell: Callable[[StudyProgress], None],
    *,
    with_graph: bool,
) -> StoredRun:
    path = store.folder(recipe, key)
    with store.lock(path):
        store.begin(recipe, key)
        with event_log(path) as events:
            if with_graph:
                events.graph(build_model(recipe.model, splits.train.spec), splits.train.spec)
            history: tuple[Epoch, ...] = ()

            def listen(training: Progress) -> None:
                nonlocal history
                if training.history and training.step_loss is not None and training.step_accuracy is not None:
                    history = training.history
                    write_history(path, history)
                    if training.test_predicted is not None:
                        write_predicted(path, len(history), training.test_predicted)
                    events.epoch(history[-1], training.step_loss.tolist(), training.step_accuracy.tolist())
                tell(dataclasses.replace(at, training=training))

            try:
                outcome = fit(recipe, splits, device=device, folder=path, progress=listen)
            except (RuntimeError, MemoryError) as error:
                message = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
                outcome = Outcome("failed", history, environment(device), message=message)
                tell(dataclasses.replace(at, notice=f"the run failed: {message}"))
            events.finish(recipe, outcome)
        return store.finish(path, outcome)
