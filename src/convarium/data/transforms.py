"""The settings of augmentations and normalizations, and how they are read from a recipe's texts; no PyTorch is needed.

`augmentations` has the tensor operations that carry them out.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from convarium.errors import SpecError
from convarium.spec import Spec, parse_list, parse_options, unknown

if TYPE_CHECKING:
    from convarium.data.splits import Splits


@dataclass(frozen=True)
class Flip:
    """Mirrors left and right with probability ½: torchvision's RandomHorizontalFlip."""


@dataclass(frozen=True)
class PadCrop:
    """Pads all sides with `padding` black pixels and cuts out the old size anywhere: torchvision's RandomCrop."""

    padding: int

    def __post_init__(self) -> None:
        _check_padding(self.padding)


@dataclass(frozen=True)
class ResizedCrop:
    """Cuts out a box and enlarges it to the old size, bilinearly: torchvision's RandomResizedCrop.

    The box's share of the area is uniform over `scale`, its width / height log-uniform over `ratio`; a box that does
    not fit into the image is drawn again, ten times in all, and then the largest central box within `ratio` is taken.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        _check_range("scale", self.scale, 1)
        _check_range("ratio", self.ratio, 100)


Augmentation = Flip | PadCrop | ResizedCrop

AUGMENTATIONS: dict[str, Callable[..., Augmentation]] = {"flip": Flip, "pad_crop": PadCrop, "resized_crop": ResizedCrop}


def parse_augment(text: str) -> tuple[Augmentation, ...]:
    """Reads "flip, pad_crop(4)", "resized_crop(scale=(0.8, 1.0), ratio=(0.9, 1.1))" or "none".

    Raises:
        SpecError: no such augmentation or option, or a value out of range.
    """
    return tuple(_augmentation(spec) for spec in parse_list(text))


def _augmentation(spec: Spec) -> Augmentation:
    if spec.name not in AUGMENTATIONS:
        raise unknown("augmentation", spec.name, AUGMENTATIONS)
    kind: Any = AUGMENTATIONS[spec.name]
    names = [f.name for f in fields(kind)]
    if len(spec.args) > len(names):
        raise SpecError(f"{spec} has too many values", expected=f"{spec.name}({', '.join(names)})")
    options: Mapping[str, Any] = dict(zip(names, spec.args, strict=False)) | dict(spec.options)
    for option in spec.options:
        if option not in names:
            raise unknown(f"option of {spec.name}", option, names)
    if len(options) < len(spec.args) + len(spec.options):
        raise SpecError(f"{names[0]} is given twice in {spec}", hint="give each option once")
    if kind is PadCrop and not options:
        raise SpecError("pad_crop needs its padding", hint="write pad_crop(4)")
    augmentation: Augmentation = kind(**options)
    return augmentation


Normalization = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation by channel, in units of 1 = white."""


def parse_normalize(text: str) -> Normalization | None:
    """Reads "none" (pixels from 0 to 1), "mean=0.1307, std=0.3081" or "mean=(…, …, …), std=(…, …, …)"; None stands for
    "dataset", the statistics of the training split.

    Raises:
        SpecError: the text cannot be read, a standard deviation is not positive, or the lengths differ.
    """
    if text.strip() in ("dataset", "none"):
        return None if text.strip() == "dataset" else ((0.0,), (1.0,))
    options = parse_options(text) if "=" in text else {}
    if set(options) != {"mean", "std"}:
        raise SpecError(
            f"cannot read normalize={text!r}", expected="'dataset', 'none' or 'mean=0.1307, std=0.3081' (or by channel)"
        )
    mean, std = (v if isinstance(v, tuple) else (v,) for v in (options["mean"], options["std"]))
    if len(mean) != len(std) or len(mean) not in (1, 3) or not all(map(_is_number, mean + std)) or min(std) <= 0:
        raise SpecError(
            f"normalize={text!r} is out of range", expected="one or three numbers each, standard deviations above 0"
        )
    return tuple(map(float, mean)), tuple(map(float, std))


def normalization(text: str, splits: "Splits") -> Normalization:
    """Mean and deviation by which `text` (see `parse_normalize`) normalizes these images.

    A channel without any contrast is only centered.

    Raises:
        SpecError: the text is wrong, or names three channels where the images have one.
    """
    mean, std = parse_normalize(text) or (splits.mean, tuple(s or 1.0 for s in splits.std))
    channels = splits.train.spec.channels
    if len(mean) not in (1, channels):
        expected = "one for all" + (f", or {channels}" if channels > 1 else "")
        hint = "or use --normalize dataset"
        raise SpecError(f"normalize={text!r} has {len(mean)} channels", expected=expected, hint=hint)
    return mean, std


def _check_padding(padding: Any) -> None:
    if not isinstance(padding, int) or isinstance(padding, bool) or not 1 <= padding <= 64:
        raise SpecError("padding of pad_crop is out of range", expected="1 to 64 pixels", received=padding)


def _check_range(name: str, pair: Any, limit: int) -> None:
    if not (
        isinstance(pair, tuple) and len(pair) == 2 and all(map(_is_number, pair)) and 0 < pair[0] <= pair[1] <= limit
    ):
        expected = f"({name} from, {name} to) with 0 < from ≤ to ≤ {limit}"
        raise SpecError(f"{name} of resized_crop is out of range", expected=expected, received=pair)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
