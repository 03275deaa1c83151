"""The C files are compiled at the same time, and nothing that a compiler starts outlives its time limit."""

import ctypes
import os
import shutil
import signal
import struct
import time
from pathlib import Path

import pytest

from convarium.kernels import compiling
from convarium.kernels.compiling import SOURCES, CompilationError, compile_sources
from fake_compilers import FakeCompiler, copying

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kernels are for Linux")
HANGS = 'sleep 1000 &\necho $! >> "$(dirname "$0")/children"\nwait'


@pytest.fixture
def fake(tmp_path):
    return FakeCompiler(tmp_path / "bin", "exit 1")


@pytest.fixture
def smallest(tmp_path):
    """The header of a library of 64 bits, whose table of sections is empty."""
    path = tmp_path / "smallest"
    path.write_bytes(b"\x7fELF\2".ljust(0x28, b"\0") + struct.pack("=Q", 64).ljust(64 - 0x28, b"\0"))
    return path


def compile_with(compiler, tmp_path, limit_seconds=20.0):
    return compile_sources(os.fspath(compiler), tmp_path, limit_seconds=limit_seconds)


def runs(pid):
    """Whether a process runs; one that has ended and that nobody has asked about is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def assert_nothing_runs(fake):
    children = (fake.path.parent / "children").read_text().split()
    assert children
    deadline = time.monotonic() + 5
    while any(map(runs, children)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(runs, children))


@pytest.mark.usefixtures("compiled")
def test_the_real_compiler_makes_a_library(tmp_path):
    (tmp_path / "a.so").write_bytes(compile_with(shutil.which("gcc"), tmp_path))
    content = (tmp_path / "a.so").read_bytes()
    assert not any(compiling._is_whole(content[:size]) for size in (0, 4, 60, 64, 1000, len(content) // 2, -1))
    library = ctypes.CDLL(tmp_path / "a.so")
    assert all(hasattr(library, name) for name in ("winograd_convolve", "direct_forward", "norm_forward"))
    library.compiler_version.restype = ctypes.c_char_p
    assert library.compiler_version()[:1].isdigit()


def test_every_file_is_compiled_and_all_are_linked(fake, smallest, tmp_path):
    fake.write(copying(smallest))
    assert compile_with(fake.path, tmp_path) == smallest.read_bytes()
    assert fake.count == len(SOURCES) + 1
    assert all((tmp_path / f"{source}.o").exists() for source in SOURCES)


def test_the_files_are_compiled_at_the_same_time(fake, smallest, tmp_path):
    """Each compiler waits until all have begun."""
    meet = f'while [ "$(wc -l < {fake.calls})" -lt {len(SOURCES)} ]; do sleep 0.02; done'
    fake.write(f"{meet}\n{copying(smallest)}")
    assert compile_with(fake.path, tmp_path) == smallest.read_bytes()


def test_a_compiler_that_hangs_is_killed_with_all_that_it_started(fake, tmp_path):
    fake.write(HANGS)
    begun = time.monotonic()
    with pytest.raises(CompilationError, match=r"gcc was not ready after 1.5 s"):
        compile_with(fake.path, tmp_path, limit_seconds=1.5)
    assert time.monotonic() - begun < 10
    assert_nothing_runs(fake)


def test_a_linker_that_hangs_is_killed_too(fake, tmp_path):
    fake.write(f'case "$output" in *.o) touch "$output";; *) {HANGS};; esac')
    with pytest.raises(CompilationError, match="was not ready after"):
        compile_with(fake.path, tmp_path, limit_seconds=2)
    assert_nothing_runs(fake)


def test_where_one_file_fails_the_others_are_killed(fake, tmp_path):
    fake.write(f'case "$output" in */{SOURCES[0]}.o) sleep 0.3; echo bad >&2; exit 1;; *) {HANGS};; esac')
    with pytest.raises(CompilationError, match=r"^bad$"):
        compile_with(fake.path, tmp_path)
    assert_nothing_runs(fake)


def test_when_a_person_interrupts_it_is_killed(fake, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    fake.write(HANGS)
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1)
    try:
        with pytest.raises(KeyboardInterrupt):
            compile_with(fake.path, tmp_path)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert_nothing_runs(fake)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            'printf "a.c:1:\\n\\033[31merror\\033[0m: \\377 unknown flag" >&2; exit 1',
            r"a.c:1: \x1b[31merror\x1b[0m: � unknown flag",
        ),
        ("exit 3", "{compiler} ended with code 3"),
        ("kill -9 $$", "{compiler} ended with code -9"),
        ("head -c 100000 /dev/zero | tr '\\0' x >&2; printf '%0500d' 0 >&2; exit 1", "0" * 500),
        ("exit 0", "No such file or directory: {folder}/kernels.so"),
    ],
    ids=["message", "silent", "killed", "long", "nothing written"],
)
def test_a_failure_says_why_in_one_line(script, message, fake, tmp_path):
    fake.write(script)
    with pytest.raises(CompilationError) as raised:
        compile_with(fake.path, tmp_path)
    assert str(raised.value) == message.format(compiler=fake.path, folder=tmp_path)


def test_a_compiler_that_cannot_be_started_is_named(tmp_path):
    with pytest.raises(CompilationError, match="No such file or directory: /nowhere/gcc"):
        compile_with("/nowhere/gcc", tmp_path)
    (tmp_path / "gcc").write_text("no program")
    with pytest.raises(CompilationError, match=r"Permission denied: .*/gcc"):
        compile_with(tmp_path / "gcc", tmp_path)


def test_the_digest_is_of_sources_and_flags(monkeypatch):
    digest = compiling.sources_digest()
    assert compiling.sources_digest() == digest
    monkeypatch.setattr(compiling, "FLAGS", (*compiling.FLAGS, "-O1"))
    assert compiling.sources_digest() != digest
    monkeypatch.undo()
    monkeypatch.setattr(compiling, "SOURCES", compiling.SOURCES[:-1])
    assert compiling.sources_digest() != digest
