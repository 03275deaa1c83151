"""What predicts images: a stored run, a file of weights, or the seeds of one row of a study, averaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convarium.errors import ConvariumError, StoreError
from convarium.runs.seal import WEIGHTS
from convarium.runs.store import Store, StoredRun
from convarium.workspace.weights import network_in_file

if TYPE_CHECKING:
    from pathlib import Path

    from convarium.inference.predict import Predictor
    from convarium.inference.trained import TrainedNetwork
    from convarium.inference.unknown import Floats, UnknownRule
    from convarium.studies.resources import Resources


def predictor_of(
    resources: Resources,
    run: str | None,
    *,
    weights: Path | str | None = None,
    ensemble: str | None = None,
    model: str | None = None,
    dataset: str | None = None,
    unknown: bool = False,
    coverage: float = 0.95,
) -> Predictor:
    """What `Workspace.predictor` returns; see there for the arguments and errors."""
    from convarium.inference.unknown import check_coverage

    if sum(one is not None for one in (run, ensemble, weights)) != 1:
        raise ConvariumError("predict takes one of a run, a file of weights and an ensemble")
    if dataset is not None and weights is None:
        raise ConvariumError("--dataset belongs to --weights: a run knows its own", hint="leave out --dataset")
    check_coverage(coverage)
    if weights is not None:
        if unknown:
            raise ConvariumError(
                "--unknown is calibrated on the test predictions of a run, and a file of weights has none",
                hint="name the run",
            )
        return _of_weights(weights, resources, model=model, dataset=dataset)
    store = resources.store
    runs, notes = ([store.run(run)], ()) if run is not None else members(store, str(ensemble))
    rule = calibrated(runs, coverage) if unknown else None
    from convarium.inference.loading import load_trained
    from convarium.inference.predict import Predictor
    from convarium.training.scoring import pick_device

    chosen = str(pick_device(resources.device))
    networks = tuple(load_trained(stored, named=model, device=chosen) for stored in runs)
    for stored, network in zip(runs, networks, strict=True):
        if network.preprocessing != networks[0].preprocessing:
            raise StoreError(
                f"{stored.path.name} has other classes or other preprocessing than {runs[0].path.name}",
                hint="they were made with different data: predict with one run",
            )
    notes = (*notes, *(note for network in networks for note in _not_finite(network)))
    notes += tuple(
        f"{one.path.name} ended at chance: its answers are guesses" for one in runs if one.outcome.is_at_chance
    )
    names = tuple(stored.path.name for stored in runs)
    if run is not None:
        return Predictor(networks, f"the run {names[0]}", names, rule, notes)
    seeds = ", ".join(str(stored.recipe.seed) for stored in runs)
    mean = f"the mean of {len(runs)} runs" if len(runs) > 1 else "the only run"
    return Predictor(networks, f"{mean} of {ensemble} (seed{'s' * (len(runs) > 1)} {seeds})", names, rule, notes)


def _of_weights(weights: Path | str, resources: Resources, *, model: str | None, dataset: str | None) -> Predictor:
    from convarium.inference.predict import Predictor
    from convarium.training.scoring import pick_device

    device = str(pick_device(resources.device))
    found = network_in_file(weights, resources.splits, model=model, dataset=dataset, device=device)
    return Predictor((found.trained,), f"the weights in {found.path}", notes=_not_finite(found.trained))


def _not_finite(network: TrainedNetwork) -> tuple[str, ...]:
    return () if network.wrong is None else (f"its answers mean nothing: {network.wrong}",)


def members(store: Store, ensemble: str) -> tuple[list[StoredRun], tuple[str, ...]]:
    """The trained runs of one row of a study, and a sentence for each that is left out.

    Args:
        store: that holds the study.
        ensemble: the study's name, a colon, and what the row is called in its table, such as a network's spec. A study
            of one row needs its name only.

    Raises:
        StoreError: no such study, or none of the row's runs is trained.
        SpecError: no such row.
    """
    name, _, row_name = ensemble.partition(":")
    study = store.study(name)
    from convarium.analysis.comparison.compare import find_row
    from convarium.analysis.comparison.metrics import metric_of
    from convarium.analysis.comparison.rows import gather
    from convarium.analysis.comparison.run_facts import status

    damaged: list[StoreError] = []
    rows = gather(
        store.runs_of(study, files=[WEIGHTS], damaged=damaged),
        study.compare,
        metric_of(study.metric or "test_accuracy"),
    )
    if not rows:
        raise damaged[0] if damaged else StoreError(f"study {name!r} has no finished run yet", hint="train it first")
    if not row_name and len(rows) > 1:
        labels = ", ".join(f"{name}:{row.label}" for row in rows[:5])
        raise ConvariumError(f"the study {name!r} has {len(rows)} rows", hint=f"say which: {labels}")
    row = find_row(rows, study.compare, row_name) if row_name else rows[0]
    notes = [f"left out: {error}" for error in damaged]
    notes += [f"left out: {run.path.name}, which {_ENDED[status(run)]}" for run in row.runs if run not in row.trained]
    if not row.trained:
        raise StoreError(f"none of the {len(row.runs)} runs of {ensemble} is trained: {'; '.join(notes)}")
    return list(row.trained), tuple(notes)


_ENDED = {"at chance": "ended at chance", "diverged": "diverged", "failed": "failed"}


def calibrated(runs: Sequence[StoredRun], coverage: float) -> UnknownRule:
    """When one run or the mean of several answers 'unknown', from their stored predictions.

    These are of the test images, which have selected nothing unless the recipe watched them. Of runs without a test
    split they are of the validation images, if these chose no epoch; whether they chose a learning rate or a network,
    no record tells, and the rule's source says so.

    Raises:
        ConvariumError: the images selected something, their predictions are not stored, or they are too few.
    """
    from convarium.inference.predict import mean_probabilities
    from convarium.inference.unknown import calibrate

    pairs = [_unseen(run) for run in runs]
    labels = pairs[0][1]
    if not all(np.array_equal(labels, other) for _, other in pairs):
        raise ConvariumError("--unknown cannot be calibrated: the runs have other test images", hint="use one run")
    probabilities: Floats = mean_probabilities(logits for logits, _ in pairs)
    return calibrate(probabilities, coverage, source=f"{runs[0].result_split} images")


def _unseen(run: StoredRun) -> tuple[np.ndarray, np.ndarray]:
    """The stored logits and labels of images that selected nothing.

    Raises:
        ConvariumError: there are none; says why.
    """
    cannot, recipe = "--unknown cannot be calibrated", run.recipe
    if recipe.watch_test:
        raise ConvariumError(
            f"{cannot}: {run.path.name} watched its test images while it trained", hint="train without --watch-test"
        )
    if run.result_split == "validation" and recipe.select != "last":
        raise ConvariumError(
            f"{cannot}: the validation images of {run.path.name} chose its epoch", hint="train with --select last"
        )
    pair = run.predictions()
    if pair is None:
        raise ConvariumError(
            f"{cannot}: {run.path.name} has no stored predictions of {run.result_split} images",
            hint="at least 100 are needed",
        )
    return pair
