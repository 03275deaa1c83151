"""Flips and crops of whole batches, by torchvision's laws.

Every augmentation draws its random numbers for a whole epoch on the CPU and then works on batches (b, c, h, w) of
pixels from 0 to 255, on any device, before they are normalized: the padding of a padded crop is black.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from convarium.data.transforms import Augmentation, Flip, PadCrop, ResizedCrop


def draw(augmentation: Augmentation, n: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draws the random numbers of one augmentation for `n` images of `size` (height, width).

    Returns:
        (n,) bool for `Flip`, whether an image is mirrored; (n, 2) int64 for `PadCrop`, row and column of the padded
        image where the cut begins; (n, 4) int64 for `ResizedCrop`, top, left, height and width of the boxes.
    """
    match augmentation:
        case Flip():
            return torch.rand(n, generator=generator) < 0.5
        case PadCrop(padding):
            return torch.randint(2 * padding + 1, (n, 2), generator=generator)
        case ResizedCrop():
            return _draw_boxes(augmentation, n, size, generator)


def apply(augmentation: Augmentation, images: Tensor, drawn: Tensor) -> Tensor:
    """Carries an augmentation out on images (b, c, h, w), with what `draw` drew for each of them."""
    match augmentation:
        case Flip():
            return torch.where(drawn[:, None, None, None], images.flip(-1), images)
        case PadCrop(padding):
            return _cut_out(images, padding, drawn)
        case ResizedCrop():
            return _enlarge(images, drawn)


def _cut_out(images: Tensor, padding: int, corner: Tensor) -> Tensor:
    n, channels, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)
    rows = corner[:, 0, None] + torch.arange(height, device=images.device)
    columns = corner[:, 1, None] + torch.arange(width, device=images.device)
    flat = (rows[:, :, None] * padded.shape[-1] + columns[:, None, :]).reshape(n, 1, -1)
    return padded.flatten(2).gather(2, flat.expand(-1, channels, -1)).reshape(images.shape)


def _draw_boxes(crop: ResizedCrop, n: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    height, width = size
    tries = 10
    area = torch.empty(n, tries, dtype=torch.float64).uniform_(*crop.scale, generator=generator) * height * width
    ratio = torch.empty(n, tries, dtype=torch.float64).uniform_(*map(math.log, crop.ratio), generator=generator)
    place = torch.rand(n, 2, dtype=torch.float64, generator=generator)
    widths = torch.round(torch.sqrt(area * ratio.exp()))
    heights = torch.round(torch.sqrt(area / ratio.exp()))
    fits = (widths >= 1) & (widths <= width) & (heights >= 1) & (heights <= height)
    first = torch.where(fits, torch.arange(tries), tries).amin(dim=1)
    fallback = torch.tensor(_central_box(crop, height, width), dtype=torch.float64).expand(n, 1, 2)
    sizes = torch.cat([torch.stack([heights, widths], dim=2), fallback], dim=1)
    chosen = sizes[torch.arange(n), first]
    room = torch.tensor([height, width]) - chosen
    corner = torch.where((first < tries)[:, None], torch.floor(place * (room + 1)), torch.floor(room / 2))
    return torch.cat([corner, chosen], dim=1).long()


def _central_box(crop: ResizedCrop, height: int, width: int) -> tuple[int, int]:
    low, high = crop.ratio
    if width / height < low:
        return round(width / low), width
    if width / height > high:
        return height, round(height * high)
    return height, width


def _enlarge(images: Tensor, box: Tensor) -> Tensor:
    """A box is never larger than the image it becomes, so that Pillow's antialiasing would change nothing here."""
    pixels = images if images.is_floating_point() else images.float()
    rows = _sampled(box[:, 0, None], box[:, 2, None], images.shape[-2], pixels.dtype)
    columns = _sampled(box[:, 1, None], box[:, 3, None], images.shape[-1], pixels.dtype)
    grid = torch.stack(
        [columns[:, None, :].expand(-1, rows.shape[1], -1), rows[:, :, None].expand(-1, -1, columns.shape[1])],
        dim=3,
    )
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _sampled(start: Tensor, size: Tensor, side: int, dtype: torch.dtype) -> Tensor:
    """(n, side): where the pixels of the enlarged boxes are sampled, in grid_sample's units.

    A sample is never nearer to a pixel outside the box than to its outermost one, as if the box had been cut out first.
    """
    center = (torch.arange(side, device=start.device, dtype=dtype) + 0.5) * (size / side) - 0.5
    inside = torch.minimum(center.clamp(min=0), size - 1) + start
    return (2 * inside + 1) / side - 1
