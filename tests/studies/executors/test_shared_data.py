"""Data sets in files: the same numbers, each array once."""

import dataclasses
import errno
import os

import pytest
import torch

from convarium.data import load_data
from convarium.data.mapped_files import file_of, map_file
from convarium.studies.executors.shared_data import SharedData, open_shared


def test_shared_splits_are_those_that_were_shared(tmp_path):
    splits = load_data("digits")
    read = open_shared(SharedData(tmp_path).reference(splits))
    for name in ("train", "validation", "test"):
        before, after = getattr(splits, name), getattr(read, name)
        assert torch.equal(before.images, after.images)
        assert torch.equal(before.labels, after.labels)
        assert (before.class_names, before.resize) == (after.class_names, after.resize)
    assert (read.digest, read.mean, read.std, read.notes) == (splits.digest, splits.mean, splits.std, splits.notes)


def test_an_array_of_several_splits_is_written_once(tmp_path):
    data = SharedData(tmp_path)
    whole = load_data("digits", validation=0)
    first = data.reference(whole)
    assert data.reference(whole) == first
    assert len(open_shared(first).validation) == 0
    written = [file.name for file in tmp_path.iterdir()]
    data.reference(dataclasses.replace(whole, notes=("another division of the same images",)))
    assert {file.name for file in tmp_path.iterdir()} == {*written, "splits-1"}


def test_a_full_disk_is_named(tmp_path):
    (tmp_path / "array-0").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as raised:
        SharedData(tmp_path).reference(load_data("digits"))
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(tmp_path))


@pytest.mark.parametrize("links", [True, False], ids=["one disk", "another disk"])
def test_images_in_a_mapped_file_are_not_written_again(tmp_path, monkeypatch, links):
    splits, kept, folder = load_data("digits"), tmp_path / "kept.pixels", tmp_path / "shared"
    folder.mkdir()
    kept.write_bytes(splits.train.images.numpy().tobytes())
    mapped = torch.from_numpy(map_file(kept)[28 * 28 :].reshape(-1, 1, 28, 28))
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (tmp_path / "nothing").stat())
    inode = kept.stat().st_ino
    of_mapped = dataclasses.replace(splits.train, images=mapped, labels=splits.train.labels[1:])
    reference = SharedData(folder).reference(dataclasses.replace(splits, train=of_mapped))
    assert inode in {file.stat().st_ino for file in folder.iterdir()}
    if links:
        kept.unlink()  # as another process does that has read other images
    assert torch.equal(open_shared(reference).train.images, splits.train.images[1:])


@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "deleted"])
def test_images_whose_file_is_gone_are_written_again(tmp_path, replaced):
    splits, kept = load_data("digits"), tmp_path / "kept.pixels"
    kept.write_bytes(splits.train.images.numpy().tobytes())
    mapped = torch.from_numpy(map_file(kept).reshape(-1, 1, 28, 28))
    kept.unlink()  # as another process does that has read other images
    if replaced:
        kept.write_bytes(bytes(mapped.numel()))
    of_mapped = dataclasses.replace(splits, train=dataclasses.replace(splits.train, images=mapped))
    (tmp_path / "shared").mkdir()
    shared = open_shared(SharedData(tmp_path / "shared").reference(of_mapped))
    assert torch.equal(shared.train.images, splits.train.images)


def test_a_file_is_forgotten_when_nothing_maps_it(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"12345678")
    numbers = map_file(file)
    address = numbers.ctypes.data
    assert file_of(address + 2, 3) == (file, 2)
    assert file_of(address + 2, 8) is None
    del numbers
    assert file_of(address + 2, 3) is None


def test_what_a_process_writes_to_shared_splits_stays_in_it(tmp_path):
    reference = SharedData(tmp_path).reference(load_data("digits"))
    open_shared(reference).train.images.fill_(7)
    open_shared.cache_clear()
    assert not bool((open_shared(reference).train.images == 7).all())
