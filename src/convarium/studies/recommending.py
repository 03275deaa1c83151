"""Which network for these images: successive halving within a time, and the choice between those that are left.

Every rung is a study in the store, so that the same command goes on where it was stopped; see `rungs`.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from convarium.analysis.comparison.formatting import count, duration, listed
from convarium.analysis.recommendation import (
    Choice,
    Finalist,
    Recommendation,
    Role,
    Rung,
    choose,
    simultaneous_interval,
)
from convarium.analysis.statistics import margin_of
from convarium.characters import command_line
from convarium.data.folder_options import own_name
from convarium.data.splits import Splits
from convarium.errors import RecipeError, RunError
from convarium.metrics import balanced_accuracy
from convarium.models.factories import factory_digest
from convarium.recipes.recipe import Recipe
from convarium.runs.names import file_name
from convarium.runs.store import Store, StoredRun, StudyRecord
from convarium.studies.halving import best_of, rung_sizes
from convarium.studies.plan import check_recipe, reading_events
from convarium.studies.recommendation_notes import notes_of
from convarium.studies.resources import Resources
from convarium.studies.rungs import (
    OnEvent,
    Search,
    Trained,
    first_networks,
    train_rung,
)
from convarium.studies.scoring_speed import scoring_speeds
from convarium.studies.study import check_seeds
from convarium.studies.time_budget import TimeBudget
from convarium.training.scoring import pick_device


def recommend_network(
    bases: Sequence[Recipe],
    resources: Resources,
    *,
    time: TimeBudget,
    seeds: int = 5,
    name: str | None = None,
    command: str | None = None,
    on_event: OnEvent | None = None,
) -> Recommendation:
    """Trains networks within a time, keeps the better half again and again, and chooses between those that are left.

    Networks are chosen by their validation accuracy, their size and their measured speed. The test images choose
    nothing: of the recommended networks alone their accuracy is read. Without test images, the validation images also
    judge, with intervals that hold for every network that they could have chosen.

    Args:
        bases: a recipe for each network, with the epochs of the last rung, where the time allows them.
        resources: the store, the data sets and the device.
        time: that all of it may take. Runs that the store has already take none.
        seeds: at most so many runs of each network in the last rung, where the time allows them.
        name: of the study of the last rung; None: one made from the images and a digest of what is asked.
        command: the command line that asks the same.
        on_event: as for `run_study`.

    Raises:
        ConvariumError: a recipe that does not fit its data, one that looks at the test images, or no validation images.
        RunError: no run fits into the time, or all failed.
    """
    check_seeds(seeds)
    splits = resources.splits(bases[0], on_event=reading_events(bases[0], 1, on_event))
    _check(bases, splits)
    by_network = {base.model: base for base in bases}
    chosen_name = name or _name_of(bases, splits, time.seconds, seeds)
    search = Search(by_network, splits, resources, time, chosen_name, command, on_event, [])
    names = first_networks(search)
    sizes = rung_sizes(len(names))
    done: list[Trained] = []
    for number, size in enumerate(sizes):
        trained = train_rung(search, names, number, rungs=len(sizes), seeds=seeds, before=done)
        if len(trained.runs) < min(2, size) and done:
            search.notes.append("The time ended in the last rung, which decides nothing.")
            break
        keep = sizes[number + 1] if number + 1 < len(sizes) else size
        names = best_of({name: trained.rung.validation[name] for name in trained.runs}, _parameters(trained.runs), keep)
        done.append(dataclasses.replace(trained, rung=dataclasses.replace(trained.rung, kept=tuple(names))))
        if not names:
            raise _nothing_trained(search, trained)
        if len(trained.runs) < size:
            break
        if number + 1 < len(sizes):
            search.say(_dropped(done[-1].rung, number + 1))
    return _recommendation(search, done)


def remember(found: Recommendation, store: Store) -> StudyRecord:
    """Keeps with the study of a recommendation which networks it named, so that every later table and page begins with
    them.

    Raises:
        StoreError: the study is damaged, or the store is read only and does not have it so.
    """
    record, sentences = store.study(found.study), tuple(map(found.use, found.choices))
    if record.recommended == sentences:
        return record

    def change(record: StudyRecord | None) -> StudyRecord:
        return dataclasses.replace(record or store.study(found.study), recommended=sentences)

    return store.update_study(found.study, change)


def _check(bases: Sequence[Recipe], splits: Splits) -> None:
    """Refuses recipes that cannot be chosen between without looking at the test images."""
    for base in bases:
        check_recipe(base, splits)
        if base.watch_test or base.select == "best_test":
            raise RecipeError(
                "a recommendation states accuracies on test images that chose nothing",
                hint="leave out --watch-test and --select best_test",
            )
        if base.start_from is not None:
            raise RecipeError(
                "a recommendation compares networks that start from drawn weights",
                hint="leave out start_from here, and compare with and without it afterwards",
            )
    if not len(splits.validation):
        raise RecipeError(
            f"networks are chosen on validation images, and {bases[0].dataset} has none under this recipe",
            hint=f"use --validation {max(len(splits.train.class_names), len(splits.train) // 10)}",
        )


def _name_of(bases: Sequence[Recipe], splits: Splits, seconds: float, seeds: int) -> str:
    """A name for people, with a digest of the images, the networks and the time."""
    recipes = [base.to_json() | {"source": factory_digest(base.model)} for base in bases]
    digest = hashlib.sha256(json.dumps([splits.digest, seconds, seeds, recipes], sort_keys=True).encode()).hexdigest()[
        :6
    ]
    dataset = Path(own_name(bases[0].dataset)).name
    return f"{file_name(dataset, longest=40)}-recommendation-{digest}"


def _recommendation(search: Search, done: Sequence[Trained]) -> Recommendation:
    """The choice between the networks of the last rung."""
    last, dataset = done[-1], next(iter(search.bases.values())).dataset
    runs = {name: last.runs[name] for name in last.rung.kept}
    speeds = scoring_speeds(
        {name: each[_best_seed(search, each)] for name, each in runs.items()}, pick_device(search.resources.device)
    )
    finalists = [
        Finalist(name, _parameters(runs)[name], speeds[name], tuple(search.score_of(run) or 0.0 for run in each))
        for name, each in runs.items()
    ]
    margin = margin_of(dataset)
    roles = choose(finalists, margin)
    named = {each.network: runs[each.network][each.best_seed] for each in finalists if each.network in roles}
    has_test = all(run.outcome.test is not None and run.outcome.test.n for run in named.values())
    # Images that chose also judge only with intervals for every run that they could have named.
    family = len(roles) if has_test else len(done[0].rung.validation) * last.rung.seeds
    if not has_test and last.study.recipes[0].select == "best_validation":
        family *= last.rung.epochs
    choices = []
    for finalist in sorted((each for each in finalists if each.network in roles), key=lambda each: _order(roles, each)):
        run = named[finalist.network]
        scores = run.outcome.test if has_test else run.outcome.validation
        assert scores is not None
        interval = simultaneous_interval(scores.confusion, balanced=search.balanced, family=family)
        choices.append(
            Choice(
                finalist.network,
                roles[finalist.network],
                run.path.name,
                balanced_accuracy(scores.confusion) if search.balanced else scores.accuracy,
                interval.low,
                interval.high,
                scores.n,
                finalist.mean,
                last.rung.seeds,
                finalist.parameters,
                finalist.images_per_second,
                _export_command(search, run),
            )
        )
    notes = (*search.notes, *notes_of(search, last, named, choices, family=family))
    return Recommendation(
        dataset=dataset,
        choices=tuple(choices),
        rungs=tuple(each.rung for each in done),
        judged_on="test" if has_test else "validation",
        family=family,
        margin=margin,
        score=search.score.title,
        stated=search.score.title.replace("validation", "test") if has_test else search.score.title,
        study=last.study.name,
        budget=search.time.seconds,
        seconds=search.time.used,
        notes=notes,
    )


def _best_seed(search: Search, runs: Sequence[StoredRun]) -> int:
    return max(range(len(runs)), key=lambda seed: search.score_of(runs[seed]) or 0.0)


def _parameters(runs: Mapping[str, Sequence[StoredRun]]) -> dict[str, int]:
    costs = {name: next((run.outcome.cost for run in each if run.outcome.cost), None) for name, each in runs.items()}
    return {name: cost.parameters if cost else 0 for name, cost in costs.items()}


def _order(roles: Mapping[str, Sequence[Role]], finalist: Finalist) -> int:
    return min(get_args(Role).index(role) for role in roles[finalist.network])


def _export_command(search: Search, run: StoredRun) -> str:
    words = ["convarium", "export", run.path.name, "--format", "onnx"]
    root = str(search.resources.store.root)
    return command_line([*words, *(["--store", root] if root != "." else [])])


def _dropped(rung: Rung, number: int) -> str:
    """Which networks a rung has dropped, with their validation accuracies."""
    dropped = [f"{name} ({_percent(rung.validation[name])})" for name in rung.dropped]
    return (
        f"rung {number}: {len(rung.kept)} of {count(len(rung.validation), 'network')} go on; dropped: {listed(dropped)}"
    )


def _percent(score: float | None) -> str:
    return "failed" if score is None else f"{100 * score:.1f} %"


def _nothing_trained(search: Search, trained: Trained) -> RunError:
    if trained.runs:
        return RunError("every network failed in training", hint="look at the notices above, or try other networks")
    return RunError(
        f"no run ended within {duration(search.time.seconds)}",
        hint="the same command goes on where this one was stopped; or give a longer --budget",
    )
