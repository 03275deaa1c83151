"""Kept libraries are this user's alone, and none is read that does not have its digest."""

import os
import random
import stat
import time
from pathlib import Path

import pytest

from convarium.kernels import cache

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kernels are for Linux")
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The user's cache; the folder for temporary files is `tmp_path / "temporary"`."""
    monkeypatch.setattr(cache, "user_cache_path", lambda name: tmp_path / "home" / ".cache" / name)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(cache.tempfile, "tempdir", os.fspath(tmp_path / "temporary"))
    return tmp_path / "home" / ".cache" / "convarium" / "kernels"


@pytest.fixture
def temporary(tmp_path):
    return tmp_path / "temporary" / f"convarium-kernels-{os.geteuid()}"


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "0123.so"
    cache.write_library(path, CONTENT)
    return path


def safe_folders():
    return [path for path in cache.library_folders() if cache.make_private(path)]


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_library_is_read_as_it_was_written(kept):
    assert cache.read_library(kept) == CONTENT
    assert cache.read_library(kept.with_name("other.so")) is None


def test_whatever_the_umask_is_nobody_else_can_write(folder, temporary):
    before = os.umask(0)
    try:
        assert safe_folders() == [folder, temporary]
        cache.write_library(folder / "a.so", CONTENT)
        cache.write_failure(folder / "a.json", "/bin/sh", "why")
    finally:
        os.umask(before)
    assert [mode(path) for path in (folder, temporary)] == [0o700, 0o700]
    assert [mode(path) for path in (folder.parent, folder.parent.parent)] == [0o700, 0o700]
    assert [mode(path) for path in folder.iterdir()] == [0o600, 0o600]


def test_looking_for_a_library_makes_no_folder(folder, temporary, tmp_path):
    assert cache.library_folders() == [folder, temporary]
    assert [cache.read_library(path / "a.so") for path in (folder, temporary)] == [None, None]
    assert not (tmp_path / "home").exists()
    assert not temporary.exists()


def test_a_folder_that_others_may_write_to_is_not_read_and_becomes_private(folder):
    cache.write_library(folder / "a.so", CONTENT)
    folder.chmod(0o777)
    assert cache.read_library(folder / "a.so") is None
    cache.write_library(folder / "b.so", CONTENT)
    assert mode(folder) == 0o700
    assert cache.read_library(folder / "a.so") == CONTENT


def test_a_folder_that_another_user_owns_is_not_used(folder, monkeypatch):
    assert len(safe_folders()) == 2
    user = os.geteuid()
    cache.write_library(folder / "a.so", CONTENT)
    monkeypatch.setattr(cache.os, "geteuid", lambda: user + 1)
    assert folder not in safe_folders()
    assert cache.read_library(folder / "a.so") is None
    with pytest.raises(PermissionError, match=r"others can write to this folder.*kernels"):
        cache.write_library(folder / "b.so", CONTENT)


def test_a_folder_that_everybody_may_exchange_is_not_used(folder, temporary):
    safe_folders()
    folder.parent.chmod(0o777)
    assert safe_folders() == [temporary]
    folder.parent.chmod(0o1777)  # as /tmp: only its owner renames a folder there
    assert safe_folders() == [folder, temporary]


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_link_or_a_file_in_its_place_is_not_used(kind, folder, temporary, tmp_path):
    folder.parent.mkdir(parents=True)
    if kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o755)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.touch()
    assert safe_folders() == [temporary]
    assert kind == "file" or mode(tmp_path / "elsewhere") == 0o755


def no_home(name):
    raise RuntimeError("could not determine the home directory for '~/.cache'")


@pytest.mark.parametrize("answer", [no_home, lambda name: Path("~/.cache") / name], ids=["error", "unexpanded"])
def test_without_a_home_libraries_are_kept_with_the_temporary_files(answer, folder, temporary, monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "user_cache_path", answer)  # as versions of platformdirs do
    monkeypatch.chdir(tmp_path)
    assert safe_folders() == [temporary]
    assert not (tmp_path / "~").exists()

    def none():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(cache.tempfile, "gettempdir", none)
    assert safe_folders() == []


