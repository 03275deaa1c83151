"""What is done to whole batches at once: flips and crops by torchvision's laws, and the reading of their specs.

Every augmentation draws its random numbers for a whole epoch on the CPU and then works on batches (b, c, h, w) of
pixels from 0 to 255, wherever they lie, before they are normalized: what a padded crop adds is black.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from convarium.data.images import Splits
from convarium.errors import SpecError
from convarium.spec import Spec, parse_list, parse_options, unknown


@dataclass(frozen=True)
class Flip:
    """Mirrors left and right with probability ½: torchvision's RandomHorizontalFlip."""

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """(n,) bool"""
        return torch.rand(n, generator=generator) < 0.5

    def apply(self, images: Tensor, mirrored: Tensor) -> Tensor:
        return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


@dataclass(frozen=True)
class PadCrop:
    """Pads all sides with `padding` black pixels and cuts out the old size anywhere: torchvision's RandomCrop."""

    padding: int

    def __post_init__(self) -> None:
        _check_padding(self.padding)

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """(n, 2) int64: row and column of the padded image where the cut begins"""
        return torch.randint(2 * self.padding + 1, (n, 2), generator=generator)

    def apply(self, images: Tensor, corner: Tensor) -> Tensor:
        n, channels, height, width = images.shape
        padded = F.pad(images, (self.padding,) * 4)
        rows = corner[:, 0, None] + torch.arange(height, device=images.device)
        columns = corner[:, 1, None] + torch.arange(width, device=images.device)
        flat = (rows[:, :, None] * padded.shape[-1] + columns[:, None, :]).reshape(n, 1, -1)
        return padded.flatten(2).gather(2, flat.expand(-1, channels, -1)).reshape(images.shape)


@dataclass(frozen=True)
class ResizedCrop:
    """Cuts out a box and enlarges it to the old size, bilinearly: torchvision's RandomResizedCrop.

    The box's share of the area is uniform over `scale`, its width / height log-uniform over `ratio`; what does not fit
    into the image is drawn again, ten times in all, and then the largest central box within `ratio` is taken.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        _check_range("scale", self.scale, 1)
        _check_range("ratio", self.ratio, 100)

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """(n, 4) int64: top, left, height and width of the boxes"""
        tries = 10
        area = torch.empty(n, tries, dtype=torch.float64).uniform_(*self.scale, generator=generator) * height * width
        ratio = torch.empty(n, tries, dtype=torch.float64).uniform_(*map(math.log, self.ratio), generator=generator)
        place = torch.rand(n, 2, dtype=torch.float64, generator=generator)
        widths = torch.round(torch.sqrt(area * ratio.exp()))
        heights = torch.round(torch.sqrt(area / ratio.exp()))
        fits = (widths >= 1) & (widths <= width) & (heights >= 1) & (heights <= height)
        first = torch.where(fits, torch.arange(tries), tries).amin(dim=1)
        fallback = torch.tensor(self._central(height, width), dtype=torch.float64).expand(n, 1, 2)
        sizes = torch.cat([torch.stack([heights, widths], dim=2), fallback], dim=1)
        size = sizes[torch.arange(n), first]
        room = torch.tensor([height, width]) - size
        corner = torch.where((first < tries)[:, None], torch.floor(place * (room + 1)), torch.floor(room / 2))
        return torch.cat([corner, size], dim=1).long()

    def _central(self, height: int, width: int) -> tuple[int, int]:
        low, high = self.ratio
        if width / height < low:
            return round(width / low), width
        if width / height > high:
            return height, round(height * high)
        return height, width

    def apply(self, images: Tensor, box: Tensor) -> Tensor:
        """Since a box is never larger than what it becomes, Pillow's antialiasing has nothing to do here."""
        pixels = images if images.is_floating_point() else images.float()
        rows = _sampled(box[:, 0, None], box[:, 2, None], images.shape[-2], pixels.dtype)
        columns = _sampled(box[:, 1, None], box[:, 3, None], images.shape[-1], pixels.dtype)
        grid = torch.stack(
            [columns[:, None, :].expand(-1, rows.shape[1], -1), rows[:, :, None].expand(-1, -1, columns.shape[1])],
            dim=3,
        )
        return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _sampled(start: Tensor, size: Tensor, side: int, dtype: torch.dtype) -> Tensor:
    """(n, side): where the pixels of the enlarged boxes lie, in grid_sample's units; never nearer to a pixel outside
    the box than to its outermost one, as if the box had been cut out first.
    """
    center = (torch.arange(side, device=start.device, dtype=dtype) + 0.5) * (size / side) - 0.5
    inside = torch.minimum(center.clamp(min=0), size - 1) + start
    return (2 * inside + 1) / side - 1


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
        raise SpecError(f"{names[0]} stands twice in {spec}", hint="give each option once")
    if kind is PadCrop and not options:
        raise SpecError("pad_crop needs its padding", hint="write pad_crop(4)")
    made: Augmentation = kind(**options)
    return made


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


def normalization(text: str, splits: Splits) -> Normalization:
    """What `text` (see `parse_normalize`) means for these images; a channel without any contrast is only centered.

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
