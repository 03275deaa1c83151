"""What `Workspace.evaluate` does: finds the network, its images and their preprocessing, and scores it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Literal

from convarium.disk import usable_path
from convarium.errors import ConvariumError
from convarium.models.index import resolve
from convarium.runs.same_images import check_same_images, has_images, recipe_of_images
from convarium.workspace.arguments import source_recipe

if TYPE_CHECKING:
    from torch import nn

    from convarium.inference import TrainedNetwork
    from convarium.records import Scores
    from convarium.runs.store import StoredRun
    from convarium.workspace.workspace import Workspace

Split = Literal["test", "validation", "train"]
OnNote = Callable[[str], None]
ScoreNew = Callable[["TrainedNetwork"], "Scores"]
"""Scores a network on the images that are new to it, with its own preprocessing and order of classes."""


def evaluate(
    workspace: Workspace,
    run: str | None,
    *,
    weights: Path | str | None,
    model: str | None,
    dataset: str | None,
    split: Split | None,
    skip_broken: bool,
    on_note: OnNote | None,
    on_event: Callable[[str, int, int], None] | None,
) -> Scores:
    """See `Workspace.evaluate`."""
    on_note = on_note or (lambda _: None)
    if (run is None) == (weights is None):
        raise ConvariumError("evaluate takes either run, or weights with model and dataset")
    stored = None if run is None else workspace.find_run(run)
    if stored is not None and dataset is None:
        chosen: Split = split or stored.result_split
        return _of_its_own_images(workspace, stored, model=model, split=chosen, on_note=on_note)
    split = split or "test"

    def score_new(trained: TrainedNetwork) -> Scores:
        from convarium.inference.new_data import score_new_images

        _note_not_finite(trained.network, on_note)
        return score_new_images(
            trained,
            str(dataset),
            split=split,
            data_dir=workspace.data_dir,
            skip_broken=skip_broken,
            on_note=on_note,
            on_event=on_event,
        )

    if stored is not None:
        return _of_new_images(workspace, stored, str(dataset), model=model, score_new=score_new, on_note=on_note)
    path = usable_path(str(weights), "weights")
    return _of_weights(workspace, path, dataset, model=model, split=split, score_new=score_new, on_note=on_note)


def _of_its_own_images(
    workspace: Workspace, run: StoredRun, *, model: str | None, split: Split, on_note: OnNote
) -> Scores:
    from convarium.inference.loading import import_network_of
    from convarium.models.build import build_model
    from convarium.models.weights import set_weights
    from convarium.training import evaluate as evaluate_network

    import_network_of(run, named=model)
    tensors = run.weights()
    if tensors is None:
        raise ConvariumError(f"{run.path} holds no weights", hint="it may be a record without weights")
    splits = workspace.splits(recipe_of_images(run))
    check_same_images(run, splits)
    network = build_model(run.recipe.model, splits.train.spec)
    set_weights(network, tensors)
    _note_not_finite(network, on_note)
    on_note(f"the images are preprocessed as in the training of {run.path.name}")
    return evaluate_network(network, run.recipe, splits, split=split, device=workspace.device)


def _of_new_images(
    workspace: Workspace,
    run: StoredRun,
    dataset: str,
    *,
    model: str | None,
    score_new: ScoreNew,
    on_note: OnNote,
) -> Scores:
    from convarium.data.folder_options import is_own
    from convarium.data.own_images import own_path
    from convarium.inference.loading import load_trained
    from convarium.training.scoring import pick_device

    trained = load_trained(run, named=model, device=str(pick_device(workspace.device)))
    on_note(_as_in_training(run.path.name))
    facts = run.model_facts()
    if facts and is_own(dataset) and facts["data_path"] == str(own_path(dataset).absolute()):
        on_note("these are the run's own files: images that it has learned from may be among those that are scored")
        return score_new(trained)
    scores = score_new(trained)
    if not is_own(dataset) or not is_own(run.recipe.dataset):
        return scores
    if _are_its_images(workspace, run, dataset, scores.n):
        on_note("these are the images that the run was made with, in another place: it has learned from some of them")
    elif facts and facts["data_path"] and _may_be_from(facts["data_path"], dataset):
        on_note(f"the images that the run was made with lay in {facts['data_path']}: {_IF_FROM_THERE}")
    return scores


_IF_FROM_THERE = "if these are from there, it has learned from some of them"


def _may_be_from(place: str, dataset: str) -> bool:
    """Whether a user's own images may be those that lay in another place: under the same name, or it is gone."""
    from convarium.data.own_images import own_path

    return own_path(dataset).name == PurePath(place).name or not Path(place).exists()


def _are_its_images(workspace: Workspace, run: StoredRun, dataset: str, n: int) -> bool:
    """Whether a folder in another place, of which n images were scored, has those that a run was made with.

    Where the network is a user's own it is not known, and the answer is no.
    """
    if resolve(run.recipe.model).is_custom:
        return False
    outcome = run.outcome
    of_parts = [0 if part is None else part.n for part in (outcome.train, outcome.validation, outcome.test)]
    if n not in (*of_parts, sum(of_parts)):  # then they need not be read again
        return False
    with suppress(ConvariumError):  # images that cannot be divided as the run's were are others
        return has_images(run, workspace.splits(dataclasses.replace(run.recipe, dataset=dataset)).digest)
    return False


def _of_weights(
    workspace: Workspace,
    path: Path,
    dataset: str | None,
    *,
    model: str | None,
    split: Split,
    score_new: ScoreNew,
    on_note: OnNote,
) -> Scores:
    from convarium.data.folder_options import is_own, own_name
    from convarium.data.own_images import own_path
    from convarium.inference.loading import load_trained_weights
    from convarium.models.weight_files import read_weight_file
    from convarium.models.weights import load_weights
    from convarium.runs.model_facts import METADATA, parse_model_facts
    from convarium.training import evaluate as evaluate_network
    from convarium.training.scoring import pick_device

    trained = None
    if dataset is not None:
        trained = load_trained_weights(path, named=model, device=str(pick_device(workspace.device)))
    if trained is not None:
        on_note(_as_in_training(f"{path.parent.name}/{path.name}"))
        name = parse_model_facts(read_weight_file(path).metadata[METADATA], "its text")["dataset"]
        if is_own(str(dataset)) and is_own(name) and own_path(str(dataset)).name == own_name(name):
            on_note(f"the weights were trained on images in {own_name(name)!r}: {_IF_FROM_THERE}")
        return score_new(trained)
    if dataset is None or model is None:
        raise ConvariumError(
            "evaluate needs model and dataset beside weights", hint="name the network the weights belong to"
        )
    recipe = source_recipe(model, dataset)
    splits = workspace.splits(recipe)
    network = load_weights(path, recipe.model, splits.train.spec)
    _note_not_finite(network, on_note)
    how = f"mean and deviation of {dataset}" if recipe.normalize == "dataset" else f"normalize={recipe.normalize!r}"
    on_note(f"the images are preprocessed with {how}: the weights do not say with which they were trained")
    return evaluate_network(network, recipe, splits, split=split, device=workspace.device)


def _as_in_training(name: str) -> str:
    return f"the images are preprocessed as in the training of {name}: its size, mean, deviation and order of classes"


def _note_not_finite(network: nn.Module, on_note: OnNote) -> None:
    from convarium.models.weights import not_finite

    wrong = not_finite(network.state_dict())
    if wrong is not None:
        on_note(f"these scores mean nothing: {wrong}")
