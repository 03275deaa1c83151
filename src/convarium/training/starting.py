"""Weights that a run starts from: those of a stored run or of a file, with a new last layer where the classes differ.

What decides a run's numbers is the content of the weights, not where they lie: their digest is in the run's key.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from convarium.data.splits import Splits
from convarium.disk import canonical_json, parts_digest
from convarium.errors import ConvariumError, RecipeError, StoreError, WeightsError
from convarium.models.build import build_model, load_architecture
from convarium.models.weight_files import WeightFile, read_weight_file
from convarium.models.weights import fitting_weights, not_finite
from convarium.recipes.recipe import Recipe
from convarium.recipes.starting import describe_start, split_start, with_digest
from convarium.records import ImageSpec
from convarium.runs.model_facts import METADATA, parse_model_facts
from convarium.runs.store import Store
from convarium.runs.stored_run import StoredRun


@dataclass(frozen=True)
class StartWeights:
    """Weights as a network takes them.

    Attributes:
        name: of the run's folder, or of the file as it was given.
        digest: SHA-256, hexadecimal, of the tensors with their names, and of the names of the classes where known.
        tensors: by the network's names, on the CPU, in the network's types.
        new: names of the tensors that are not taken, but drawn from the seed: the last layer, where the classes differ.
    """

    name: str
    digest: str
    tensors: Mapping[str, Tensor] = field(repr=False)
    new: frozenset[str] = frozenset()

    @property
    def field(self) -> str:
        """What stands in a recipe's `start_from`: the name and the digest."""
        return with_digest(self.name, self.digest)


def read_start(recipe: Recipe, splits: Splits, store: Store | None = None) -> StartWeights:
    """Reads the weights that a recipe starts from, and checks that its network takes them.

    Args:
        recipe: its `start_from` names a file, or a run by its folder's name, its path or the beginning of its key.
        splits: of its data set.
        store: in which the run lies; None: only files are looked for.

    Raises:
        WeightsError: the weights are missing, damaged, unsafe or not finite, or do not fit the network.
        RecipeError: their digest is not the one that the recipe names.
        StoreError: there is neither such a file nor such a run, or the run is damaged.
    """
    assert recipe.start_from is not None
    given, digest = split_start(recipe.start_from)
    name, file, classes = _found(given, store)
    image, own_classes = splits.train.spec, tuple(splits.train.class_names)
    network = build_model(recipe.model, image)
    last = _last_layer(recipe.model, image, network)
    where = f"{recipe.model} on images of {image.channels}×{image.height}×{image.width} with {image.classes} classes"
    fitting = fitting_weights(file, network, where, free=last)
    wrong = not_finite(fitting)
    if wrong:
        raise WeightsError(f"{given} cannot be started from: {wrong}", hint="start from other weights")
    own = network.state_dict()
    tensors = {name: fitting[name].to(own[name].dtype).contiguous() for name in own}
    other_classes = classes is not None and classes != own_classes
    is_new = other_classes or any(tensors[name].shape != own[name].shape for name in last)
    start = StartWeights(name, _digest(tensors, classes), tensors, frozenset(last) if is_new else frozenset())
    if digest not in (None, start.digest):
        raise RecipeError(
            f"the weights of {given} have changed",
            expected=f"SHA-256 {digest}",
            received=start.digest,
            hint=f"to start from them as they are, use --start-from {given}",
        )
    return start


def set_start(network: nn.Module, recipe: Recipe, start: StartWeights | None) -> None:
    """Gives a new network the weights that its recipe starts from; a new last layer keeps those of the seed.

    Raises:
        RecipeError: the recipe starts from weights and there are none, or from others.
    """
    if recipe.start_from is None:
        return
    if start is None:
        hint = "pass start=read_start(recipe, splits), see convarium.training"
        raise RecipeError(f"the weights of {describe_start(recipe.start_from)} were not read", hint=hint)
    if split_start(recipe.start_from)[1] not in (None, start.digest):
        raise RecipeError(
            "the weights are not those that the recipe starts from",
            expected=describe_start(recipe.start_from),
            received=describe_start(start.field),
        )
    taken = {name: tensor for name, tensor in start.tensors.items() if name not in start.new}
    network.load_state_dict(network.state_dict() | taken)


