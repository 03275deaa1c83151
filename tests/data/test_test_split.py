"""The test images as arrays are those of `load_data`, whether a data set is published or a folder."""

import hashlib
import struct

import numpy as np
import pytest
from PIL import Image

from convarium.data import load_data, load_test_images
from convarium.data.folder_options import FolderOptions
from convarium.data.published import IDX_NAMES, _idx_layouts
from convarium.errors import DataError, SpecError


def assert_same_as_load_data(dataset, resize=None):
    images, labels = load_test_images(dataset, options=FolderOptions(side=resize))
    expected = load_data(dataset, resize=resize).test
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


def test_the_training_files_are_not_read(tmp_path, monkeypatch):
    images = b"\0\0\x08\x03" + struct.pack(">3I", 2, 1, 3) + bytes(range(6))
    labels = b"\0\0\x08\x01" + struct.pack(">I", 2) + bytes([7, 1])
    contents = dict(zip(IDX_NAMES, [b"damaged", b"damaged", images, labels], strict=True))
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    digests = [hashlib.md5(content).hexdigest() for content in (b"images", b"labels", images, labels)]
    (_, layout) = _idx_layouts([], (".",), digests)
    monkeypatch.setattr("convarium.data.sources.locations", lambda *_: iter([(layout, tmp_path)]))
    test_images, test_labels = load_test_images("mnist")
    assert test_images.tolist() == [[[[0, 1, 2]]], [[[3, 4, 5]]]]
    assert test_labels.tolist() == [7, 1]


def test_without_files_there_are_no_images_and_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr("convarium.data.sources.locations", lambda *_: iter([]))
    assert load_test_images("cifar100", data_dir=tmp_path) is None


def test_a_wrong_name_or_path_is_refused(tmp_path):
    with pytest.raises(SpecError, match="unknown data set 'mnst'"):
        load_test_images("mnst")
    with pytest.raises(DataError, match="there is no folder"):
        load_test_images(f"folder:{tmp_path / 'nothing'}")
