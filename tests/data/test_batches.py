import math
import random

import pytest
import torch
from PIL import Image, ImageOps
from scipy.stats import binomtest, chisquare, ks_2samp

from convarium.data import batches as batches_module
from convarium.data.augmentations import apply, draw
from convarium.data.batches import Batches
from convarium.data.splits import ImageData, Splits
from convarium.data.transforms import Flip, PadCrop, ResizedCrop, normalization, parse_augment, parse_normalize
from convarium.errors import DataError, SpecError
from convarium.records import ImageSpec
from convarium.seeding import derive_seed

EVERYTHING = "flip, pad_crop(2), resized_crop(scale=(0.5, 1.0), ratio=(0.9, 1.1))"


def noise(n=50, channels=3, height=12, width=10) -> ImageData:
    """Random images whose label is their place."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (n, channels, height, width), dtype=torch.uint8, generator=generator)
    return ImageData(images, torch.arange(n), tuple(map(str, range(n))))


def epoch(batches: Batches, number: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*batches.epoch(number), strict=True)
    return torch.cat(images), torch.cat(labels)


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [16, 16, 16, 2]), (True, [16, 16, 16])])
def test_an_epoch_is_a_permutation_in_slices(drop_last, sizes):
    batches = Batches(noise(), batch_size=16, drop_last=drop_last, shuffle_seed=3)
    labels = [y for _, y in batches.epoch(0)]
    assert [len(y) for y in labels] == sizes
    assert len(batches) == len(sizes)
    assert len(set(torch.cat(labels).tolist())) == sum(sizes)


def test_images_keep_their_labels_and_are_normalized_by_channel():
    data, mean, std = noise(), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    images, labels = epoch(Batches(data, batch_size=16, shuffle_seed=3, mean=mean, std=std))
    expected = (data.images[labels] / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    torch.testing.assert_close(images, expected)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64


def test_without_a_seed_the_images_come_as_they_lie():
    data = noise()
    images, labels = epoch(Batches(data, batch_size=16), number=5)
    assert labels.tolist() == list(range(50))
    torch.testing.assert_close(images, data.images / 255)


def test_an_epoch_depends_on_its_number_and_seeds_alone():
    """So that a run taken up at epoch 3 goes on with the same bits, and nothing needs to be saved for it."""
    batches = Batches(noise(), batch_size=16, augment=EVERYTHING, shuffle_seed=3, augment_seed=4)
    third = [epoch(batches, number) for number in range(4)][3]
    torch.rand(5)
    fresh = epoch(Batches(noise(), batch_size=16, augment=EVERYTHING, shuffle_seed=3, augment_seed=4), 3)
    assert torch.equal(third[0], fresh[0])
    assert torch.equal(third[1], fresh[1])
    assert not torch.equal(third[1], epoch(batches, 2)[1])


def test_pytorchs_own_generator_is_neither_used_nor_moved():
    before = torch.get_rng_state()
    epoch(Batches(noise(), batch_size=16, augment=EVERYTHING, shuffle_seed=3))
    assert torch.equal(before, torch.get_rng_state())


def test_shuffling_and_augmentation_have_seeds_of_their_own():
    def with_seeds(shuffle: int, augment: int) -> tuple[torch.Tensor, torch.Tensor]:
        return epoch(Batches(noise(), batch_size=16, augment="flip", shuffle_seed=shuffle, augment_seed=augment))

    images, labels = with_seeds(1, 1)
    other_images, same_labels = with_seeds(1, 2)
    assert torch.equal(labels, same_labels)
    assert not torch.equal(images, other_images)
    assert not torch.equal(labels, with_seeds(2, 1)[1])


def test_every_layout_and_type_gets_the_same_images():
    usual = epoch(Batches(noise(), batch_size=16, augment=EVERYTHING, shuffle_seed=3))[0]
    batches = Batches(noise(), batch_size=16, augment=EVERYTHING, shuffle_seed=3, channels_last=True)
    first = next(iter(batches.epoch(0)))[0]
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(first, usual[:16])
    for dtype, tolerance in ((torch.float64, 1e-5), (torch.bfloat16, 4e-3)):
        images = epoch(Batches(noise(), batch_size=16, augment=EVERYTHING, shuffle_seed=3, dtype=dtype))[0]
        assert images.dtype == dtype
        torch.testing.assert_close(images.float(), usual, rtol=0, atol=tolerance)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize(("side", "channels", "last"), [(None, 3, False), (12, 3, True), (None, 1, True)])
def test_batches_are_the_same_however_many_are_made_at_once(side, channels, last, drop_last, monkeypatch):
    def found():
        batches = Batches(
            noise(channels=channels),
            batch_size=7,
            augment=EVERYTHING,
            shuffle_seed=3,
            resize=side,
            drop_last=drop_last,
            channels_last=last,
        )
        return list(batches.epoch(0))

    monkeypatch.setattr(batches_module, "_AT_ONCE", 0)
    expected = found()
    assert [len(labels) for _, labels in expected] == [7] * 7 + [1] * (not drop_last)
    for together in (1, 2, 3, 7, 8, 100):
        monkeypatch.setattr(batches_module, "_AT_ONCE", together * expected[0][0].numel())
        for ours, theirs in zip(found(), expected, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
            assert ours[0].stride() == theirs[0].stride()


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("at_once", [1, 2**30, 3 * 12 * 10 * 8 * 2])  # one batch, all, and two batches in one call
def test_an_epoch_that_goes_on_has_the_batches_that_are_left(at_once, drop_last, monkeypatch):
    monkeypatch.setattr(batches_module, "_AT_ONCE", at_once)
    batches = Batches(noise(), batch_size=8, drop_last=drop_last, augment="flip, pad_crop(2)", shuffle_seed=1)
    whole = list(batches.epoch(3))
    for first in range(len(batches) + 1):
        rest = list(batches.epoch(3, first=first))
        assert len(rest) == len(whole) - first
        for (images, labels), (same_images, same_labels) in zip(rest, whole[first:], strict=True):
            assert torch.equal(images, same_images)
            assert torch.equal(labels, same_labels)


def test_a_network_may_change_its_batch_in_place():
    scale = torch.nn.Parameter(torch.tensor(2.0))
    for images, _ in Batches(noise(), batch_size=16).epoch(0):
        before = images.clone()
        images.mul_(scale)
        torch.autograd.grad(images.sum(), scale)
        assert torch.equal(images, 2 * before)


@pytest.mark.parametrize(("size", "drop_last"), [(0, False), (-1, False), (51, True)])
def test_a_batch_size_that_leaves_no_batch_is_refused(size, drop_last):
    with pytest.raises(DataError, match=f"batch_size={size} leaves no batch of 50 images"):
        Batches(noise(), batch_size=size, drop_last=drop_last)


def test_an_empty_split_has_no_batches():
    data = noise()
    assert list(Batches(data.take(torch.arange(0)), batch_size=16).epoch(0)) == []


@pytest.mark.parametrize("side", [7, 25, 96])
def test_images_are_resized_as_pillow_does(side):
    """Pillow rounds to whole gray levels, after each direction."""
    data = noise(n=8)
    resized = ImageData(data.images, data.labels, data.class_names, resize=side)
    assert resized.spec == ImageSpec(3, side, side, 8)
    images, _ = epoch(Batches(resized, batch_size=5))
    assert torch.equal(images, epoch(Batches(data, batch_size=5, resize=side))[0])
    for ours, original in zip(images * 255, data.images, strict=True):
        theirs = pillow(original).resize((side, side), Image.Resampling.BILINEAR)
        assert (ours - tensor(theirs)).abs().max() <= 1.01


def test_augmentation_comes_after_resizing():
    batches = Batches(noise(), batch_size=16, resize=24, augment="pad_crop(30)")
    images = next(iter(batches.epoch(0)))[0]
    assert images.shape == (16, 3, 24, 24)
    assert (images == 0).all(dim=1).flatten(1).all(dim=1).any()  # 30 pixels of border can hide 24 pixels of image


def test_what_a_padded_crop_adds_is_black_before_normalizing():
    white = ImageData(torch.full((64, 1, 4, 4), 255, dtype=torch.uint8), torch.zeros(64, dtype=torch.int64), ("a",))
    images, _ = epoch(Batches(white, batch_size=64, augment="pad_crop(4)", mean=(0.25,), std=(0.5,)))
    assert images.unique().tolist() == pytest.approx([-0.5, 1.5])


# The laws, against torchvision's per-image code written anew with Pillow and Python's random.


def pillow(image: torch.Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).squeeze(-1).numpy())


def tensor(image: Image.Image) -> torch.Tensor:
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.reshape(image.height, image.width, -1).permute(2, 0, 1)


def reference_box(rng: random.Random, height: int, width: int, scale, ratio) -> tuple[int, int, int, int]:
    """RandomResizedCrop.get_params: (top, left, height, width)."""
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return rng.randint(0, height - h), rng.randint(0, width - w), h, w
    if width / height < min(ratio):
        h, w = round(width / min(ratio)), width
    elif width / height > max(ratio):
        h, w = height, round(height * max(ratio))
    else:
        h, w = height, width
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize(
    ("height", "width", "scale", "ratio"),
    [
        (32, 32, (0.8, 1.0), (0.9, 1.1)),  # UvA tutorial 5
        (32, 32, (0.08, 1.0), (3 / 4, 4 / 3)),  # torchvision's own
        (20, 60, (0.5, 1.0), (0.9, 1.1)),  # often the fallback: too wide
        (60, 20, (0.6, 1.0), (0.9, 1.1)),  # too high
        (28, 28, (1.0, 1.0), (0.5, 2.0)),  # a square of full size, or the whole image
    ],
)
def test_boxes_follow_torchvisions_law(height, width, scale, ratio):
    n = 6000
    rng = random.Random(0)
    theirs = torch.tensor([reference_box(rng, height, width, scale, ratio) for _ in range(n)])
    ours = draw(ResizedCrop(scale, ratio), n, (height, width), torch.Generator().manual_seed(0))
    assert ours.min() >= 0
    assert (ours[:, 0] + ours[:, 2]).max() <= height
    assert (ours[:, 1] + ours[:, 3]).max() <= width
    pairs = [(ours[:, k], theirs[:, k]) for k in range(4)]
    pairs += [
        (ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3]),
        (ours[:, 3] / ours[:, 2], theirs[:, 3] / theirs[:, 2]),
    ]
    for a, b in pairs:
        assert ks_2samp(a.numpy(), b.numpy()).pvalue > 0.001


def test_boxes_become_the_pixels_that_pillow_makes_of_them():
    data = noise(n=40, height=32, width=24)
    crop = ResizedCrop((0.1, 1.0), (0.5, 2.0))
    boxes = draw(crop, 40, (32, 24), torch.Generator().manual_seed(0))
    for ours, original, (top, left, h, w) in zip(
        apply(crop, data.images, boxes), data.images, boxes.tolist(), strict=True
    ):
        cut = pillow(original).crop((left, top, left + w, top + h))
        theirs = tensor(cut.resize((24, 32), Image.Resampling.BILINEAR))
        assert (ours - theirs).abs().max() <= 1.01


def test_the_whole_image_as_a_box_changes_nothing():
    images = noise().images
    whole = torch.tensor([[0, 0, 12, 10]]).expand(50, 4)
    torch.testing.assert_close(apply(ResizedCrop(), images, whole), images.float(), rtol=0, atol=1e-3)


def test_padded_crops_are_pillows_and_all_places_are_equally_likely():
    data, crop = noise(n=1800), PadCrop(1)
    corners = draw(crop, 1800, (12, 10), torch.Generator().manual_seed(0))
    places, counts = (corners[:, 0] * 3 + corners[:, 1]).unique(return_counts=True)
    assert places.tolist() == list(range(9))
    assert chisquare(counts.numpy()).pvalue > 0.001
    cropped = apply(crop, data.images, corners)
    for ours, original, (top, left) in zip(cropped[:50], data.images, corners.tolist(), strict=False):
        padded = ImageOps.expand(pillow(original), border=1, fill=0)
        assert torch.equal(ours, tensor(padded.crop((left, top, left + 10, top + 12))))


def test_half_of_the_images_are_mirrored():
    images, flip = noise(n=2000).images, Flip()
    mirrored = draw(flip, 2000, (12, 10), torch.Generator().manual_seed(0))
    assert binomtest(int(mirrored.sum()), 2000).pvalue > 0.001
    flipped = apply(flip, images, mirrored)
    assert torch.equal(flipped[mirrored], images[mirrored].flip(3))
    assert torch.equal(flipped[~mirrored], images[~mirrored])


# What the texts mean.


@pytest.mark.parametrize(
    ("text", "augmentations"),
    [
        ("none", ()),
        ("flip", (Flip(),)),
        ("flip, pad_crop(4)", (Flip(), PadCrop(4))),
        ("pad_crop(padding=4)", (PadCrop(4),)),
        ("resized_crop", (ResizedCrop(),)),
        ("flip, resized_crop(scale=(0.8, 1.0), ratio=(0.9, 1.1))", (Flip(), ResizedCrop((0.8, 1.0), (0.9, 1.1)))),
    ],
)
def test_augmentations_are_read_in_order(text, augmentations):
    assert parse_augment(text) == augmentations


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flp", "unknown augmentation 'flp'; did you mean 'flip'"),
        ("flip@uva", r"expected name or name\(value, …\)"),
        ("pad_crop", r"write pad_crop\(4\)"),
        ("pad_crop(0)", "1 to 64 pixels, received 0"),
        ("pad_crop(2.0)", "1 to 64 pixels"),
        ("pad_crop(True)", "1 to 64 pixels"),
        ("pad_crop(1, 2)", r"expected pad_crop\(padding\)"),
        ("pad_crop(pading=4)", "did you mean 'padding'"),
        ("flip(0.5)", r"flip\(0.5\) has too many values"),
        ("resized_crop(scale=0.8)", "scale of resized_crop is out of range"),
        ("resized_crop(scale=(0.8, 1.1))", "0 < from ≤ to ≤ 1"),
        ("resized_crop(scale=(0.0, 1.0))", "scale of resized_crop"),
        ("resized_crop(ratio=(1.1, 0.9))", "ratio of resized_crop"),
        ("resized_crop(ratio=('a', 1))", "ratio of resized_crop"),
        ("resized_crop(ratio=(0.5, 1, 2))", "ratio of resized_crop"),
    ],
)
def test_what_is_no_augmentation_is_refused(text, message):
    with pytest.raises(SpecError, match=message):
        parse_augment(text)


def test_a_value_given_twice_is_refused():
    with pytest.raises(SpecError, match="padding is given twice"):
        parse_augment("pad_crop(4, padding=5)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dataset", None),
        ("none", ((0.0,), (1.0,))),
        ("mean=0.1307, std=0.3081", ((0.1307,), (0.3081,))),
        ("mean=(0.1, 0.2, 0.3), std=(1, 2, 3)", ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))),
    ],
)
def test_normalizations_are_read(text, expected):
    assert parse_normalize(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "datasets",
        "flip",
        "mean=0.5",
        "mean=0.5, sd=0.5",
        "mean=0.5, std=0",
        "mean=0.5, std=True",
        "mean=0.5, std=(1, 1, 1)",
        "mean=(1, 2), std=(1, 2)",
        "mean='a', std=1",
    ],
)
def test_what_is_no_normalization_is_refused(text):
    with pytest.raises(SpecError, match="normalize="):
        parse_normalize(text)


def test_normalization_fits_the_images():
    gray = noise(channels=1)
    splits = Splits("d", gray, gray, gray, "0" * 64, mean=(0.5,), std=(0.0,))
    assert normalization("dataset", splits) == ((0.5,), (1.0,))  # images without contrast are only centered
    assert normalization("mean=0.1, std=0.2", splits) == ((0.1,), (0.2,))
    with pytest.raises(SpecError, match="has 3 channels: expected one for all"):
        normalization("mean=(0.1, 0.2, 0.3), std=(1, 1, 1)", splits)


def test_streams_depend_on_every_argument_and_on_nothing_else():
    seeds = {
        derive_seed(seed, name, index) for seed in (0, 1) for name in ("shuffle", "augment") for index in (0, 1, 11)
    }
    assert len(seeds) == 12
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(1, "1", 1) != derive_seed(11, "", 1)
    assert derive_seed(0, "shuffle") == 5846905486456240468  # written down when it was made: stored runs rest on it
