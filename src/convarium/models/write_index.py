"""Generates the zoo's index from the code: `python -m convarium.models.index`."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convarium.models.cost import count_parameters
from convarium.models.describe import describe
from convarium.models.factories import declared_options
from convarium.models.index import native_image, resolve
from convarium.models.layer_tables import LAYERS, description_to_json, layers_key
from convarium.models.options import Option, check_options, type_text
from convarium.models.zoo import MODELS, PRESETS
from convarium.models.zoo.layers import ACTIVATIONS
from convarium.records import ImageSpec
from convarium.spec import parse

_RECORDED = (
    "lenet@d2l",
    "memory_mlp@memory-blog",
    "residual_mlp@memory-blog",
    *(f"mnist_resnet(activation={activation!r})" for activation in ("relu", "sigmoid", "tanh")),
    "mnist_resnet(residual=False)",
    *(f"residual_cnn(blocks={blocks}, residual={residual})" for blocks in (1, 4) for residual in (True, False)),
)
"""The networks of those stored runs that are older than `network.json`."""
_COMPARED = ("alexnet@d2l",)
"""Other networks whose FLOPs a claim compares."""


def write_index(path: Path) -> None:
    """Writes `index.json` from the networks, presets and activations of the zoo, and `layer_tables.json` beside it."""
    path.write_text(index_text(), encoding="utf-8")
    LAYERS.write_text(layers_text(), encoding="utf-8")


def layers_text() -> str:
    """The content of `layer_tables.json`, one network a line."""
    entries = {}
    for model in (*_RECORDED, *_COMPARED):
        image = native_image(model)
        values = description_to_json(describe(model, image))
        facts = {name: values[name] for name in ("image", "root", "citation", "summary")}
        entries[layers_key(resolve(model).canonical, image)] = facts
    return f"{{\n{_lines(entries)}\n}}\n"


def index_text() -> str:
    """The content of `index.json`, one network or preset a line."""
    networks = {name: _network(name, factory) for name, factory in MODELS.items()}
    presets = {label: _preset(label) for label in PRESETS}
    activations = {name: activation.gain for name, activation in ACTIVATIONS.items()}
    parts = [f'"{part}": {{\n{_lines(entries)}\n}}' for part, entries in (("networks", networks), ("presets", presets))]
    return "{\n" + ",\n".join([*parts, f'"activations": {json.dumps(activations)}']) + "\n}\n"


def _lines(entries: dict[str, dict[str, Any]]) -> str:
    return ",\n".join(f"{json.dumps(name)}: {json.dumps(entry, ensure_ascii=False)}" for name, entry in entries.items())


def _network(name: str, factory: Callable[..., nn.Module]) -> dict[str, Any]:
    module = inspect.getmodule(factory)
    citation = inspect.cleandoc(module.__doc__ or "").partition("\n\n")[0] if module else ""
    options = declared_options(factory)
    # The networks that a source shows on digits or clothes of 28 pixels; the others are made for CIFAR's images.
    small = {parse(preset.model).name for preset in PRESETS.values() if preset.image.height == 28}
    image = ImageSpec(1, 28, 28, 10) if name in small else ImageSpec(3, 32, 32, 10)
    return {
        "summary": inspect.cleandoc(factory.__doc__ or "").partition("\n")[0],
        "citation": " ".join(citation.split()),
        "image": _sizes(image),
        "parameters": _count(name, {}, image),
        "options": {option: {"type": type_text(o.type), "default": o.default} for option, o in options.items()},
    }


def _preset(label: str) -> dict[str, Any]:
    preset = PRESETS[label]
    base = parse(preset.model)
    return {
        "model": preset.model,
        "source": preset.source,
        "note": preset.note,
        "image": _sizes(preset.image),
        "parameters": _count(base.name, dict(base.options), preset.image),
    }


def _count(name: str, given: dict[str, Any], image: ImageSpec) -> int:
    options: dict[str, Option] = declared_options(MODELS[name])
    values = check_options(name, options, given, activations=ACTIVATIONS)
    with torch.device("meta"):
        return count_parameters(MODELS[name](image, **values | {"activation": ACTIVATIONS[values["activation"]]}))


def _sizes(image: ImageSpec) -> list[int]:
    return [image.channels, image.height, image.width, image.classes]
