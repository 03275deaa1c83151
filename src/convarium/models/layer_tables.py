"""Networks layer by layer as JSON: what a run writes down of its network, and what is known without building one."""

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any

from convarium.models.index import resolve
from convarium.records import Description, ImageSpec, Layer

LAYERS = Path(__file__).with_name("layer_tables.json")
"""Written by `python -m convarium.models.index`: the networks of stored runs that are older than `network.json`, and
those whose FLOPs a claim compares.
"""


def description_to_json(description: Description) -> dict[str, Any]:
    """A description as plain values; a layer without children has no `children`."""
    facts = {f.name: getattr(description, f.name) for f in dataclasses.fields(description)}
    return facts | {"image": dataclasses.asdict(description.image), "root": _layer_to_json(description.root)}


def description_from_json(values: dict[str, Any]) -> Description:
    """The description that `description_to_json` wrote.

    Raises:
        KeyError, TypeError: it is damaged.
    """
    return Description(**values | {"image": ImageSpec(**values["image"]), "root": _layer_from_json(values["root"])})


def known_description(model: str, image: ImageSpec) -> Description | None:
    """The description of a network as it is known without building it; None where it is not.

    Raises:
        SpecError: the spec is wrong.
    """
    resolved = resolve(model)
    values = _known().get(layers_key(resolved.canonical, image))
    if values is None:
        return None
    preset = resolved.preset
    facts = {"model": model, "source": preset and preset.source, "note": (preset and preset.note) or None}
    return description_from_json(values | facts)


def layers_key(canonical: str, image: ImageSpec) -> str:
    """The name of a network and its images in `layer_tables.json`."""
    return f"{canonical} {image.channels}x{image.height}x{image.width} {image.classes}"


def short_count(number: float) -> str:
    """A count in three digits: "12.3 M" for 12,345,678."""
    value, rounded = float(number), float(f"{number:.3g}")  # rounded first, so that 999,999 is 1 M
    for suffix in ("", " k", " M", " G"):
        if abs(rounded) < 1000:
            return f"{value:.3g}{suffix}"
        value, rounded = value / 1000, rounded / 1000
    return f"{value:.3g} T"


@cache
def _known() -> dict[str, dict[str, Any]]:
    known: dict[str, dict[str, Any]] = json.loads(LAYERS.read_text("utf-8"))
    return known


def _layer_to_json(layer: Layer) -> dict[str, Any]:
    facts = {f.name: getattr(layer, f.name) for f in dataclasses.fields(layer) if f.name != "children"}
    return facts | ({"children": list(map(_layer_to_json, layer.children))} if layer.children else {})


def _layer_from_json(values: dict[str, Any]) -> Layer:
    shape = values["output_shape"]
    children = tuple(map(_layer_from_json, values.get("children", ())))
    return Layer(**values | {"output_shape": shape if shape is None else tuple(shape), "children": children})
