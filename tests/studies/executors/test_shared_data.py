"""Data sets in files: the same numbers, each array once."""

import dataclasses

import torch

from convarium.data import load_data
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


def test_what_a_process_writes_to_shared_splits_stays_in_it(tmp_path):
    reference = SharedData(tmp_path).reference(load_data("digits"))
    open_shared(reference).train.images.fill_(7)
    open_shared.cache_clear()
    assert not bool((open_shared(reference).train.images == 7).all())
