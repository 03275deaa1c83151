"""From a model spec to a network: every option made definite, every weight drawn from a seed."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from convarium.errors import ConvariumError, ImageSizeError, SpecError
from convarium.models.factories import blame, checked_options, load_factory, option_types, source_digest
from convarium.models.zoo import ADDED_OPTIONS, MODELS, PRESETS, Factory
from convarium.models.zoo.layers import ACTIVATIONS, output_shape
from convarium.records import ImageSpec, Preset
from convarium.spec import Spec, parse, unknown

_SIZES = (1, 2, 4, 8, 16, 28, 32, 64, 128, 224, 256)
"""Pixels that are tried in turn; between the first that works and the one before, the search halves."""


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

    @property
    def key_spec(self) -> str:
        """`canonical` as a run's key has it: without the options in `ADDED_OPTIONS` that have their default."""
        defaults = {name: option_types(self.factory)[name][1] for name in ADDED_OPTIONS.get(self.name, ())}
        kept = {n: v for n, v in self.options.items() if n not in defaults or v != defaults[n]}
        return str(Spec(self.name, options=kept))

    @property
    def is_users(self) -> bool:
        """Whether the factory is a user's `package.module:factory`."""
        return ":" in self.name

    def build(self, image: ImageSpec) -> nn.Module:
        """The network with weights drawn from PyTorch's global generator, on PyTorch's default device.

        Raises:
            SpecError: an option has a value that the network does not take, or a user's factory fails.
            ImageSizeError: the network cannot take such images, as far as the factory can tell.
        """
        options = dict(self.options)
        if "activation" in options:
            options["activation"] = ACTIVATIONS[options["activation"]]
        try:
            network = self.factory(image, **options)
        except ConvariumError:
            raise
        except ValueError as error:  # PyTorch's own check of a value, such as dropout=2.0
            raise SpecError(f"cannot build {self.canonical}: {error}") from error
        except (Exception, SystemExit) as error:
            if isinstance(error, RuntimeError) and "allocate" in str(error):  # PyTorch's word on every device
                hint = "make it narrower, or the images smaller"
                raise SpecError(f"{self.canonical} does not fit in memory", hint=hint) from error
            if not self.is_users:
                raise
            raise blame(self.name, error) from error
        if not isinstance(network, nn.Module):
            raise SpecError(f"{self.name} returned {type(network).__name__}", expected="an nn.Module")
        if any(isinstance(parameter, UninitializedParameter) for parameter in network.parameters()):
            hint = "give them their sizes: weights are drawn before an image is seen"
            raise SpecError(f"{self.name} has lazy layers", hint=hint)
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise SpecError(f"{self.name} has nothing to train", expected="a network with trainable parameters")
        return network


def resolve(model: str) -> Resolved:
    """Reads a model spec: a plain name, a preset, or `package.module:factory`, each with options.

    Options beside a preset replace the preset's own: "resnet@uva(activation='gelu')".

    Raises:
        SpecError: no such model, preset, option or activation, or a value that the option does not take.
    """
    asked = parse(model)
    if asked.args:
        raise SpecError(f"{model!r} has an option without a name", hint=f"write {asked.label}(option=value)")
    if asked.tag is not None:
        if asked.label not in PRESETS:
            raise unknown("preset", asked.label, PRESETS, hint="(convarium list presets)")
        preset = PRESETS[asked.label]
        base = parse(preset.model)
        options = checked_options(base.name, MODELS[base.name], {**base.options, **asked.options})
        return Resolved(base.name, MODELS[base.name], options, preset)
    if ":" in asked.name:
        factory = load_factory(asked.name)
    elif asked.name in MODELS:
        factory = MODELS[asked.name]
    else:
        presets = [label for label in PRESETS if label.startswith(f"{asked.name}@")]
        raise unknown("model", asked.name, [*MODELS, *presets], hint="(convarium list models)")
    return Resolved(asked.name, factory, checked_options(asked.name, factory, asked.options))


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
    with torch.random.fork_rng(devices=[]):
        check_image(resolved, image)
        torch.manual_seed(seed)
        return resolved.build(image)


def check_image(resolved: Resolved, image: ImageSpec) -> None:
    """Runs the network on PyTorch's `meta` device, where shapes are all there is.

    Raises:
        ImageSizeError: a layer cannot take what reaches it; names it and the smallest square size that works.
        SpecError: the network does not return (n, classes).
    """
    try:
        shape = _shape(resolved, image)
    except ImageSizeError as error:
        size = _smallest(resolved, image)
        hint = f"the smallest size that works is {size}×{size}: use --resize {size}" if size else "no square size works"
        raise ImageSizeError(error.wrong, hint=hint) from error
    if shape != (image.classes,):
        raise SpecError(f"{resolved.name} returns (n, {', '.join(map(str, shape))})", expected=f"(n, {image.classes})")


def smallest_size(model: str, *, channels: int = 1, classes: int = 10) -> int:
    """The least s such that the network takes s×s images.

    Raises:
        ImageSizeError: no size up to 256 works.
    """
    image = ImageSpec(channels, _SIZES[-1], _SIZES[-1], classes)
    size = _smallest(resolve(model), image)
    if size is None:
        raise ImageSizeError(f"{model} takes no square image of {_SIZES[-1]} pixels or less")
    return size


def factory_digest(resolved: Resolved) -> str | None:
    """SHA-256, hexadecimal, of the source file of a user's factory; None for a built-in network."""
    return source_digest(resolved.name, resolved.factory) if resolved.is_users else None


def _shape(resolved: Resolved, image: ImageSpec) -> tuple[int, ...]:
    """The shape of one image's scores."""
    try:
        return _run(resolved, image, "meta")
    except ConvariumError as error:
        if resolved.is_users and "meta" in str(error).lower():  # the user's code looks at values: they are needed
            return _run(resolved, image, "cpu")
        raise


def _run(resolved: Resolved, image: ImageSpec, device: str) -> tuple[int, ...]:
    try:
        with torch.device(device):
            return output_shape(resolved.build(image), image, name=resolved.name, device=device)
    except ConvariumError:
        raise
    except Exception as error:
        if not resolved.is_users:
            raise
        raise blame(resolved.name, error) from error


def _fits(resolved: Resolved, image: ImageSpec, size: int) -> bool:
    try:
        _shape(resolved, ImageSpec(image.channels, size, size, image.classes))
    except ImageSizeError:
        return False
    return True


def _smallest(resolved: Resolved, image: ImageSpec) -> int | None:
    """The least size that works, as far as every size between two of `_SIZES` works once a smaller one does."""
    below = 0
    for size in _SIZES:
        if _fits(resolved, image, size):
            between = range(below + 1, size)
            return below + 1 + bisect_left(between, True, key=lambda s: _fits(resolved, image, s))
        below = size
    return None
