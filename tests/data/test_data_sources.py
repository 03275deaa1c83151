import codecs
import dataclasses
import gzip
import hashlib
import io
import os
import pickle
import re
import struct
import tarfile
from functools import partial

import numpy as np
import pytest
import torch

from convarium.data import DATASETS, check, load_data, readers
from convarium.data.published_files import read
from convarium.data.readers import (
    read_archive,
    read_cifar_binary,
    read_cifar_pickle,
    read_cifar_pickles,
    read_idx,
)
from convarium.data.sources import Layout, cache_folder, data_folders, download_folder, find
from convarium.data.splits import content_digest
from convarium.errors import DataError
from convarium.records import ImageSpec

PLACES = [
    pytest.param(name, layout, folder, id=f"{name}-{next(iter(layout.files))}-{folder}")
    for name, dataset in DATASETS.items()
    for layout in dataset.layouts
    for folder in layout.folders
    if layout.files
]


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A place where no data set is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONVARIUM_DATA", raising=False)
    monkeypatch.setattr("convarium.data.sources.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("convarium.data.sources.SYSTEM_FOLDERS", ())
    return tmp_path


def lay_out(layout, folder, content=b"other"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in layout.files:
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_known_of_a_data_set_agrees_with_itself(name):
    dataset = DATASETS[name]
    assert len(dataset.class_names) == len(set(dataset.class_names)) == dataset.spec.classes
    assert len(dataset.mean) == len(dataset.std) == dataset.spec.channels
    assert 0 <= dataset.validation < dataset.train
    assert re.fullmatch("[0-9a-f]{64}", dataset.digest)
    digests = [md5 for layout in dataset.layouts for md5 in layout.files.values()]
    assert all(re.fullmatch("[0-9a-f]{32}", md5) for md5 in digests)
    assert len(set(digests)) == len(digests)
    for file in dataset.files:
        assert all(url.endswith(f"/{file.name}") for url in file.urls)
        assert file.md5 in digests
        assert len(file.urls) >= 2


def test_every_data_set_has_a_digest_of_its_own():
    assert len({dataset.digest for dataset in DATASETS.values()}) == len(DATASETS)


@pytest.mark.parametrize(("name", "layout", "folder"), PLACES)
def test_every_accepted_layout_is_found_and_other_content_is_refused(name, layout, folder, empty):
    assert find(DATASETS[name]) is None
    lay_out(layout, empty / "mine" / folder)
    found = find(DATASETS[name], empty / "mine")
    assert found is not None
    assert found[0] is layout
    first, md5 = next(iter(layout.files.items()))
    received = hashlib.md5(b"other").hexdigest()
    with pytest.raises(
        DataError, match=f"{first} is not the published file: expected MD5 {md5}.*{received}.*delete it"
    ):
        load_data(name, data_dir=empty / "mine")
    with pytest.raises(DataError, match=first):
        check(name, data_dir=empty / "mine")


def test_data_folders_are_searched_in_the_documented_order(empty, monkeypatch):
    dataset, layout = DATASETS["mnist"], DATASETS["mnist"].layouts[0]
    monkeypatch.setenv("CONVARIUM_DATA", str(empty / "env"))
    monkeypatch.setattr("convarium.data.sources.SYSTEM_FOLDERS", (empty / "system",))
    folders = data_folders(empty / "argument")
    assert [str(f.relative_to(empty)) if f.is_absolute() else str(f) for f in folders] == [
        "argument", "env", "data", "cache", "system",
    ]  # fmt: skip
    for folder in reversed(folders):
        lay_out(layout, folder / "mnist")
        assert find(dataset, empty / "argument") == (layout, folder / "mnist")


def test_a_download_goes_to_the_named_folder_or_to_the_cache(empty, monkeypatch):
    assert download_folder() == empty / "cache"
    monkeypatch.setenv("CONVARIUM_DATA", str(empty / "env"))
    assert download_folder() == empty / "env"
    assert download_folder(empty / "named") == empty / "named"
    assert "convarium" in str(cache_folder())


def test_an_incomplete_set_of_files_is_not_taken(empty):
    lay_out(DATASETS["mnist"].layouts[0], empty / "data" / "mnist")
    (empty / "data" / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert find(DATASETS["mnist"]) is None
    with pytest.raises(DataError, match=r"mnist is in none of data.*convarium data fetch mnist"):
        load_data("mnist", download=False)
    with pytest.raises(DataError, match=r"mnist is in none of .*: \S*mnist lacks t10k-labels-idx1-ubyte.gz; get it"):
        check("mnist")
    for file in DATASETS["cifar100"].files:
        with pytest.raises(DataError, match=rf"cifar100 is in none of .*: looked for .*{re.escape(file.name)}"):
            check("cifar100")


def test_a_file_that_may_not_be_read_is_named(empty, monkeypatch):
    lay_out(DATASETS["mnist"].layouts[0], empty / "data" / "mnist")

    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.read_bytes", forbidden)
    with pytest.raises(DataError, match=r"cannot read .*train-images-idx3-ubyte.gz: Permission denied"):
        load_data("mnist")


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def test_idx_files_are_read_gzipped_or_not():
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((5, 3, 4), (5,), (2, 3, 4), (2,))]
    raw = [idx(a) for a in arrays]
    for files in (raw, [gzip.compress(f) for f in raw]):
        (x, y), (x_test, y_test) = read_idx(files)
        for got, written in zip((x[:, 0], y, x_test[:, 0], y_test), arrays, strict=True):
            np.testing.assert_array_equal(got, written)
        assert y.dtype == np.int64


@pytest.mark.parametrize(
    ("raw", "message"), [(b"GIF89a", "not an IDX file"), (idx(np.zeros((3, 2), np.uint8))[:-1], "truncated")]
)
def test_what_is_no_idx_file_is_refused(raw, message):
    with pytest.raises(DataError, match=message):
        read_idx([raw] * 4)


def cifar_parts():
    rng = np.random.default_rng(0)
    return [(rng.integers(0, 256, (4, 3072), dtype=np.uint8), rng.integers(0, 9, 4).tolist()) for _ in range(3)]


def cifar_files(label=b"labels"):
    """Pickles with byte keys, as Python 2 wrote them."""
    return [pickle.dumps({b"data": x, label: y, b"filenames": [b"a.png"]}, protocol=2) for x, y in cifar_parts()]


def assert_are_the_parts(read):
    (x, y), (x_test, y_test) = read
    parts = cifar_parts()
    np.testing.assert_array_equal(x.reshape(-1, 3072), np.concatenate([p[0] for p in parts[:2]]))
    np.testing.assert_array_equal(x_test.reshape(-1, 3072), parts[2][0])
    assert y.tolist() == parts[0][1] + parts[1][1]
    assert y_test.tolist() == parts[2][1]


@pytest.mark.parametrize("label", [b"labels", b"fine_labels"])
def test_cifar_pickles_are_read(label):
    assert_are_the_parts(read_cifar_pickles(cifar_files(label)))


@pytest.mark.parametrize("label_bytes", [1, 2])
def test_cifar_records_are_read_and_the_fine_label_is_the_last(label_bytes):
    files = [
        b"".join(bytes([77] * (label_bytes - 1) + [label]) + row.tobytes() for row, label in zip(x, y, strict=True))
        for x, y in cifar_parts()
    ]
    assert_are_the_parts(read_cifar_binary(files, label_bytes=label_bytes))


def test_an_archive_is_read_whatever_the_order_of_its_members():
    names = ["one", "two", "test"]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("cifar"), None)
        for name, content in reversed(list(zip(names, cifar_files(), strict=True))):
            member = tarfile.TarInfo(f"cifar/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert_are_the_parts(read_archive([packed.getvalue()], members=names, read=read_cifar_pickles))


class Malicious:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "content",
    [Malicious(os.mkdir, "ran"), Malicious(eval, "1"), Malicious(codecs.decode, b"a"), Malicious(partial, print)],
    ids=["mkdir", "eval", "decode", "partial"],
)
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"a data file asks to run .*delete it"):
        read_cifar_pickles([pickle.dumps({b"data": content}, protocol=2)] * 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["numpy.dtype", "numpy.ndarray", "numpy.core.multiarray._reconstruct"])
