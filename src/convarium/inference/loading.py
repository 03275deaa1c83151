"""Makes a trained network of a stored run, or of a file of weights that says how images are preprocessed."""

import os

from torch import Tensor

from convarium.errors import ConvariumError, FileContentError, SpecError, WeightsError
from convarium.inference.trained import TrainedNetwork
from convarium.models.build import build_model
from convarium.models.factories import load_recorded_factory
from convarium.models.index import resolve
from convarium.models.weight_files import read_weight_file
from convarium.models.weights import fitting_weights, set_weights
from convarium.recipes.recipe import Recipe
from convarium.records import Preprocessing
from convarium.runs.model_facts import METADATA, parse_model_facts, preprocessing_from_json
from convarium.runs.stored_run import StoredRun
from convarium.training.numerics import set_memory_format
from convarium.training.scoring import pick_device


def load_trained(run: StoredRun, *, named: str | None = None, device: str | None = None) -> TrainedNetwork:
    """The network of a stored run with its weights and its preprocessing; its data set is not needed.

    Args:
        run: the stored run.
        named: the network's spec, if the caller gives it, see `import_network_of`.
        device: where to compute; None: the CPU.

    Raises:
        ConvariumError: the run has no weights, or an older Convarium has not recorded its preprocessing.
        SpecError: its network is a user's own and may not be imported.
        StoreError: a file of the run is damaged.
    """
    tensors, preprocessing = run.weights(), run.preprocessing()
    if tensors is None:
        raise ConvariumError(f"{run.path} holds no weights", hint="it may be a record without weights")
    if preprocessing is None:
        raise ConvariumError(
            f"{run.path} does not say how images are preprocessed: an older Convarium made it",
            hint="remove it and train it again; evaluate still scores it on its own images",
        )
    import_network_of(run, named=named)
    return assemble(run.recipe, tensors, preprocessing, device=device or "cpu", is_known_to_fit=True)


def assemble(
    recipe: Recipe,
    tensors: dict[str, Tensor],
    preprocessing: Preprocessing,
    *,
    device: str,
    is_known_to_fit: bool = False,
) -> TrainedNetwork:
    """Builds the network of a recipe with these weights, in the memory format in which its run was scored.

    Args:
        recipe: names the network.
        tensors: the weights.
        preprocessing: of the images that it takes.
        device: where to compute.
        is_known_to_fit: as for `build_model`.

    Raises:
        WeightsError: the weights do not fit the network.
    """
    chosen = pick_device(device)
    network = build_model(recipe.model, preprocessing.image, is_known_to_fit=is_known_to_fit)
    set_weights(network, tensors)
    set_memory_format(network.to(chosen), recipe, chosen)
    return TrainedNetwork(network, preprocessing)


def load_trained_weights(
    path: str | os.PathLike[str], *, named: str | None = None, device: str | None = None
) -> TrainedNetwork | None:
    """The network of a file of weights that says in its metadata how images are preprocessed, as those of runs do.

    Args:
        path: of a file that `read_weight_file` reads.
        named: the network's spec, if the caller gives it; needed for a user's own network, since a file could name any.
        device: where to compute; None: the CPU.

    Returns:
        The network; None where the file has no such metadata.

    Raises:
        WeightsError: the file or its metadata are damaged, or the weights do not fit the network.
        SpecError: the caller names another network; or none, and it is a user's own.
    """
    file = read_weight_file(path)
    if METADATA not in file.metadata:
        return None
    try:
        facts = parse_model_facts(file.metadata[METADATA], "its text")
        preprocessing = preprocessing_from_json(facts["preprocessing"])
    except (FileContentError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"the metadata of {file.path} cannot be read: {error}", hint="save the weights anew"
        ) from error
    model = facts["model"]
    if named is None and resolve(model).is_custom:
        raise SpecError(f"{file.path} belongs to {model}, code of which none was run", hint=f"add --model {model!r}")
    if named is not None and resolve(named).canonical != resolve(model).canonical:
        raise SpecError(f"{file.path} belongs to {model}, not to {named}", hint="leave out --model")
    network = build_model(model, preprocessing.image)
    return assemble(Recipe(model=model), fitting_weights(file, network, model), preprocessing, device=device or "cpu")


def import_network_of(run: StoredRun, *, named: str | None) -> None:
    """Imports the network of a stored run, if it is the user's own, under the rules of `load_recorded_factory`.

    Args:
        run: the stored run.
        named: the network's spec, if the caller gives it: it is then imported from wherever it lies.

    Raises:
        SpecError: the caller names another network; or names none, and the run's may not be imported.
    """
    model = run.recipe.model
    if named is None:
        load_recorded_factory(model, digest=run.source)
    elif resolve(named).canonical != resolve(model).canonical:
        raise SpecError(f"the run's network is {model}, not {named}", hint="leave out --model")
