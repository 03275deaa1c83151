"""Builds the network that a model spec names, with weights drawn from a seed."""

from bisect import bisect_left
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from convarium.errors import ConvariumError, ImageSizeError, SpecError
from convarium.models.factories import Factory, resolve_custom, user_code_error
from convarium.models.index import Resolved, resolve
from convarium.models.sources import find_sources, importable
from convarium.models.zoo import MODELS
from convarium.models.zoo.layers import ACTIVATIONS, output_shape
from convarium.records import ImageSpec

_SIZES = (1, 2, 4, 8, 16, 28, 32, 64, 128, 224, 256)
"""Pixels that are tried in turn; between the first that works and the one before, the search halves."""


@dataclass(frozen=True)
class Architecture:
    """A model spec with every option, and the function that builds its networks."""

    resolved: Resolved
    factory: Factory

    def build(self, image: ImageSpec) -> nn.Module:
        """The network with weights drawn from PyTorch's global generator, on PyTorch's default device.

        Raises:
            SpecError: an option has a value that the network does not take, or a user's factory fails.
            ImageSizeError: the network cannot take such images, as far as the factory can tell.
        """
        name, spec = self.resolved.name, self.resolved.canonical
        options = dict(self.resolved.options)
        if "activation" in options:
            options["activation"] = ACTIVATIONS[options["activation"]]
        try:
            with importable(find_sources(name.partition(":")[0])) if self.resolved.is_custom else nullcontext():
                network = self.factory(image, **options)
        except ConvariumError:
            raise
        except ValueError as error:  # PyTorch's own check of a value, such as dropout=2.0
            raise SpecError(f"cannot build {spec}: {error}") from error
        except (Exception, SystemExit) as error:
            # PyTorch's words on every device: for memory that there is not, and for sizes of more than 64 bits.
            if isinstance(error, RuntimeError) and any(word in str(error) for word in ("allocate", "overflow")):
                hint = "make it narrower, or the images smaller"
                raise SpecError(f"{spec} does not fit in memory", hint=hint) from error
            if not self.resolved.is_custom:
                raise
            raise user_code_error(name, error) from error
        if not isinstance(network, nn.Module):
            raise SpecError(f"{name} returned {type(network).__name__}", expected="an nn.Module")
        if any(isinstance(parameter, UninitializedParameter) for parameter in network.parameters()):
            hint = "give them their sizes: weights are drawn before an image is seen"
            raise SpecError(f"{name} has lazy layers", hint=hint)
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise SpecError(f"{name} has nothing to train", expected="a network with trainable parameters")
        return network


def load_architecture(model: str) -> Architecture:
    """Imports what a model spec names: a network of the zoo, or a user's own `package.module:factory`.

    Raises:
        SpecError: no such network, preset, option or activation, or a value that the option does not take; or a user's
            module cannot be imported.
    """
    resolved = resolve(model)
    if resolved.is_custom:
        return Architecture(*resolve_custom(model))
    return Architecture(resolved, MODELS[resolved.name])


def build_model(model: str, image: ImageSpec, *, seed: int = 0, is_known_to_fit: bool = False) -> nn.Module:
    """Builds a network with weights that depend on `seed` alone; PyTorch's global generator is left as it was.

    Args:
        model: a spec: a name of the zoo, a preset, or `package.module:factory`, each with options.
        image: the images that the network takes.
        seed: of the initial weights.
        is_known_to_fit: whether a network of the zoo has been trained on such images, so that it takes them. Finding
            that out makes PyTorch import its compiler, which takes as long as all else before a first prediction.

    Raises:
        SpecError: the spec is wrong.
        ImageSizeError: the network cannot take such images; says which layer and the smallest size that works.
    """
    if not isinstance(image, ImageSpec):
        raise SpecError(
            "image has the wrong type", expected="an ImageSpec(channels, height, width, classes)", received=image
        )
    architecture = load_architecture(model)
    with torch.random.fork_rng(devices=[]):
        if not is_known_to_fit or architecture.resolved.is_custom:
            _check_image(architecture, image)
        torch.manual_seed(seed)
        return architecture.build(image)


def check_image(model: str, image: ImageSpec) -> None:
    """Runs a network on PyTorch's `meta` device, which computes shapes alone.

    Raises:
        SpecError: the spec is wrong, or the network does not return (n, classes).
        ImageSizeError: a layer cannot take what reaches it; names it and the smallest square size that works.
    """
    _check_image(load_architecture(model), image)


def trains_on_one_image(model: str, image: ImageSpec) -> bool:
    """Whether a training step can have a batch of one image.

    Batch norm cannot take one if its maps are 1×1, since a single value has no variance. The network is run in training
    mode on one image, and on two for comparison; where both fail it is not for the batch, and the answer is yes.

    Raises:
        SpecError: the spec is wrong.
    """
    architecture = load_architecture(model)
    with torch.random.fork_rng(devices=[]):
        for device in ("meta", "cpu") if architecture.resolved.is_custom else ("meta",):
            if _trains_on(architecture, image, 1, device):
                return True
            if _trains_on(architecture, image, 2, device):
                return False
    return True


def _check_image(architecture: Architecture, image: ImageSpec) -> None:
    try:
        shape = _shape(architecture, image)
    except ImageSizeError as error:
        size = _smallest(architecture, image)
        hint = f"the smallest size that works is {size}×{size}: use --resize {size}" if size else "no square size works"
        raise ImageSizeError(error.wrong, hint=hint) from error
    if shape != (image.classes,):
        name, returned = architecture.resolved.name, ", ".join(map(str, shape))
        raise SpecError(f"{name} returns (n, {returned})", expected=f"(n, {image.classes})")


def _shape(architecture: Architecture, image: ImageSpec) -> tuple[int, ...]:
    """The shape of one image's scores."""
    try:
        return _run(architecture, image, "meta")
    except ConvariumError as error:
        if architecture.resolved.is_custom and "meta" in str(error).lower():
            return _run(architecture, image, "cpu")  # the user's code reads values, which "meta" does not have
        raise


def _run(architecture: Architecture, image: ImageSpec, device: str) -> tuple[int, ...]:
    name = architecture.resolved.name
    try:
        with torch.device(device):
            return output_shape(architecture.build(image), image, name=name, device=device)
    except ConvariumError:
        raise
    except Exception as error:
        if not architecture.resolved.is_custom:
            raise
        raise user_code_error(name, error) from error


def _trains_on(architecture: Architecture, image: ImageSpec, n: int, device: str) -> bool:
    """Whether the network takes `n` images in training mode and returns (n, classes)."""
    try:
        with torch.device(device):
            network = architecture.build(image).train()
            logits = network(torch.zeros(n, image.channels, image.height, image.width))
    except Exception:  # a user's own network may raise anything
        return False
    return isinstance(logits, Tensor) and logits.shape == (n, image.classes)


def _fits(architecture: Architecture, image: ImageSpec, size: int) -> bool:
    try:
        _shape(architecture, ImageSpec(image.channels, size, size, image.classes))
    except ImageSizeError:
        return False
    return True


def _smallest(architecture: Architecture, image: ImageSpec) -> int | None:
    """The least size that works, as far as every size between two of `_SIZES` works once a smaller one does."""
    below = 0
    for size in _SIZES:
        if _fits(architecture, image, size):
            between = range(below + 1, size)
            return below + 1 + bisect_left(between, True, key=lambda s: _fits(architecture, image, s))
        below = size
    return None
