"""From a model spec to a network: every option made definite, every weight drawn from a seed."""

import hashlib
import importlib
import inspect
import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal

import torch
from torch import nn

from convarium.errors import ImageSizeError, SpecError
from convarium.models import MODELS, PRESETS, Factory
from convarium.models.layers import ACTIVATIONS, Activation, output_shape
from convarium.records import ImageSpec, Preset
from convarium.spec import Spec, parse, unknown


@dataclass(frozen=True)
class Resolved:
    """A model spec made definite: which factory, which activation, and every option with its value."""

    name: str
    factory: Factory
    options: Mapping[str, Any]
    preset: Preset | None = None

    @property
    def canonical(self) -> str:
        """The plain spec with every option written out: equal for two texts that mean the same network."""
        return str(Spec(self.name, options=self.options))

    def build(self, image: ImageSpec) -> nn.Module:
        """The network with weights drawn from PyTorch's global generator, on PyTorch's default device."""
        options = dict(self.options)
        if "activation" in options:
            options["activation"] = ACTIVATIONS[options["activation"]]
        return self.factory(image, **options)


def resolve(model: str) -> Resolved:
    """Reads a model spec: a plain name, a preset, or `package.module:factory`, each with options.

    Options beside a preset replace the preset's own: "resnet@uva(activation='gelu')".

    Raises:
        SpecError: no such model, preset, option or activation, or a value that the option does not take.
    """
    asked = parse(model)
    if asked.args:
        raise SpecError(f"{model!r} has an option without a name", hint=f"write {asked.label}(option=value)")
    if ":" in asked.name:
        return _with_options(asked.name, _load_factory(asked.name), asked.options)
    if asked.tag is None:
        if asked.name not in MODELS:
            raise unknown("model", asked.name, [*MODELS, *PRESETS], hint="(convarium list models)")
        return _with_options(asked.name, MODELS[asked.name], asked.options)
    if asked.label not in PRESETS:
        raise unknown("preset", asked.label, PRESETS, hint="(convarium list presets)")
    preset = PRESETS[asked.label]
    base = parse(preset.model)
    return _with_options(base.name, MODELS[base.name], {**base.options, **asked.options}, preset)


def build_model(model: str, image: ImageSpec, *, seed: int = 0) -> nn.Module:
    """Builds a network with weights that depend on `seed` alone; PyTorch's global generator is left as it was.

    Args:
        model: a spec, see `resolve`.
        image: the images it shall take.
        seed: of the initial weights.

    Raises:
        SpecError: the spec is wrong.
        ImageSizeError: the network cannot take such images; says which layer and the smallest size that works.
    """
    resolved = resolve(model)
    check_image(resolved, image)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return resolved.build(image)


def check_image(resolved: Resolved, image: ImageSpec) -> None:
    """Runs the network on PyTorch's `meta` device, where shapes are all there is.

    Raises:
        ImageSizeError: a layer runs out of pixels; names it and the smallest square size that works.
    """
    try:
        _meta_shape(resolved, image)
    except ImageSizeError as error:
        works = [s for s in range(1, 257) if s > min(image.height, image.width) and _fits(resolved, image, s)]
        hint = f"the smallest size that works is {works[0]}×{works[0]}: use --resize {works[0]}" if works else None
        raise ImageSizeError(error.wrong, hint=hint) from error


def smallest_size(model: str, *, channels: int = 1, classes: int = 10) -> int:
    """The least s such that the network takes s×s images.

    Raises:
        ImageSizeError: no size up to 256 works.
    """
    resolved, image = resolve(model), ImageSpec(channels, 1, 1, classes)
    for size in range(1, 257):
        if _fits(resolved, image, size):
            return size
    raise ImageSizeError(f"{model} takes no square image of 256 pixels or less")


def factory_digest(resolved: Resolved) -> str | None:
    """SHA-256, hexadecimal, of the source file of a user's factory; None for a built-in network."""
    if ":" not in resolved.name:
        return None
    file = inspect.getsourcefile(inspect.unwrap(resolved.factory))
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None


def _meta_shape(resolved: Resolved, image: ImageSpec) -> tuple[int, ...]:
    with torch.device("meta"):
        return output_shape(resolved.build(image), image, name=resolved.name)


def _fits(resolved: Resolved, image: ImageSpec, size: int) -> bool:
    try:
        _meta_shape(resolved, ImageSpec(image.channels, size, size, image.classes))
    except ImageSizeError:
        return False
    return True


def _load_factory(name: str) -> Factory:
    module_name, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:  # as `python -m` does, so that a file in the working folder is found
        sys.path.insert(0, str(Path.cwd()))
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        raise SpecError(
            f"cannot import {error.name!r} for model {name!r}", hint="run from the folder that holds it, or install it"
        ) from error
    except AttributeError as error:
        raise SpecError(
            f"module {module_name!r} has no {attribute!r}", hint="name a function of that module"
        ) from error
    if not callable(factory):
        raise SpecError(f"{name!r} is not a function", expected="factory(spec, activation, **options) -> nn.Module")
    return typing.cast("Factory", factory)


@cache
def option_types(factory: Factory) -> dict[str, tuple[Any, Any]]:
    """The options of a factory: name → (type, default). The first parameter, the ImageSpec, is not among them."""
    hints = typing.get_type_hints(factory)
    parameters = list(inspect.signature(factory).parameters.values())[1:]
    return {
        p.name: (hints.get(p.name, Any), p.default)
        for p in parameters
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }


def _with_options(name: str, factory: Factory, given: Mapping[str, Any], preset: Preset | None = None) -> Resolved:
    types = option_types(factory)
    for option in given:
        if option not in types:
            raise unknown(f"option of {name}", option, types)
    options: dict[str, Any] = {}
    for option, (kind, default) in types.items():
        value = given.get(option, default)
        if value is inspect.Parameter.empty:
            if option == "activation":
                value = "relu"
            else:
                raise SpecError(f"{name} needs option {option!r}", hint=f"write {name}({option}=…)")
        if option == "activation":
            value = value.name if isinstance(value, Activation) else value
            if value not in ACTIVATIONS:
                raise unknown("activation", str(value), ACTIVATIONS)
        elif not _is_a(value, kind):
            raise SpecError(f"option {option!r} of {name} is {value!r}", expected=_type_name(kind))
        options[option] = value
    return Resolved(name, factory, options, preset)


def _is_a(value: Any, kind: Any) -> bool:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if origin is Literal:
        return value in arguments and not isinstance(value, bool)
    if origin in (typing.Union, UnionType):
        return any(_is_a(value, a) for a in arguments)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return isinstance(value, tuple) and all(_is_a(v, arguments[0]) for v in value)
        return isinstance(value, tuple) and len(value) == len(arguments) and all(map(_is_a, value, arguments))
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or kind)


def _type_name(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return " or ".join(map(repr, typing.get_args(kind)))
    return "None" if kind is type(None) else getattr(kind, "__name__", str(kind)).replace("typing.", "")
