"""How a study is carried out: what is missing is trained into the store, run by run or stack by stack."""

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from convarium.analysis.comparison import Comparison
from convarium.data import load_data
from convarium.data.splits import Splits
from convarium.errors import ConvariumError, StoreError
from convarium.models.build import build_model, check_image
from convarium.models.index import resolve
from convarium.recipes.recipe import Recipe
from convarium.records import Epoch, Outcome
from convarium.runs.environment import emulates_bfloat16, environment
from convarium.runs.files import write_history, write_predicted
from convarium.runs.store import Store, StoredRun, StudyRecord
from convarium.runs.tensorboard import event_log
from convarium.studies.stacking import Planned, stack_notice, stacks_of, units_of, worth_stacking
from convarium.studies.study import Study, compare_study
from convarium.training import TrainingEvent, fit, fit_stack
from convarium.training.loop import check_batches
from convarium.training.scoring import pick_device


@dataclass(frozen=True)
class StudyEvent:
    """What a running study tells: which run it is at, and what `fit` says of it, or a notice for people.

    Before a run begins, or a stack of them, `begins` has the recipes. A `message` is a line on what comes next: the
    plan, a learning rate that was chosen, where the page is that follows the training.
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


def run(
    study: Study,
    store: Store,
    *,
    only: Sequence[Any] | None = None,
    stack: bool = False,
    device: torch.device | str | None = None,
    data_dir: Path | None = None,
    on_event: Callable[[StudyEvent], None] | None = None,
) -> Comparison:
    """Trains what is missing of a study, one run after another in this process, and compares.

    Nothing is trained or written before every recipe is known to fit its data.

    Args:
        study: what to run. A study of this name that the store already has is extended by new seeds and networks.
        store: where runs lie; finished ones are not trained again, whichever study they were trained for.
        only: the compared values that are trained now; None: all. The others stay planned.
        stack: train runs of one network that differ in seed, learning rate, weight decay or momentum alone at the
            same time, see `fit_stack`. Which ones is written down in the study first, and they stay together: a stack
            of which runs are missing is trained whole again, for the same bits.
        device: as for `fit`.
        data_dir: where to look for data sets first.
        on_event: called often; whatever it raises, KeyboardInterrupt above all, ends the study with what is finished
            kept.

    Raises:
        ConvariumError: a recipe that does not fit its data, or a study of this name with another base recipe.
    """
    tell, device = on_event or (lambda _: None), pick_device(device)
    load = cache(partial(load_data, data_dir=data_dir))
    of = [load(recipe.dataset, validation=recipe.validation, resize=recipe.resize) for recipe in study.recipes]
    for recipe, splits in zip(study.recipes, of, strict=True):
        check_recipe(recipe, splits)
    plan = [Planned(r, r.key(splits.digest), splits) for r, splits in zip(study.recipes, of, strict=True)]
    record = _record(study, [planned.key for planned in plan], store)
    wanted = [planned for planned in plan if only is None or getattr(planned.recipe, study.compare) in only]
    if stack:
        at = [StudyEvent(1, len(wanted), planned.recipe) for planned in wanted]
        done = [_finished(store, p.recipe, p.key, here, tell) for p, here in zip(wanted, at, strict=True)]
        missing = [p.key for p, run_before in zip(wanted, done, strict=True) if run_before is None]
        record = dataclasses.replace(record, stacks=stacks_of(wanted, missing, record))
    store.save_study(record)
    worth = {} if stack else worth_stacking(wanted, device)
    graphs: set[str] = set()
    number = 1
    for unit in units_of(wanted, record if stack else None):
        at = [StudyEvent(n, len(wanted), planned.recipe) for n, planned in enumerate(unit, start=number)]
        number += len(unit)
        done = [_finished(store, p.recipe, p.key, here, tell) for p, here in zip(unit, at, strict=True)]
        now: Sequence[StoredRun | None] = done
        if None in done:
            if unit[0].key in worth:
                tell(dataclasses.replace(at[0], notice=worth.pop(unit[0].key)))
                worth.clear()
            begins = tuple(p.recipe for p, run_before in zip(unit, done, strict=True) if run_before is None)
            tell(dataclasses.replace(at[0], begins=begins))
            now = _train(unit, done, store, device, at, tell, with_graph=unit[0].recipe.model not in graphs)
        for here, before, run_now in zip(at, done, now, strict=True):
            tell(dataclasses.replace(here, finished=run_now, trained_now=before is None))
        graphs.add(unit[0].recipe.model)
    return compare_study(record, store)


def train_one(
    recipe: Recipe,
    store: Store,
    *,
    device: torch.device | str | None = None,
    data_dir: Path | None = None,
    on_event: Callable[[StudyEvent], None] | None = None,
) -> StoredRun:
    """One run into the store; if the store has it already, nothing is trained.

    Raises:
        ConvariumError: the recipe does not fit its data.
    """
    tell, device = on_event or (lambda _: None), pick_device(device)
    splits = load_data(recipe.dataset, data_dir=data_dir, validation=recipe.validation, resize=recipe.resize)
    check_recipe(recipe, splits)
    key, at = recipe.key(splits.digest), StudyEvent(1, 1, recipe)
    done = _finished(store, recipe, key, at, tell)
    if done is not None:
        tell(dataclasses.replace(at, finished=done, trained_now=False))
        return done
    return _train([Planned(recipe, key, splits)], [None], store, device, [at], tell, with_graph=True)[0]


def check_recipe(recipe: Recipe, splits: Splits) -> None:
    """Refuses, before anything is trained, a recipe that does not fit its data.

    Raises:
        RecipeError, ImageSizeError: a batch, a selection or an image size that cannot be.
    """
    check_batches(recipe, splits)
    check_image(recipe.model, splits.train.spec)


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
    store: Store, recipe: Recipe, key: str, at: StudyEvent, tell: Callable[[StudyEvent], None]
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
    unit: Sequence[Planned],
    done: Sequence[StoredRun | None],
    store: Store,
    device: torch.device,
    at: Sequence[StudyEvent],
    tell: Callable[[StudyEvent], None],
    *,
    with_graph: bool,
) -> list[StoredRun]:
    """Trains one run, or a whole stack; of a stack only what is not `done` is written."""
    paths = [store.folder(planned.recipe, planned.key) for planned in unit]
    missing = [m for m, run_before in enumerate(done) if run_before is None]
    histories: dict[int, tuple[Epoch, ...]] = dict.fromkeys(missing, ())
    splits = unit[0].splits
    if unit[0].recipe.precision == "bfloat16" and emulates_bfloat16(device):
        slow = "this processor has no instructions for bfloat16; in float32 its matrix products are many times as fast"
        tell(dataclasses.replace(at[0], notice=slow))
    with ExitStack() as locks:
        for m in missing:
            locks.enter_context(store.lock(paths[m]))
            store.begin(unit[m].recipe, unit[m].key)
        with ExitStack() as opened:
            events = {m: opened.enter_context(event_log(paths[m])) for m in missing}
            if with_graph:
                events[missing[0]].graph(build_model(unit[0].recipe.model, splits.train.spec), splits.train.spec)

            def listen(member: int, training: TrainingEvent) -> None:
                if member in events and training.history and training.step_loss is not None:
                    assert training.step_accuracy is not None
                    histories[member] = training.history
                    write_history(paths[member], training.history)
                    if training.test_predicted is not None:
                        write_predicted(paths[member], len(training.history), training.test_predicted)
                    losses, accuracies = training.step_loss.tolist(), training.step_accuracy.tolist()
                    events[member].epoch(training.history[-1], losses, accuracies)
                tell(dataclasses.replace(at[0], recipe=unit[member].recipe, training=training))

            recipes = [planned.recipe for planned in unit]
            folders = [paths[m] if m in missing else None for m in range(len(unit))]
            try:
                if len(unit) == 1:
                    outcomes = [fit(recipes[0], splits, device=device, folder=folders[0], on_event=partial(listen, 0))]
                else:
                    tell(dataclasses.replace(at[0], notice=stack_notice(unit, device)))
                    outcomes = fit_stack(recipes, splits, device=device, folders=folders, on_event=listen)
            except Exception as error:
                # A full memory, or whatever a user's own network raises; what else our own code raises is a bug to see.
                ours = not any(resolve(recipe.model).is_custom for recipe in recipes)
                if isinstance(error, ConvariumError) or (ours and not isinstance(error, (RuntimeError, MemoryError))):
                    raise
                message = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
                outcomes = [
                    Outcome("failed", histories.get(m, ()), environment(device), message=message)
                    for m in range(len(unit))
                ]
                way_out = "" if len(unit) == 1 else "; without --stack they train one by one"
                who = "the run" if len(unit) == 1 else f"the stack of {len(unit)} runs"
                tell(dataclasses.replace(at[0], notice=f"{who} failed: {message}{way_out}"))
            for m, log in events.items():
                log.finish(recipes[m], outcomes[m])
        # The folder that may have the whole stack's checkpoint comes last: cut off in between, a stack goes on from it.
        whole = [dataclasses.replace(outcome, image=splits.train.spec) for outcome in outcomes]
        finished = {m: store.finish(paths[m], whole[m]) for m in reversed(missing)}
    return [run_before or finished[m] for m, run_before in enumerate(done)]
