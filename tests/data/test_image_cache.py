"""Decoded images are kept, and used again only while nothing has changed."""

import os
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convarium.data import image_cache, load_data
from convarium.data.image_files import ImageForm

N = 12


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A folder of images that is worth keeping, a cache of its own, and a list of the files that are decoded."""
    monkeypatch.setattr(image_cache, "WORTH_KEEPING", (N, 2**25))
    monkeypatch.setattr(image_cache, "SETTLED", 0)
    monkeypatch.setattr(image_cache, "cache_folder", lambda: tmp_path / "cache" / "images")
    rng = np.random.default_rng(0)
    for number in range(N):
        file = tmp_path / "photos" / "ab"[number % 2] / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (6, 5, 3), np.uint8)).save(file)
    decoded, decode = [], image_cache.decode

    def noting(file, form):
        decoded.append(file.name)
        return decode(file, form)

    monkeypatch.setattr(image_cache, "decode", noting)
    return tmp_path / "photos", decoded


def load(folder, **options):
    return load_data(f"folder:{folder}", validation=2, **options)


def pixels(splits):
    return torch.cat([splits.train.images, splits.validation.images, splits.test.images])


def entries(folder):
    return sorted(file.name.split(".")[-1] for file in (folder.parent / "cache" / "images").rglob("*.*"))


def test_the_second_time_nothing_is_decoded_and_all_is_the_same(kept):
    folder, decoded = kept
    first = load(folder)
    assert len(decoded) == N
    again = load(folder)
    assert len(decoded) == N
    assert torch.equal(pixels(first), pixels(again))
    assert torch.equal(first.train.labels, again.train.labels)
    assert (first.digest, first.mean, first.notes) == (again.digest, again.mean, again.notes)
    assert entries(folder) == ["json", "pixels"]


def test_a_file_that_was_changed_added_or_taken_away_is_noticed(kept):
    folder, decoded = kept
    digests = [load(folder).digest]
    Image.new("RGB", (5, 6), (1, 2, 3)).save(folder / "a" / "00.png")
    digests.append(load(folder).digest)
    Image.new("RGB", (5, 6), (4, 5, 6)).save(folder / "a" / "99.png")
    digests.append(load(folder).digest)
    (folder / "b" / "01.png").rename(folder / "a" / "01.png")
    digests.append(load(folder).digest)
    assert len(set(digests)) == 4
    assert len(decoded) == 2 * N + 2 * (N + 1)
    assert entries(folder) == ["json", "pixels"]


def test_a_change_that_keeps_size_and_time_is_noticed(kept):
    """As `cp -p` and `rsync` make them: the time of the change itself cannot be set."""
    folder, _ = kept
    file = folder / "a" / "00.png"
    before, digest = file.stat(), load(folder).digest
    content = bytearray(file.read_bytes())
    other = folder / "b" / "01.png"
    if len(content) != other.stat().st_size:
        pytest.skip("the two files differ in size")
    file.write_bytes(other.read_bytes())
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load(folder).digest != digest


def test_files_that_were_just_written_are_not_trusted(kept, monkeypatch):
    folder, decoded = kept
    monkeypatch.setattr(image_cache, "SETTLED", 3600 * 10**9)
    load(folder)
    load(folder)
    assert len(decoded) == 2 * N
    assert not (folder.parent / "cache").exists()


def test_every_option_has_an_entry_of_its_own(kept):
    folder, decoded = kept
    for options in ({}, {"resize": 3}, {"ground": "black"}, {"fit": "pad"}):
        load(folder, **options)
    assert len(decoded) == 4 * N
    for options in ({}, {"resize": 3}, {"ground": "black"}, {"fit": "pad"}):
        load(folder, **options)
    assert len(decoded) == 4 * N


@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "index", "empty index", "other index", "no pixels"])
def test_a_damaged_entry_is_made_anew(kept, damage):
    folder, decoded = kept
    digest = load(folder).digest
    (held,) = (folder.parent / "cache").rglob("*.pixels")
    index = held.with_name("index.json")
    content = bytearray(held.read_bytes())
    if damage == "flip":
        content[17] ^= 1
        held.write_bytes(content)
    elif damage == "cut":
        held.write_bytes(content[:-90])
    elif damage == "longer":
        held.write_bytes(content + content[:90])
    elif damage == "no pixels":
        held.unlink()
    else:
        index.write_text({"index": index.read_text()[:-9], "empty index": "[]", "other index": "{}"}[damage])
    assert load(folder).digest == digest
    assert len(decoded) == 2 * N
    assert load(folder).digest == digest
    assert len(decoded) == 2 * N


def test_a_disk_that_is_full_means_memory(kept, monkeypatch):
    folder, _ = kept
    expected = pixels(load(folder))

    def full(path, fill):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(image_cache, "write_file", full)
    assert torch.equal(pixels(load(folder, skip_broken=True)), expected)


def test_more_than_memory_holds_is_refused_where_nothing_can_be_kept(kept, monkeypatch):
    folder, _ = kept
    monkeypatch.setattr(image_cache, "WORTH_KEEPING", (10**9, 10**9))
    monkeypatch.setattr(os, "sysconf", lambda _: 32)
    with pytest.raises(
        image_cache.DataError, match=r"12 images of 5×6 pixels take 0.0 GiB of memory: expected at most 80 %"
    ):
        load(folder)


def test_broken_images_that_were_left_out_are_remembered(kept):
    folder, decoded = kept
    (folder / "a" / "02.png").write_bytes(b"rubbish")
    first = load(folder, skip_broken=True)
    again = load(folder, skip_broken=True)
    assert len(decoded) == N - 1
    assert first.notes == again.notes
    assert "a/02.png" in first.notes[0]
    with pytest.raises(image_cache.DataError, match="cannot read the image"):
        load(folder)


def test_an_entry_that_is_long_unused_is_deleted(kept):
    folder, _ = kept
    load(folder)
    (index,) = (folder.parent / "cache").rglob("index.json")
    long_ago = time.time() - image_cache.UNUSED - 10
    os.utime(index, (long_ago, long_ago))
    load(folder, resize=3)
    assert not index.exists()


def test_what_killed_processes_left_behind_is_deleted(kept):
    folder, _ = kept
    load(folder)
    (index,) = (folder.parent / "cache").rglob("index.json")
    old, new = index.with_name(".a.pixels.0123456789ab.tmp"), index.with_name(".a.pixels.ba9876543210.tmp")
    without_index = index.parents[1] / "b"
    without_index.mkdir()
    for file in (old, new, without_index / "b.pixels"):
        file.write_text("half")
    os.utime(old, (0, 0))
    os.utime(without_index, (0, 0))
    load(folder, resize=3)
    assert not old.exists()
    assert not without_index.exists()
    assert new.exists()  # another process may be writing it


def test_changes_to_the_arrays_do_not_reach_the_files(kept):
    folder, _ = kept
    expected = pixels(load(folder))
    load(folder).train.images.zero_()
    assert torch.equal(pixels(load(folder)), expected)


@pytest.mark.skipif(sys.platform != "linux", reason="the system says elsewhere in other ways how much memory it has")
def test_more_than_memory_holds_can_be_mapped(tmp_path):
    """Linux refuses a mapping that may be written to if all of it would be more than memory and swap together."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    swap = int(re.search(r"SwapTotal: +(\d+) kB", Path("/proc/meminfo").read_text("utf-8"))[1]) * 1024
    form = ImageForm(3, 1024, 1024)
    n = (pages + swap) * 5 // 4 // (3 * 1024**2)
    with (tmp_path / "large.pixels").open("wb") as file:
        file.truncate(n * 3 * 1024**2)  # of zeros, which take no place on the disk
    images = image_cache._mapped(tmp_path / "large.pixels", form)
    assert images.shape == (n, 3, 1024, 1024)
    images[-1] = 7
    assert images[0].max() == 0
    assert images[-1].min() == 7
    assert image_cache._mapped(tmp_path / "large.pixels", form)[-1].max() == 0


def test_the_progress_is_told(kept):
    folder, _ = kept
    events = []
    load_data(f"folder:{folder}", on_event=lambda *event: events.append(event))
    assert events[-1] == ("images", N, N)