def test_a_pickle_never_reaches_numpy_which_can_end_the_process_on_a_state_that_it_did_not_write(name):
    module, _, attribute = name.rpartition(".")
    found = readers._ArraysOnly(io.BytesIO()).find_class(module, attribute)
    assert found.__module__ == readers.__name__


@pytest.mark.parametrize("array", [np.zeros((2, 3072)), np.zeros((2, 3072), np.int64), np.zeros((3072, 2), np.uint8).T])
def test_a_pickle_of_other_numbers_than_bytes_is_refused(array):
    with pytest.raises(DataError, match="not of bytes, row by row"):
        read_cifar_pickle([pickle.dumps({b"data": array, b"labels": [0, 1]}, protocol=2)])


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_the_published_files_are_what_is_stated_of_them(name):
    known = DATASETS[name]
    splits = load_data(name, validation=0, download=False)
    assert (len(splits.train), len(splits.test), splits.train.spec) == (known.train, known.test, known.spec)
    assert content_digest(splits.train, splits.test) == splits.digest == known.content
    assert splits.mean == pytest.approx(known.mean, abs=6e-5)
    assert splits.std == pytest.approx(known.std, abs=6e-5)
    assert splits.train.labels.bincount().tolist() == pytest.approx([known.train / 10] * 10, rel=0.15)
    if known.files[0].name in (found := find(known))[0].files:
        assert {f.name: f.size for f in known.files} == {
            f.name: (found[1] / f.name).stat().st_size for f in known.files
        }


