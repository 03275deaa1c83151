"""Files are written whole or not at all, and what is read is bounded."""

import errno
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convarium import disk
from convarium.errors import FileContentError

posix = pytest.mark.skipif(os.name == "nt", reason="modes, pipes and /dev are POSIX")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


@posix
def test_the_umask_decides_the_mode(tmp_path: Path, umask: None) -> None:
    disk.write_text(tmp_path / "a.txt", "new")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    disk.write_text(path, "old")

    def fill(file: IO[bytes]) -> None:
        file.write(b"half of the new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        disk.write_file(path, fill)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_an_oserror_that_names_the_file(tmp_path: Path) -> None:
    def fill(file: IO[bytes]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        disk.write_file(tmp_path / "a.txt", fill)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a.txt"))
    assert not list(tmp_path.iterdir())


def test_the_temporary_file_is_closed_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[IO[bytes]] = []
    replace = Path.replace

    def replace_closed(self: Path, target: Path) -> Path:
        assert files[0].closed
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_closed)
    disk.write_file(tmp_path / "a.txt", files.append)
    assert (tmp_path / "a.txt").exists()


@posix
@pytest.mark.parametrize(
    ("platform", "refusals", "arrives"), [("win32", 3, True), ("win32", 99, False), ("linux", 1, False)]
)
def test_windows_is_asked_again_while_another_program_has_the_file_open(
    platform: str, refusals: int, arrives: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, rename = [PermissionError(errno.EACCES, "in use")] * refusals, Path.replace

    def replace(source: Path, target: Path) -> Path:
        if left:
            raise left.pop()
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(disk, "_PAUSES", (0.0,) * 5)
    (tmp_path / "a").write_text("old", encoding="utf-8")
    if arrives:
        disk.write_text(tmp_path / "a", "new")
    else:
        with pytest.raises(PermissionError):
            disk.write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text("utf-8") == ("new" if arrives else "old")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "folder" / "a.txt", tmp_path / "link"
    target.parent.mkdir()
    link.symlink_to("folder/a.txt")
    disk.write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(OSError, match="symbolic links"):
        disk.write_text(link, "new")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/fd names the open files of a process on Linux")
def test_what_a_process_has_open_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "standard-output"
    with path.open("ab") as file:
        file.write(b"before, ")
        file.flush()
        disk.write_text(Path(f"/dev/fd/{file.fileno()}"), "in between, ")
        file.write(b"after")
    assert path.read_text() == "before, in between, after"


def test_a_value_comes_back(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, "é", {"b": []}]}
    disk.write_json(tmp_path / "a.json", value)
    assert disk.read_json(tmp_path / "a.json", 1000) == value
    with pytest.raises(ValueError, match="JSON compliant"):
        disk.write_json(tmp_path / "a.json", float("nan"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "is not text in UTF-8"),
        (b"{", "is not JSON"),
        (b"[" * 200_000 + b"]" * 200_000, "is nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "is nested too deeply"),
        (b'{"a": 1, "a": 2}', "a key is there twice"),
        (b"[NaN]", "NaN is not a number in JSON"),
        (b"1" * 5000, "is not JSON"),
        (b" " * 5_000_000, "is too large: expected at most 1,000,000 bytes"),
    ],
)
def test_what_is_no_value_is_told_with_the_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(FileContentError, match=message) as caught:
        disk.read_json(tmp_path / "a.json", 1_000_000)
    assert str(tmp_path / "a.json") in str(caught.value)


@posix
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(FileContentError, match="a device or a pipe"):
            disk.read_text(path, 10)


def test_a_missing_file_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        disk.read_json(tmp_path / "a.json", 10)


@given(json_values)
def test_a_digest_is_that_of_the_value_and_not_of_its_spelling(value: object) -> None:
    again = json.loads(json.dumps(value, indent=3, ensure_ascii=False))
    assert disk.value_digest(again) == disk.value_digest(value)
    assert json.loads(disk.canonical_json(value)) == again


def test_keys_may_come_in_any_order_but_nothing_else_may_differ() -> None:
    assert disk.value_digest({"a": 1, "b": 2}) == disk.value_digest({"b": 2, "a": 1})
    digests = {disk.value_digest(value) for value in (1, "1", [1], 1.0, True, None, {"1": 1}, "")}
    assert len(digests) == 8


def test_parts_cannot_flow_into_each_other() -> None:
    sequences = ([b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"abc", b""])
    assert len({disk.parts_digest(parts) for parts in sequences}) == len(sequences)
