"""The kernels are compiled once, heal, give way to PyTorch's with a word, and are recorded."""

import ctypes
import logging
import os
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from convarium import kernels
from convarium.errors import ConvariumError
from convarium.kernels import cache, loading
from convarium.kernels.cache import read_library, write_library
from convarium.recipes.recipe import Recipe
from convarium.runs.environment import environment
from convarium.training import fit
from exact import accelerated_modules
from fake_compilers import FakeCompiler, copying
from small_networks import few

pytestmark = pytest.mark.usefixtures("anew")
COMPILING = "compiling the kernels for this processor, about 5 s, once"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The content of the library that is loaded outside of these tests, in a file of the same name."""
    kept = Path(loading.library()._name)
    path = tmp_path_factory.mktemp("real") / kept.name
    path.write_bytes(read_library(kept))
    return path


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The cache and the folder for temporary files: empty."""
    made = [tmp_path / "cache", tmp_path / "temporary"]
    for folder in made:
        folder.mkdir(mode=0o700)
    monkeypatch.setattr(loading, "library_folders", lambda: list(made))
    return made


@pytest.fixture
def gcc(tmp_path, monkeypatch, real, folders):
    """A compiler that copies the library, the first of the PATH."""
    compiler = FakeCompiler(tmp_path / "bin", copying(real))
    monkeypatch.setenv("PATH", f"{compiler.path.parent}:{os.environ['PATH']}")
    return compiler


@pytest.fixture
def loads(monkeypatch):
    """The paths of the libraries that are loaded; each is sound then."""
    paths, real_load = [], ctypes.CDLL

    def load(path):
        paths.append(Path(path))
        assert read_library(paths[-1]) is not None
        return real_load(path)

    monkeypatch.setattr(loading.ctypes, "CDLL", load)
    return paths


def version_anew():
    """The version that another process would find."""
    loading._loaded.cache_clear()
    return kernels.version()


def library_in(folder):
    (path,) = folder.glob("*.so")
    return path


def messages(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "convarium.kernels"]


def test_an_environment_names_its_kernels(monkeypatch):
    assert environment("cpu").kernels == kernels.version() != "torch"
    assert environment("cpu").kernels.startswith("convarium ")
    monkeypatch.setenv("CONVARIUM_KERNELS", "torch")
    assert environment("cpu").kernels == "torch"


def test_the_user_can_have_pytorchs_kernels(monkeypatch):
    splits, recipe = few(64), Recipe(model="mnist_resnet", epochs=1, batch_size=16)
    ours = fit(recipe, splits)
    monkeypatch.setenv("CONVARIUM_KERNELS", "torch")
    theirs = fit(recipe, splits)
    assert (ours.environment.kernels, theirs.environment.kernels) != ("torch", "torch")
    assert (ours.step_loss != theirs.step_loss).any()
    # After two more steps PyTorch itself is 0.5 % away from PyTorch with another number of threads.
    np.testing.assert_allclose(ours.step_loss[:2], theirs.step_loss[:2], rtol=1e-3)


def test_another_value_of_the_variable_is_refused(monkeypatch):
    monkeypatch.setenv("CONVARIUM_KERNELS", "pytorch")
    for asked in (kernels.version, kernels.is_available):
        with pytest.raises(ConvariumError, match=r"KERNELS is wrong: expected 'torch', .* received 'pytorch'"):
            asked()
    monkeypatch.setenv("CONVARIUM_KERNELS", "")
    assert kernels.is_available()


def test_they_are_compiled_once_and_used_though_the_compiler_is_gone(gcc, folders, loads, caplog, monkeypatch):
    with caplog.at_level(logging.INFO):
        version = version_anew()
        assert version.startswith("convarium ")
        calls = gcc.count
        assert version_anew() == version
        monkeypatch.setenv("PATH", "/nowhere")
        assert version_anew() == version
    assert gcc.count == calls > 0
    assert messages(caplog) == [COMPILING]
    assert loads == [library_in(folders[0])] * 3
    assert not list(folders[1].iterdir())