@pytest.mark.data("mnist", "fashion_mnist")
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_unpacked_files_have_the_stated_digests(name):
    gzipped, raw = DATASETS[name].layouts
    found = find(DATASETS[name])
    if found[0] is not gzipped:
        pytest.skip("only the unpacked files are here")
    for packed, (_, md5) in zip(gzipped.files, raw.files.items(), strict=True):
        assert hashlib.md5(gzip.decompress((found[1] / packed).read_bytes())).hexdigest() == md5


@pytest.mark.data("cifar10")
def test_the_binary_version_of_cifar10_has_the_stated_digests():
    splits = load_data("cifar10", validation=0)
    stated = list(DATASETS["cifar10"].layouts[1].files.values())
    batches = [(splits.train.images[i : i + 10000], splits.train.labels[i : i + 10000]) for i in range(0, 50000, 10000)]
    for (images, labels), md5 in zip([*batches, (splits.test.images, splits.test.labels)], stated, strict=True):
        records = np.concatenate([labels.numpy().astype(np.uint8)[:, None], images.numpy().reshape(-1, 3072)], axis=1)
        assert hashlib.md5(records.tobytes()).hexdigest() == md5


@pytest.mark.parametrize("cut", [4, 7, 15, 16, 95])
def test_a_truncated_idx_file_is_named_as_such(cut):
    raw = idx(np.zeros((5, 4, 4), np.uint8))[:cut]
    with pytest.raises(DataError, match="truncated"):
        read_idx([raw, idx(np.zeros(5, np.uint8))] * 2)


def test_idx_files_of_other_dimensions_are_refused():
    with pytest.raises(DataError, match=r"IDX files have other dimensions: expected images \(n, height, width\)"):
        read_idx([idx(np.zeros((5, 4), np.uint8)), idx(np.zeros(5, np.uint8))] * 2)


