"""A trained network from a file of weights: Convarium's own, or one that others have made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from convarium.disk import usable_path
from convarium.errors import ConvariumError
from convarium.workspace.arguments import source_recipe

if TYPE_CHECKING:
    from convarium.data.splits import Splits
    from convarium.inference.trained import TrainedNetwork
    from convarium.recipes.recipe import Recipe


class NetworkInFile(NamedTuple):
    """A network from a file of weights.

    Attributes:
        path: of the file.
        trained: the network with its preprocessing.
        facts: what `model.json` of a run says; of a file of others without the run and its accuracy.
        splits: the data set that the caller names for its preprocessing; None: the file says it itself.
    """

    path: Path
    trained: TrainedNetwork
    facts: dict[str, Any]
    splits: Splits | None


def network_in_file(
    weights: Path | str,
    splits_of: Callable[[Recipe], Splits],
    *,
    model: str | None,
    dataset: str | None,
    device: str = "cpu",
) -> NetworkInFile:
    """Reads a network from a file. Convarium's own files say to which network they belong, and its preprocessing.

    Args:
        weights: the file, or "FILE:NAME" for one of several state dicts in it.
        splits_of: reads the data set of a recipe.
        model: the network; of a file of Convarium only needed if it is a user's own.
        dataset: the images that a file of others was trained on, which give size, mean, deviation and classes; a preset
            network of this data set brings its source's preprocessing.
        device: where to compute.

    Raises:
        ConvariumError: a file of others without model or dataset, or one of Convarium with a dataset.
        WeightsError: the file is missing, damaged or unsafe, or does not fit the network.
    """
    from convarium.data.preprocessing import preprocessing_of
    from convarium.inference.loading import assemble, load_trained_weights
    from convarium.models.weight_files import read_weight_file
    from convarium.models.weights import load_weights
    from convarium.runs.model_facts import METADATA, facts_of_weights, parse_model_facts

    path = usable_path(weights, "weights")
    trained = load_trained_weights(path, named=model, device=device)
    if trained is not None:
        if dataset is not None:
            wrong = f"{path} says itself how its images are preprocessed"
            raise ConvariumError(wrong, hint="leave out --dataset")
        facts = parse_model_facts(read_weight_file(path).metadata[METADATA], "its text")
        return NetworkInFile(path, trained, facts, None)
    if model is None or dataset is None:
        raise ConvariumError(
            f"{path} does not say how images are preprocessed and which classes there are",
            hint="add --model, the network it belongs to, and --dataset, the images it was trained on",
        )
    recipe = source_recipe(model, dataset)
    splits = splits_of(recipe)
    preprocessing = preprocessing_of(splits, recipe.normalize)
    state = load_weights(path, recipe.model, preprocessing.image).state_dict()
    trained = assemble(recipe, state, preprocessing, device=device)
    return NetworkInFile(path, trained, facts_of_weights(recipe, preprocessing), splits)
