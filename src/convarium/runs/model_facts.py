"""`model.json`: what using a trained network takes, beside its weights, whose metadata hold the same without paths.

model           the network's spec
run             the key of the run; null in files that were exported from weights of others
dataset         the name of the data set in the recipe
data_path       where a user's own images lay, as an absolute path; null for published ones
data_license    the terms of the published images; null where they are not known
preprocessing   the fields of `records.Preprocessing`, and `filter`, Pillow's name of the way images are resized
accuracy        `value`, the 95 % interval over images from `low` to `high`, the `n` images of the `split`, and whether
                the run ended `at_chance` (null: its images are too few to tell; older files do not say); or null
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, get_args

from convarium.data.folder_options import Fit, is_own, own_name
from convarium.disk import parse_json, read_json, usable_path
from convarium.intervals import accuracy_interval
from convarium.recipes.recipe import Recipe
from convarium.records import Outcome, Preprocessing
from convarium.runs.checked_values import UnknownFieldError, is_count, is_text
from convarium.runs.seal import RECIPE
from convarium.runs.sealed_files import LIMIT

METADATA = "convarium"
"""The name of the text in the metadata of `weights.safetensors`, whose values are texts."""

FILTER = "BILINEAR"
_FIELDS = frozenset({"model", "run", "dataset", "data_path", "data_license", "preprocessing", "accuracy"})
_ACCURACY = frozenset({"split", "value", "low", "high", "n", "at_chance"})
_SIDE = 2**15
_WHITE = 2**16
_LARGEST = 1e300


def model_facts(path: Path, outcome: Outcome, preprocessing: Preprocessing) -> dict[str, Any]:
    """What `model.json` says, as plain values.

    Args:
        path: the run's folder, in which its recipe lies.
        outcome: how the run ended.
        preprocessing: how images become the network's input.
    """
    recipe = read_json(path / RECIPE, LIMIT)
    return _facts(recipe["model"], recipe["dataset"], preprocessing, run=recipe["key"], accuracy=_accuracy(outcome))


def facts_of_weights(recipe: Recipe, preprocessing: Preprocessing) -> dict[str, Any]:
    """The same for weights that no run has left, so that their accuracy is not known.

    Args:
        recipe: of their source, as far as it is known.
        preprocessing: how images become the network's input.
    """
    return _facts(recipe.model, recipe.dataset, preprocessing, run=None, accuracy=None)


def without_paths(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What is passed on with a network, inside its weights or an exported file: no folder of this machine is named."""
    dataset = facts["dataset"]
    if is_own(dataset):
        dataset = f"{dataset.partition(':')[0]}:{PurePath(own_name(dataset)).name}"
    return {**facts, "dataset": dataset, "data_path": None}


def parse_model_facts(text: str, source: str) -> dict[str, Any]:
    """Reads what `model_facts` gave and JSON has kept; every value that is used is checked.

    Raises:
        FileContentError: it is no JSON; names `source`.
        UnknownFieldError: a field that this version does not know.
        ValueError: says which field is missing, or has a value that it cannot have.
    """
    facts = parse_json(text, source)
    if type(facts) is not dict:
        raise ValueError("it does not describe a trained network")
    if facts.keys() - _FIELDS:
        raise UnknownFieldError(f"it has an unknown field {min(facts.keys() - _FIELDS)[:40]!r}")
    if _FIELDS - facts.keys():
        raise ValueError(f"it has no {min(_FIELDS - facts.keys())}")
    for name in ("model", "dataset"):
        if not is_text(facts[name]):
            raise ValueError(f"{name} is not a text")
    for name in ("run", "data_path", "data_license"):
        if not (facts[name] is None or is_text(facts[name])):
            raise ValueError(f"{name} is not a text")
    accuracy = facts["accuracy"]
    if type(accuracy) is dict and accuracy.keys() - _ACCURACY:
        raise UnknownFieldError(f"its accuracy has an unknown field {min(accuracy.keys() - _ACCURACY)[:40]!r}")
    if accuracy is not None and not (
        type(accuracy) is dict
        and accuracy.keys() | {"at_chance"} == _ACCURACY
        and all(_is_number(accuracy[name], 0, 1) for name in ("value", "low", "high"))
        and is_count(accuracy["n"])
        and is_text(accuracy["split"])
        and (accuracy.get("at_chance") is None or type(accuracy["at_chance"]) is bool)
    ):
        raise ValueError("accuracy is not one with its interval")
    preprocessing_from_json(facts["preprocessing"])
    return facts