@pytest.mark.parametrize("raw", [b"", b"1" * 3072, b"1" * 3074])
def test_a_truncated_cifar_file_is_named_as_such(raw):
    with pytest.raises(DataError, match="a CIFAR file is truncated: expected a multiple of 3073 bytes"):
        read_cifar_binary([raw, raw])


READERS = {
    "gzip": (read_idx, [gzip.compress(idx(np.zeros((5, 4, 4), np.uint8)))[:-20]] * 4),
    "pickle": (read_cifar_pickles, [cifar_files()[0][:500]] * 2),
    "other pickle": (read_cifar_pickles, [pickle.dumps([1, 2])] * 2),
    "no labels": (read_cifar_pickles, [pickle.dumps({b"data": 1})] * 2),
    "archive": (partial(read_archive, members=["one"], read=read_cifar_pickles), [b"\x1f\x8b rubbish"]),
    "npz that is none": (lambda files: np.load(io.BytesIO(files[0])), [b"PK\x03\x04 rubbish"]),
    "npz cut": (lambda files: np.load(io.BytesIO(files[0])), [b"PK"]),
}


@pytest.mark.parametrize("read_damaged", READERS)
def test_content_that_a_reader_fails_on_names_the_files(read_damaged, tmp_path):
    reader, contents = READERS[read_damaged]
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.bin").write_bytes(content)
    files = {f"{number}.bin": hashlib.md5(content).hexdigest() for number, content in enumerate(contents)}
    with pytest.raises(DataError, match=rf"cannot read .*{tmp_path.name}/0.bin.*; it is damaged, or its reader"):
        read(Layout(files, (".",), reader), tmp_path)


IMAGES, LABELS = np.arange(24, dtype=np.uint8).reshape(2, 1, 3, 4), np.array([1, 0])


def read_part(images, labels):
    return read(Layout({}, (".",), lambda _: ((images, labels), (IMAGES, LABELS))), None)


def test_arrays_of_any_layout_and_byte_order_become_tensors():
    (images, labels), _ = read_part(IMAGES[::-1, :, ::-1], LABELS[::-1].astype(">i2"))
    assert torch.from_numpy(images).tolist() == IMAGES[::-1, :, ::-1].tolist()
    assert torch.from_numpy(labels).tolist() == [0, 1]
    assert labels.dtype == np.int64


@pytest.mark.parametrize(
    ("images", "labels", "received"),
    [
        (IMAGES.tolist(), LABELS, "the training images have the wrong form.* received 'list'"),
        (IMAGES[:, 0], LABELS, r"the training images .* received 'uint8 \(2, 3, 4\)'"),
        (IMAGES.astype(">u2"), LABELS, r"the training images .* received '>u2|uint16 \(2, 1, 3, 4\)'"),
        (IMAGES, LABELS.tolist(), "the labels of the training images have the wrong form.* received 'list'"),
        (IMAGES, LABELS / 2, "the labels .* whole numbers .*received 'float64"),
        (IMAGES, LABELS[:1], r"the labels .* whole numbers \(2,\), received 'int64 \(1,\)'"),
    ],
)
def test_what_is_no_array_of_images_and_labels_is_refused(images, labels, received):
    with pytest.raises(DataError, match=received):
        read_part(images, labels)


def test_a_reader_that_returns_something_else_is_refused():
    with pytest.raises(DataError, match=r"the test images have the wrong form.* received 'NoneType'"):
        read(Layout({}, (".",), lambda _: ((IMAGES, LABELS), None)), None)


def test_images_of_another_size_than_the_entrys_are_refused(monkeypatch):
    small = dataclasses.replace(DATASETS["digits"], spec=ImageSpec(1, 27, 28, 10))
    monkeypatch.setitem(DATASETS, "digits", small)
    with pytest.raises(DataError, match=r"the images of digits are not those of its entry: expected .*height=27"):
        load_data("digits")
