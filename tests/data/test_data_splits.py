import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convarium.data import DATASETS, load_data
from convarium.data.loading import read_data
from convarium.data.splits import (
    ImageData,
    UndividedData,
    check_images,
    content_digest,
    divide,
    hold_out,
    statistics,
)
from convarium.errors import DataError, SpecError
from convarium.records import ImageSpec


def numbered(n: int, classes: int = 3) -> ImageData:
    """Images that carry their own number in their first two pixels."""
    images = torch.zeros(n, 1, 2, 2, dtype=torch.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = torch.arange(n) // 256, torch.arange(n) % 256
    return ImageData(images, torch.arange(n) % classes, tuple(f"class {i}" for i in range(classes)))


def numbers(data: ImageData) -> list[int]:
    return (data.images[:, 0, 0, 0].int() * 256 + data.images[:, 0, 0, 1]).tolist()


@given(n=st.integers(1, 300), share=st.floats(0, 1, exclude_max=True))
def test_a_division_is_disjoint_complete_and_repeatable(n, share):
    data, validation = numbered(n), int(n * share)
    train, held_out = hold_out(data, validation)
    assert (len(train), len(held_out)) == (n - validation, validation)
    assert sorted(numbers(train) + numbers(held_out)) == list(range(n))
    assert numbers(hold_out(data, validation)[1]) == numbers(held_out)
    for part in (train, held_out):
        assert part.labels.tolist() == [i % 3 for i in numbers(part)]


def test_the_division_of_cifar10_is_that_of_uva_tutorial_5():
    """The source: pl.seed_everything(42); random_split(train_set, [45000, 5000])."""
    train, validation = hold_out(numbered(50000), 5000)
    torch.manual_seed(42)
    theirs = torch.utils.data.random_split(range(50000), [45000, 5000])
    assert numbers(train) == theirs[0].indices
    assert numbers(validation) == theirs[1].indices


@pytest.mark.parametrize("validation", [-1, 10, 11])
def test_something_must_be_left_to_train_on(validation):
    with pytest.raises(DataError, match=f"validation={validation} .* expected 0 to 9.*--validation 0"):
        hold_out(numbered(10), validation)


def test_statistics_are_those_of_all_pixels_by_channel():
    images = torch.randint(0, 256, (700, 3, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = statistics(images)
    pixels = images.double() / 255
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), rel=1e-12)
    assert std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), rel=1e-12)


def test_the_digest_depends_on_every_image_label_and_shape():
    base = numbered(6)
    same = numbered(6)
    assert content_digest(base, same) == content_digest(same, base)
    other_pixel, other_label = numbered(6), numbered(6)
    other_pixel.images[5, 0, 1, 1] = 1
    other_label.labels[5] = 0
    wide = ImageData(base.images.reshape(6, 1, 1, 4), base.labels, base.class_names)
    digests = {content_digest(base, part) for part in (base, other_pixel, other_label, wide)}
    assert len(digests) == 4


def test_a_resized_data_set_says_so_to_the_networks():
    data = load_data("digits", resize=96).train
    assert data.spec == ImageSpec(1, 96, 96, 10)
    assert data.images.shape[-2:] == (28, 28)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64), "uint8 of shape"),
        (torch.zeros(2, 2, 2, 2, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), "1 or 3"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), r"int64 of shape \(2,\)"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(2), "int64 of shape"),
        (torch.zeros(0, 1, 2, 2, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64), "no images"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 2]), "labels from 0 to 2: expected 0 to 1"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([-1, 0]), "labels from -1 to 0"),
    ],
)
def test_images_and_labels_that_do_not_fit_together_are_refused(images, labels, message):
    with pytest.raises(DataError, match=message):
        check_images(ImageData(images, labels, ("a", "b")), "the training split")


def test_digits_always_load_and_are_divided_as_stated():
    known = DATASETS["digits"]
    splits = load_data("digits", download=False)
    sizes = [len(part) for part in (splits.train, splits.validation, splits.test)]
    assert sizes == [known.train - known.validation, known.validation, known.test]
    assert splits.train.spec == known.spec
    whole = load_data("digits", validation=0)
    assert content_digest(whole.train, whole.test) == splits.digest == known.digest
    assert whole.mean == pytest.approx(known.mean, abs=5e-5)
    assert whole.std == pytest.approx(known.std, abs=5e-5)
    assert set(splits.test.labels.tolist()) == set(range(10))


def test_digits_are_enlarged_bilinearly():
    from sklearn.datasets import load_digits

    whole = load_data("digits", validation=0)
    images = torch.cat([whole.train.images, whole.test.images])
    order = np.random.default_rng(0).permutation(len(images))
    small = torch.from_numpy(load_digits().images[order])[:, None] * 255 / 16
    expected = torch.nn.functional.interpolate(small, (28, 28), mode="bilinear", align_corners=False)
    assert (images - expected).abs().max() <= 0.5 + 1e-9


def test_an_unknown_data_set_is_answered_with_the_nearest_names():
    with pytest.raises(SpecError, match=r"unknown data set 'fashion-mnist'.*'fashion_mnist'"):
        load_data("fashion-mnist")


@pytest.mark.parametrize("resize", [0, 1025])
def test_a_size_out_of_range_is_refused(resize):
    with pytest.raises(DataError, match=f"resize={resize} .* 1 to 1024"):
        load_data("digits", resize=resize)


@pytest.mark.parametrize("resize", [0, 1025])
def test_a_size_out_of_range_is_refused_for_data_that_are_in_memory_too(resize):
    undivided = read_data("digits")
    with pytest.raises(DataError, match=f"resize={resize} is out of range: expected 1 to 1024 pixels"):
        divide(undivided, resize=resize)


@pytest.mark.parametrize("n", [3, 700])
def test_training_images_that_are_all_equal_are_told_of(n):
    images = torch.randint(0, 256, (1, 1, 5, 5), dtype=torch.uint8).expand(n, 1, 5, 5).contiguous()
    note = f"all {n} training images are equal: there is nothing to learn from them"
    assert divided(images).notes == (note,)
    images[-1, 0, 4, 4] += 1
    assert divided(images).notes == ()


def test_a_channel_without_contrast_is_told_of():
    images = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8)
    images[:, 1] = 7
    (note,) = divided(images).notes
    assert note == "channel 1 has one value in all pixels of the training images, and tells the network nothing"
    images[:, 2] = 7
    assert divided(images).notes[0].startswith("channels 1, 2 have one value")


def divided(images):
    data = ImageData(images, torch.arange(len(images)) % 2, ("a", "b"))
    return divide(UndividedData("data", data, None, data, 0, "digest"))