def preprocessing_from_json(values: Any) -> Preprocessing:
    """The record of which `values` are the fields; each is checked by its type and its range.

    Raises:
        UnknownFieldError: a field, or a rule, that this version does not know.
        ValueError: says which field is missing, or has a value that it cannot have.
    """
    names = {field.name for field in dataclasses.fields(Preprocessing)} | {"filter"}
    if type(values) is not dict:
        raise ValueError("preprocessing is not a record")
    if values.keys() - names:
        raise UnknownFieldError(f"it has an unknown field {min(values.keys() - names)[:40]!r}")
    if names - values.keys():
        raise ValueError(f"preprocessing has no {min(names - values.keys())}")
    classes, channels, ground, white = (values[name] for name in ("class_names", "channels", "ground", "white"))
    mean, std, resize = values["mean"], values["std"], values["resize"]
    for name, known in (("filter", (FILTER,)), ("fit", get_args(Fit))):
        if values[name] not in known:
            raise UnknownFieldError(f"{name} cannot be {str(values[name])[:40]!r}")
    wrong = {
        "class_names": not (type(classes) is list and classes and all(map(is_text, classes))),
        "channels": type(channels) is not int or channels not in (1, 3),
        "height": not _is_from_1(values["height"], _SIDE),
        "width": not _is_from_1(values["width"], _SIDE),
        "ground": not (type(ground) is list and len(ground) == 3 and all(is_count(v) and v <= 255 for v in ground)),
        "white": not (white is None or _is_from_1(white, _WHITE)),
        "resize": not (resize is None or _is_from_1(resize, _SIDE)),
        "mean": not (
            type(mean) is list and len(mean) in (1, channels) and all(_is_number(v, -_LARGEST, _LARGEST) for v in mean)
        ),
        "std": not (
            type(std) is list and len(std) in (1, channels) and all(_is_number(v, 0, _LARGEST) and v > 0 for v in std)
        ),
    }
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise ValueError(f"{name} cannot be {str(values[name])[:40]}")
    red, green, blue = ground
    return Preprocessing(
        class_names=tuple(classes),
        channels=channels,
        height=values["height"],
        width=values["width"],
        fit=values["fit"],
        ground=(red, green, blue),
        white=white,
        resize=resize,
        mean=tuple(map(float, mean)),
        std=tuple(map(float, std)),
    )


def _facts(
    model: str, dataset: str, preprocessing: Preprocessing, *, run: str | None, accuracy: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        "model": model,
        "run": run,
        "dataset": dataset,
        "data_path": _absolute(dataset),
        "data_license": _license(dataset),
        "preprocessing": dataclasses.asdict(preprocessing) | {"filter": FILTER},
        "accuracy": accuracy,
    }


def _is_from_1(value: object, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def _absolute(dataset: str) -> str | None:
    if not is_own(dataset):
        return None
    path = usable_path(own_name(dataset), "dataset").absolute()
    return str(path).encode("utf-8", "backslashreplace").decode()  # a file system may have names that JSON has not


def _license(dataset: str) -> str | None:
    from convarium.data.published import DATASETS  # with the digests of all their files

    return DATASETS[dataset].licence if dataset in DATASETS else None


def _accuracy(outcome: Outcome) -> dict[str, Any] | None:
    """The accuracy on the test images; where there are none, on those for validation."""
    split, scores = ("test", outcome.test) if outcome.test else ("validation", outcome.validation)
    if scores is None:
        return None
    interval = accuracy_interval(scores.accuracy, scores.n)
    return {
        "split": split, "value": scores.accuracy, "low": interval.low, "high": interval.high, "n": scores.n,
        "at_chance": outcome.is_at_chance,
    }  # fmt: skip
