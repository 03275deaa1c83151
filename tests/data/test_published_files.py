"""Published files are found and verified in the forms in which people have them."""

import dataclasses
import gzip
import hashlib
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest

from convarium.data import DATASETS, check, load_data
from convarium.data.published import IDX_NAMES, _cifar_layouts, _idx_layouts
from convarium.data.sources import RemoteFile
from convarium.errors import DataError
from convarium.records import ImageSpec

RNG = np.random.default_rng(0)


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def md5(content):
    return hashlib.md5(content).hexdigest()


RAW = {
    name: idx(RNG.integers(0, 10, (n, 4, 4) if "images" in name else n, np.uint8))
    for name, n in zip(IDX_NAMES, (20, 20, 10, 10), strict=True)
}
PACKED = {f"{name}.gz": gzip.compress(content, mtime=1) for name, content in RAW.items()}


@pytest.fixture
def known(tmp_path, monkeypatch):
    """A small data set in place of MNIST, and a folder in which nothing is found yet."""
    files = tuple(RemoteFile(name, len(content), md5(content), ()) for name, content in PACKED.items())
    layouts = _idx_layouts(files, ("mnist",), [md5(content) for content in RAW.values()])
    small = dataclasses.replace(
        DATASETS["mnist"], files=files, layouts=layouts, spec=ImageSpec(1, 4, 4, 10), validation=0, content=None
    )
    monkeypatch.setitem(DATASETS, "mnist", small)
    monkeypatch.setattr("convarium.data.sources.SYSTEM_FOLDERS", ())
    monkeypatch.setattr("convarium.data.sources.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv("CONVARIUM_DATA", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def assert_is_read(data_dir):
    images = load_data("mnist", data_dir=data_dir, download=False).train.images
    assert images.numpy().tobytes() == RAW[IDX_NAMES[0]][16:]
    assert check("mnist", data_dir=data_dir) is not None


FORMS = {
    "packed": PACKED,
    "unpacked": RAW,
    "with a dot": {name.replace("-idx", ".idx"): content for name, content in RAW.items()},
    "with a dot, packed": {name.replace("-idx", ".idx"): content for name, content in PACKED.items()},
    "unpacked by a browser that kept the name": {f"{name}.gz": content for name, content in RAW.items()},
    "packed again": {f"{name}.gz": gzip.compress(content, 1, mtime=2) for name, content in RAW.items()},
    "packed twice under the plain name": {name: gzip.compress(content, mtime=3) for name, content in RAW.items()},
    "half of them unpacked": dict([*list(RAW.items())[:2], *list(PACKED.items())[2:]]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("folder", ["mnist", "."])
def test_the_content_decides_in_whatever_form_it_comes(known, form, folder):
    put(known / "mine" / folder, FORMS[form])
    assert_is_read(known / "mine")


@pytest.mark.parametrize("cut", [0, 10, 25])
def test_beside_a_truncated_file_the_good_one_is_used(known, cut):
    put(known / "mine" / "mnist", PACKED | RAW)
    (known / "mine" / "mnist" / f"{IDX_NAMES[0]}.gz").write_bytes(PACKED[f"{IDX_NAMES[0]}.gz"][:cut])
    assert_is_read(known / "mine")


def test_a_good_folder_is_used_after_a_damaged_one(known):
    put(known / "mine" / "mnist", PACKED)
    (known / "mine" / "mnist" / f"{IDX_NAMES[0]}.gz").write_bytes(b"damaged")
    with pytest.raises(
        DataError, match=r"mine/mnist/train-images-idx3-ubyte.gz is not the published file: expected MD5"
    ):
        load_data("mnist", data_dir=known / "mine", download=False)
    put(known / "cache" / "mnist", RAW)
    assert_is_read(known / "mine")


def test_files_of_another_set_under_the_same_names_are_not_taken(known):
    """Fashion-MNIST's files are called like MNIST's."""
    put(known / "mine", {name: idx(RNG.integers(0, 10, (3, 4, 4), np.uint8)) for name in IDX_NAMES})
    with pytest.raises(DataError, match=r"is not the published file"):
        load_data("mnist", data_dir=known / "mine", download=False)
    put(known / "cache" / "mnist", PACKED)
    assert_is_read(known / "mine")


def cifar():
    """The pickles of a small CIFAR-10 with two training files, and the layouts that know it."""
    names = ("data_batch_1", "data_batch_2", "test_batch")
    parts = {
        name: pickle.dumps(
            {b"data": RNG.integers(0, 256, (4, 3072), np.uint8), b"labels": RNG.integers(0, 10, 4).tolist()}, protocol=2
        )
        for name in names
    }
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, content in parts.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    packed = gzip.compress(tar.getvalue(), mtime=1)
    file = RemoteFile("cifar-10-python.tar.gz", len(packed), md5(packed), ())
    pickles = {name: md5(content) for name, content in parts.items()}
    layouts = _cifar_layouts(
        (".",),
        python=("cifar-10-batches-py", pickles, file),
        binary=("cifar-10-batches-bin", {"x": "0"}, "b.tar.gz", "0"),
    )
    return parts, tar.getvalue(), packed, file, layouts


def test_an_archive_is_verified_by_what_is_in_it(known, monkeypatch):
    parts, tar, packed, file, layouts = cifar()
    small = dataclasses.replace(DATASETS["cifar10"], files=(file,), layouts=layouts, validation=0, content=None)
    monkeypatch.setitem(DATASETS, "cifar10", small)
    forms = {
        "as published": (".", {file.name: packed}),
        "packed again": (".", {file.name: gzip.compress(tar, 1, mtime=5)}),
        "unpacked, under the old name": (".", {file.name: tar}),
        "unpacked": (".", {"cifar-10-python.tar": tar}),
        "its folder": ("cifar-10-batches-py", parts),
        "the folder itself": (".", parts),
    }
    for number, (folder, files) in enumerate(forms.values()):
        put(known / str(number) / folder, files)
        splits = load_data("cifar10", data_dir=known / str(number), download=False)
        assert (len(splits.train), len(splits.test)) == (8, 4)
    other = bytearray(tar)
    other[600] ^= 1
    put(known / "other", {file.name: bytes(other)})
    with pytest.raises(DataError, match=r"cifar-10-python.tar.gz is not the published file"):
        load_data("cifar10", data_dir=known / "other", download=False)