def test_a_folder_that_cannot_be_made_is_not_used(folder, temporary):
    folder.parents[2].mkdir()
    folder.parents[1].write_text("a file where the cache should be")
    assert safe_folders() == [temporary]


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 1000, -1])
def test_a_library_that_is_cut_is_not_read(size, kept):
    complete = kept.read_bytes()
    kept.write_bytes(complete[:size])
    assert cache.read_library(kept) is None


def test_a_library_with_one_other_byte_is_not_read(kept):
    complete = kept.read_bytes()
    for position in random.Random(0).sample(range(len(complete)), 200):
        kept.write_bytes(complete[:position] + bytes([complete[position] ^ 1]) + complete[position + 1 :])
        assert cache.read_library(kept) is None


def test_a_library_of_another_processor_under_this_name_is_not_read(kept):
    other = kept.rename(kept.with_name("4567.so"))
    assert cache.read_library(other) is None


@pytest.mark.parametrize("writable", [0o620, 0o602, 0o666, 0o777])
def test_a_library_that_others_may_write_to_is_not_read(writable, kept):
    kept.chmod(writable)
    assert cache.read_library(kept) is None


def test_a_library_that_another_user_owns_is_not_read(kept, monkeypatch):
    real = Path.lstat

    def anothers(path):
        values = list(real(path))
        values[stat.ST_UID] += 1
        return os.stat_result(values)

    monkeypatch.setattr(Path, "lstat", anothers)
    assert cache.read_library(kept) is None


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_not_read_and_not_written_through(kind, kept, tmp_path):
    original = kept.rename(tmp_path / "original")
    if kind == "link":
        kept.symlink_to(original)
    elif kind == "pipe":
        os.mkfifo(kept)
    else:
        kept.mkdir()
    assert cache.read_library(kept) is None
    before = original.read_bytes()
    if kind == "folder":
        with pytest.raises(OSError, match=r"0123\.so"):
            cache.write_library(kept, b"new")
    else:
        cache.write_library(kept, b"new")
        assert cache.read_library(kept) == b"new"
    assert original.read_bytes() == before


def test_a_library_that_is_too_large_is_not_read(kept, monkeypatch):
    monkeypatch.setattr(cache, "_MOST_BYTES", 1000)
    assert cache.read_library(kept) is None


def test_a_failure_is_remembered_for_a_day_and_one_compiler(tmp_path, monkeypatch):
    path, compiler = tmp_path / "failure.json", tmp_path / "gcc"
    compiler.write_text("1")
    assert cache.read_failure(path, str(compiler)) is None
    cache.write_failure(path, str(compiler), "why")
    assert cache.read_failure(path, str(compiler)) == "why"
    now = time.time()
    for seconds, reason in ((cache.REMEMBERED_SECONDS - 60, "why"), (cache.REMEMBERED_SECONDS + 60, None), (-60, None)):
        monkeypatch.setattr(cache.time, "time", lambda seconds=seconds: now + seconds)
        assert cache.read_failure(path, str(compiler)) == reason
    monkeypatch.undo()
    compiler.write_text("12")
    assert cache.read_failure(path, str(compiler)) is None
    compiler.unlink()
    assert cache.read_failure(path, str(compiler)) is None


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", '{"reason": 1, "time": 0, "compiler": []}', "[" * 10_000, "\udcff", "9" * 5000]
)
def test_a_damaged_memory_of_a_failure_is_none(text, tmp_path):
    path = tmp_path / "failure.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert cache.read_failure(path, "/bin/sh") is None


def test_a_lock_is_waited_for_and_then_done_without(tmp_path):
    path, inside = tmp_path / "a.lock", []
    with cache.locked(path, limit_seconds=1), cache.locked(path, limit_seconds=0.1):
        inside.append(True)
    with cache.locked(tmp_path / "missing" / "a.lock", limit_seconds=0.1):
        inside.append(True)
    assert inside == [True, True]