def foreign(content):
    """The library for a processor of another kind, by the machine in its header."""
    return content[:18] + b"\xf3\x00" + content[20:]


DAMAGES = {
    "empty": lambda path, content: path.write_bytes(b""),
    "cut": lambda path, content: path.write_bytes(path.read_bytes()[: len(content) // 2]),
    "garbage": lambda path, content: path.write_bytes(b"garbage" * 1000),
    "without a digest": lambda path, content: path.write_bytes(content),
    "foreign": lambda path, content: path.write_bytes(foreign(content)),
    "foreign with a digest": lambda path, content: write_library(path, foreign(content)),
    "writable by all": lambda path, content: path.chmod(0o666),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_does_not_fit_is_compiled_again(damage, gcc, folders, loads, real, caplog):
    path = folders[0] / real.name
    write_library(path, real.read_bytes())
    damage(path, real.read_bytes())
    with caplog.at_level(logging.INFO):
        assert version_anew() == version_anew() != "torch"
    assert gcc.count == 5
    assert messages(caplog).count(COMPILING) == 1
    assert read_library(path) == real.read_bytes()


def test_where_the_cache_cannot_execute_the_temporary_folder_is_used(gcc, folders, monkeypatch, caplog):
    real_load = ctypes.CDLL

    def load(path):
        if str(path).startswith(str(folders[0])):
            raise OSError(f"{path}: failed to map segment from shared object")
        return real_load(path)

    monkeypatch.setattr(loading.ctypes, "CDLL", load)
    with caplog.at_level(logging.INFO):
        assert version_anew() == version_anew() != "torch"
        calls = gcc.count
        library_in(folders[1]).unlink()  # after a restart of the machine
        assert version_anew() != "torch"
    assert gcc.count == calls
    assert read_library(library_in(folders[1]))
    assert messages(caplog) == [COMPILING]


def test_where_the_cache_is_read_only_or_full_the_temporary_folder_is_used(gcc, folders, monkeypatch):
    real_write = loading.write_library

    def write(path, content):
        if path.parent == folders[0]:
            raise OSError(28, "No space left on device", str(path))
        real_write(path, content)

    monkeypatch.setattr(loading, "write_library", write)
    assert version_anew() == version_anew() != "torch"
    assert gcc.count == 5
    assert not list(folders[0].glob("*.so"))
    assert read_library(library_in(folders[1]))


def test_without_a_folder_they_are_compiled_for_this_process(gcc, folders, monkeypatch):
    monkeypatch.setattr(loading, "library_folders", list)
    assert version_anew() != "torch"
    assert gcc.count == 5
    assert not any(list(folder.iterdir()) for folder in folders)


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (loading.shutil, "which", lambda name: None),
        (loading.shutil, "which", lambda name: "gcc"),  # of the working folder, as an empty part of PATH names it
        (loading.sys, "platform", "darwin"),
        (loading, "_read_proc", lambda file: "libomp.so"),
    ],
    ids=["no compiler", "the working folder's compiler", "not Linux", "another OpenMP"],
)
def test_without_a_compiler_or_linux_pytorch_computes(owner, name, value, gcc, monkeypatch, caplog):
    monkeypatch.setattr(owner, name, value)
    with caplog.at_level(logging.INFO):
        assert version_anew() == "torch"
    assert messages(caplog) == []
    assert gcc.count == 0
    assert accelerated_modules(nn.Sequential(nn.Conv2d(16, 16, 3))) == []


def test_files_that_are_missing_are_told(gcc, monkeypatch, caplog):
    monkeypatch.setattr("convarium.kernels.compiling.SOURCES", ("missing.c",))
    assert version_anew() == "torch"
    assert "training steps use PyTorch's kernels: " in caplog.text
    assert "missing.c" in caplog.text


DAY, MINUTES = ("a day", cache.REMEMBERED_SECONDS), ("10 minutes", cache.PASSING_SECONDS)
FULL = "fatal error: error writing to /tmp/a.s: No space left on device"
FAILURES = {
    "fails": ("echo unknown flag >&2; exit 1", "unknown flag", DAY),
    "hangs": ("sleep 1000 & wait", "gcc was not ready after 0.4 s", MINUTES),
    "is killed": ("kill -9 $$", "gcc ended with code -9", MINUTES),
    "has its part killed": ("echo Killed signal terminated program cc1 >&2; exit 1", "Killed signal", MINUTES),
    "writes to a full disk": (f"echo {FULL} >&2; exit 1", FULL, MINUTES),
    "has no memory": ("echo out of memory allocating 65536 bytes >&2; exit 1", "out of memory", MINUTES),
    "says nothing": ("exit 1", "gcc ended with code 1", MINUTES),
    "writes garbage": ('echo garbage > "$output"', "wrote no library", DAY),
    "writes half": ('head -c 50000 {real} > "$output"', "wrote no library, or only a part of one", DAY),
    "writes nothing": ("exit 0", "No such file or directory", DAY),
}


@pytest.mark.parametrize(("script", "reason", "remembered"), FAILURES.values(), ids=FAILURES)
def test_a_compiler_that_fails_is_told_and_not_asked_again_for_a_day_or_minutes(
    script, reason, remembered, gcc, folders, real, monkeypatch, caplog
):
    working = gcc.path.read_text()
    gcc.write(script.format(real=real))
    monkeypatch.setattr(loading, "LIMIT_SECONDS", 0.4 if "sleep" in script else 20)
    with caplog.at_level(logging.INFO):
        assert version_anew() == "torch"
        calls = gcc.count
        assert version_anew() == kernels.version() == "torch"
    assert gcc.count == calls > 0
    (failure,) = folders[0].glob("*.json")
    begun, *told = messages(caplog)
    assert begun == COMPILING
    assert told[0] == told[1]
    assert len(told) == 2
    assert caplog.records[-1].levelname == "WARNING"
    assert told[0].startswith("training steps use PyTorch's kernels: Convarium's do not compile or load here (")
    assert told[0].endswith(
        f"; they are tried again after {remembered[0]}, with another gcc or when {failure} is removed"
    )
    assert re.search(reason, told[0])
    assert not [path for folder in folders for path in folder.glob("*.so")]
    now = time.time()
    monkeypatch.setattr(cache.time, "time", lambda: now + remembered[1] - 60)
    assert version_anew() == "torch"
    assert gcc.count == calls
    monkeypatch.setattr(cache.time, "time", lambda: now + remembered[1] + 1)
    assert version_anew() == "torch"
    assert gcc.count > calls
    gcc.path.write_text(working)  # another compiler
    assert version_anew() != "torch"


@pytest.mark.parametrize("works", [True, False])
def test_a_cache_that_cannot_be_looked_at_is_passed_over(works, gcc, folders, monkeypatch, caplog):
    monkeypatch.setattr(loading, "library_folders", lambda: [Path("/", "x" * 300), folders[1]])
    if not works:
        gcc.write("exit 1")
    assert (version_anew() != "torch") == (version_anew() != "torch") == works
    assert works or f"or when {folders[1]}" in messages(caplog)[-1]
    assert gcc.count <= 5


def test_other_sources_are_tried_though_the_last_ones_failed(gcc, real, monkeypatch):
    gcc.write("exit 1")
    assert version_anew() == "torch"
    gcc_size = gcc.path.stat()
    monkeypatch.setattr(loading, "sources_digest", lambda: "0" * 64)
    monkeypatch.setattr(loading, "compile_sources", lambda *a, **b: real.read_bytes())
    assert gcc.path.stat() == gcc_size
    assert version_anew().startswith("convarium 00000000 ")


def test_two_processes_compile_once(gcc, folders, real):
    gcc.write(f"sleep 0.2\n{copying(real)}")
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(loading._load_or_compile("a.so", folders))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert all(found)
    assert gcc.count == 5


def test_a_process_that_waited_learns_that_the_compiler_failed(gcc, folders, caplog):
    gcc.write("sleep 0.2; exit 1")
    threads = [threading.Thread(target=loading._load_or_compile, args=("a.so", folders)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gcc.count <= 4
    assert sum("do not compile" in message for message in messages(caplog)) == 2