def describe_taken(start: StartWeights) -> str:
    """A sentence for people about what a run starts from, and what of its network is new."""
    modules = dict.fromkeys(name.rpartition(".")[0] or name for name in start.tensors if name in start.new)
    text = f"training starts from the weights of {describe_start(start.field)}"
    layers = (
        f"the last layer ({', '.join(modules)}) is" if len(modules) == 1 else f"the layers {', '.join(modules)} are"
    )
    return f"{text}; {layers} new, because the classes differ" if modules else text


def _found(given: str, store: Store | None) -> tuple[str, WeightFile, tuple[str, ...] | None]:
    """What a name stands for: the name to keep, the weights, and the names of the classes where they are known."""
    path = Path(given)
    run = None
    if store is not None and not path.is_file():
        try:
            run = store.run(given)
        except StoreError as error:
            if not error.wrong.startswith("no finished run") or ":" in given:
                raise
            hint = "see convarium list runs, or give the path of a file"
            raise StoreError(f"no weights file and no finished run {given!r}", hint=hint) from error
    if run is None:
        file = read_weight_file(path)
        return given, file, _classes_in(file)
    tensors = run.weights()
    if tensors is None:
        hint = "it is a record without weights" if run.outcome.status == "finished" else f"it {run.outcome.status}"
        raise WeightsError(f"{run.path} holds no weights", hint=hint)
    assert store is not None
    name = run.path.name if run.path.parent == store.root / "runs" else given
    return name, WeightFile(run.path, {"": tensors}, {}), _classes_of(run)


def _classes_of(run: StoredRun) -> tuple[str, ...] | None:
    preprocessing = run.preprocessing()
    if preprocessing is not None:
        return preprocessing.class_names
    scores = run.outcome.test or run.outcome.validation or run.outcome.train
    return None if scores is None else tuple(scores.per_class)


def _classes_in(file: WeightFile) -> tuple[str, ...] | None:
    """The names of the classes in the metadata that Convarium writes beside weights; None in a file of others."""
    if METADATA not in file.metadata:
        return None
    try:
        facts = parse_model_facts(file.metadata[METADATA], str(file.path))
    except (ValueError, ConvariumError) as error:
        raise WeightsError(f"the metadata of {file.path} are damaged: {error}", hint="copy the file again") from error
    return tuple(facts["preprocessing"]["class_names"])


def _last_layer(model: str, image: ImageSpec, network: nn.Module) -> dict[str, tuple[int | None, ...]]:
    """The shapes of the tensors of those layers whose shape depends on the number of classes, which stands as None.

    They are found by building the network for one class more.
    """
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            other = load_architecture(model).build(dataclasses.replace(image, classes=image.classes + 1)).state_dict()
    except Exception:  # a user's own network may know one number of classes alone
        return {}
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    depending = {n.rpartition(".")[0] for n, shape in own.items() if n in other and tuple(other[n].shape) != shape}
    return {
        name: tuple(None if a != b else a for a, b in zip(shape, other[name].shape, strict=True))
        for name, shape in own.items()
        if name.rpartition(".")[0] in depending and name in other and len(other[name].shape) == len(shape)
    }


def _digest(tensors: Mapping[str, Tensor], classes: Sequence[str] | None) -> str:
    """The digest of weights: of names, types, shapes and bytes of the tensors in the order of their names, and of the
    classes, because these decide whether the last layer is new. Keys of stored runs cover it.
    """
    names = sorted(tensors)
    forms = [[name, str(tensors[name].dtype), list(tensors[name].shape)] for name in names]
    head = canonical_json([None if classes is None else list(classes), forms]).encode()
    return parts_digest([head, *(tensors[name].reshape(-1).view(torch.uint8).numpy().data for name in names)])
