"""The zoo's index: every network and preset with its options, images and parameter count, without PyTorch.

Specs are checked against this index, so that reading a recipe, listing networks or drawing a report imports no network.
It is read from `index.json`, which is generated from the code; after a change of the zoo write it anew with

    python -m convarium.models.index
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convarium.errors import SpecError
from convarium.models.options import Option, check_options, parse_type
from convarium.records import ImageSpec, Preset
from convarium.spec import Spec, parse, unknown

__all__ = ["ACTIVATION_GAINS", "ADDED_OPTIONS", "NETWORKS", "PARAMETERS", "PRESETS", "Network", "Resolved", "resolve"]

INDEX = Path(__file__).with_name("index.json")

ADDED_OPTIONS: dict[str, tuple[str, ...]] = {
    "residual_cnn": ("blocks",),
    "densenet": ("classifier_bias",),
    "preact_resnet": ("classifier_bias",),
    "residual_variant": ("classifier_bias",),
}
"""Options that a network has gained since version 0.1.

A run's key leaves them out at their default, so that the keys of stored runs never change.
"""


@dataclass(frozen=True)
class Network:
    """A network of the zoo, as its file describes it.

    Attributes:
        summary: the first line of its docstring.
        citation: the first paragraph of its file.
        options: by name, in the order of its signature.
        image: the images that it is described and counted on unless others are named.
    """

    summary: str
    citation: str
    options: Mapping[str, Option]
    image: ImageSpec


@dataclass(frozen=True)
class Resolved:
    """A model spec with every option that decides the network.

    Attributes:
        name: of the network, or `package.module:factory`.
        options: of a network of the zoo every option with its value; of a user's own those that the spec gives, since
            the others are known only once its module has been imported (`convarium.models.build`).
        preset: the preset that the spec names, if it does.
    """

    name: str
    options: Mapping[str, Any]
    preset: Preset | None = None

    @property
    def canonical(self) -> str:
        """The plain spec with these options written out: equal for two texts that mean the same network."""
        return str(Spec(self.name, options=self.options))

    @property
    def key_spec(self) -> str:
        """`canonical` as a run's key has it: without the options in `ADDED_OPTIONS` that have their default."""
        defaults = {name: NETWORKS[self.name].options[name].default for name in ADDED_OPTIONS.get(self.name, ())}
        counted = {n: v for n, v in self.options.items() if n not in defaults or v != defaults[n]}
        return str(Spec(self.name, options=counted))

    @property
    def is_custom(self) -> bool:
        """Whether this is a user's own `package.module:factory`."""
        return ":" in self.name


def resolve(model: str) -> Resolved:
    """Reads a model spec: a plain name, a preset, or `package.module:factory`, each with options.

    Options beside a preset replace the preset's own: "resnet@uva(activation='gelu')". Nothing is imported; the options
    of a user's factory are checked when it is built.

    Raises:
        SpecError: no such network, preset, option or activation, or a value that the option does not take.
    """
    spec = parse(model)
    if spec.args:
        raise SpecError(f"{model!r} has an option without a name", hint=f"write {spec.label}(option=value)")
    if spec.tag is not None:
        if spec.label not in PRESETS:
            raise unknown("preset", spec.label, PRESETS, hint="(convarium list presets)")
        preset = PRESETS[spec.label]
        base = parse(preset.model)
        return Resolved(base.name, _with_defaults(base.name, {**base.options, **spec.options}), preset)
    if ":" in spec.name:
        return Resolved(spec.name, dict(spec.options))
    if spec.name not in NETWORKS:
        presets = [label for label in PRESETS if label.startswith(f"{spec.name}@")]
        raise unknown("model", spec.name, [*NETWORKS, *presets], hint="(convarium list models)")
    return Resolved(spec.name, _with_defaults(spec.name, spec.options))


def native_image(model: str) -> ImageSpec:
    """The images that a preset was made for; of a plain network, those on which it is described and counted.

    Raises:
        SpecError: the spec is wrong.
    """
    resolved = resolve(model)
    if resolved.preset is not None:
        return resolved.preset.image
    return CUSTOM_IMAGE if resolved.is_custom else NETWORKS[resolved.name].image


CUSTOM_IMAGE = ImageSpec(1, 28, 28, 10)
"""The images on which a user's own network is described unless others are named."""


def _with_defaults(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return check_options(name, NETWORKS[name].options, given, activations=ACTIVATION_GAINS)


def _network(values: dict[str, Any]) -> Network:
    options = {name: Option(parse_type(o["type"]), o["default"]) for name, o in values["options"].items()}
    return Network(values["summary"], values["citation"], options, ImageSpec(*values["image"]))


def _preset(values: dict[str, Any]) -> Preset:
    return Preset(values["model"], ImageSpec(*values["image"]), values["source"], values["note"])


_CONTENT: dict[str, Any] = json.loads(INDEX.read_text("utf-8"))

NETWORKS: dict[str, Network] = {name: _network(values) for name, values in _CONTENT["networks"].items()}
"""The networks of the zoo by name."""

PRESETS: dict[str, Preset] = {label: _preset(values) for label, values in _CONTENT["presets"].items()}
"""Networks exactly as a source has them, by `name@source`."""

PARAMETERS: dict[str, int] = {
    name: values["parameters"] for kind in ("networks", "presets") for name, values in _CONTENT[kind].items()
}
"""Trainable numbers of every network and preset, with its default options on its own images (`native_image`)."""

ACTIVATION_GAINS: dict[str, float] = _CONTENT["activations"]
"""The activation functions, each with the gain that the layers before it want at initialization."""


if __name__ == "__main__":
    from convarium.models.write_index import write_index

    write_index(INDEX)
