"""The test images as arrays are those of `load_data`, whether a data set is published or a folder."""

import numpy as np
import pytest
from PIL import Image

from convarium.data import load_data, load_test_images
from convarium.errors import DataError, SpecError


def assert_same_as_load_data(dataset, **options):
    images, labels = load_test_images(dataset, **options)
    expected = load_data(dataset, **options).test
    assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
    assert np.array_equal(images, expected.images.numpy())
    assert np.array_equal(labels, expected.labels.numpy())


def test_digits():
    assert_same_as_load_data("digits")


@pytest.mark.data
def test_a_published_data_set():
    assert_same_as_load_data("fashion_mnist")


@pytest.mark.parametrize("splits", [[""], ["train", "test"], ["train", "val"], ["train", "val", "test"]])
@pytest.mark.parametrize("resize", [None, 9])
def test_a_folder(tmp_path, splits, resize):
    rng = np.random.default_rng(0)
    for split in splits:
        for name in ("cat", "dog"):
            for i in range(7):
                file = tmp_path / split / name / f"{i}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, (10 + i, 12, 3), dtype=np.uint8)).save(file)
    assert_same_as_load_data(f"folder:{tmp_path}", resize=resize)


def test_without_files_there_are_no_images_and_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr("convarium.data.arrays.find", lambda *_: None)
    assert load_test_images("cifar100", data_dir=tmp_path) is None


def test_a_wrong_name_or_path_is_refused(tmp_path):
    with pytest.raises(SpecError, match="unknown data set 'mnst'"):
        load_test_images("mnst")
    with pytest.raises(DataError, match="there is no folder"):
        load_test_images(f"folder:{tmp_path / 'nothing'}")
