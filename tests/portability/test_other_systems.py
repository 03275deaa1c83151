"""Whole studies under the rules of Windows and macOS, emulated on Linux; see `emulation` for what that covers.

Each test takes the seconds of a process that loads PyTorch.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from convarium.recipes.recipe import Recipe
from convarium.runs.names import is_file_name
from convarium.runs.store import Store

HERE = Path(__file__).parent
TWO = ["memory_mlp(hidden=8)", "residual_mlp(hidden=8)"]
QUICK = ["--epochs", "2", "--batch-size", "256", "--watch-test"]
LONG = Recipe(model=TWO[0], epochs=80, batch_size=256, select="best_validation", optimizer="adam")
TRAIN_LONG = ["train", TWO[0], "--epochs", "80", "--batch-size", "256", "--select", "best_validation"]
TRAIN_LONG += ["--optimizer", "adam"]


def start(platform, root, *commands):
    """A process that carries out the commands, with output for a Chinese Windows console."""
    words = [sys.executable, HERE / "emulation.py", platform, root, json.dumps(commands)]
    variables = os.environ | {"PYTHONIOENCODING": "cp936", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process):
    """What the process printed; every command must have succeeded, and no rule been broken."""
    try:
        output, errors = (text.decode("cp936") for text in process.communicate(timeout=300))
    finally:
        process.kill()
        process.wait()
    ends = [json.loads(line) for line in errors.splitlines() if line.startswith('{"code"')]
    assert process.returncode == 0, errors[-2000:]
    assert {end["code"] for end in ends} == {0}, errors[-2000:]
    assert ends[-1]["breaches"] == []
    return output


@pytest.fixture(scope="module")
def on_windows(tmp_path_factory):
    root = tmp_path_factory.mktemp("w")
    store = ["--store", str(root / "Store")]
    recipe = Recipe(model=TWO[0], epochs=2, batch_size=256, watch_test=True)
    run = Store(root / "Store").folder(recipe, recipe.key()).name
    for number in range(24):
        folder = root / "photos" / ("cat" if number % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (28, 28), 10 * number).save(folder / f"{number}.png")
    photos = ["--dataset", f"folder:{root / 'photos'}", "--epochs", "1", "--batch-size", "8"]
    output = finish(
        start(
            "win32",
            root,
            ["compare", *TWO, "--seeds", "2", "--name", "Pools", "--live", *QUICK, *store],
            ["compare", *TWO, "--seeds", "3", "--name", "Pools", "--stack", *QUICK, *store],
            ["results", "Pools", "--store", str(root / "STORE")],
            ["results", "Pools", "--json", *store],
            ["report", "Pools", "--figures", str(root / "figures"), *store],
            ["train", TWO[0], *QUICK, *store],
            ["evaluate", run, *store],
            ["list", "studies", *store],
            ["train", TWO[0], *photos, *store],
            ["list", "runs", *store],
            ["train", TWO[0], *QUICK, "--store", str(root / "Other")],
            ["remove", run, "--yes", "--store", str(root / "Other")],
            ["describe", "lenet"],
        )
    )
    return root, output


def test_a_study_goes_from_compare_to_its_report_under_the_rules_of_windows(on_windows):
    root, output = on_windows
    store = Store(root / "Store")
    assert len(store.runs_of(store.study("Pools"))) == 6
    assert "memory_mlp(hidden=8)" in (root / "Store/studies/Pools/report.html").read_text("utf-8")
    assert (root / "figures/accuracy.svg").exists()
    assert "test accuracy" in output
    assert not list(root.glob("Other/runs/*/*"))
    assert all(run.outcome.cost.peak_memory_bytes is None for run in store.runs())  # nothing counts it there


def test_the_files_of_a_study_made_on_windows_are_those_of_other_systems(on_windows):
    root, _ = on_windows
    assert all(is_file_name(path.name) for path in root.rglob("*"))
    texts = [path for path in root.rglob("*") if path.suffix in (".json", ".jsonl", ".html", ".csv")]
    assert len(texts) > 20
    assert not any(b"\r" in path.read_bytes() for path in texts)
    assert not list(root.rglob("*.tmp"))


def test_a_study_goes_from_compare_to_its_report_under_the_rules_of_macos(tmp_path):
    store = ["--store", str(tmp_path / "Store")]
    compare = ["compare", TWO[0], "--seeds", "1", "--name", "Pools", *QUICK, *store]
    assert "test accuracy" in finish(start("darwin", tmp_path, compare, ["results", "Pools", *store]))


def test_a_run_that_is_killed_on_windows_goes_on_to_the_same_bits(tmp_path):
    killed, whole = Store(tmp_path / "killed"), Store(tmp_path / "whole")
    folder = killed.folder(LONG, LONG.key())
    process = start("win32", tmp_path, [*TRAIN_LONG, "--store", str(killed.root)])
    try:
        while not (folder / "last.ckpt").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
    finally:
        process.kill()  # what the Task Manager does
        process.communicate()
    assert (folder / "last.ckpt").exists()
    finish(start("win32", tmp_path, *([*TRAIN_LONG, "--store", str(store.root)] for store in (killed, whole))))
    runs = [store.find(LONG, LONG.key()) for store in (killed, whole)]
    assert not list(folder.glob("last.ckpt*"))
    assert (runs[0].path / "weights.safetensors").read_bytes() == (runs[1].path / "weights.safetensors").read_bytes()


RULES = """
import os, sys, tempfile
from pathlib import Path
sys.path.insert(0, {here!r})
import emulation
root = Path(sys.argv[1])
emulation.install("win32", root)

def refuses(error, call, *arguments):
    try:
        call(*arguments)
    except error:
        return
    raise SystemExit(f"{{call}} of {{arguments}} is not refused")

(root / "a").write_bytes(b"a")
(root / "b").write_bytes(b"b")
refuses(FileExistsError, (root / "a").rename, root / "b")
with (root / "a").open("rb"):
    refuses(PermissionError, (root / "a").replace, root / "c")
    refuses(PermissionError, (root / "b").replace, root / "a")
    refuses(PermissionError, (root / "a").unlink)
    refuses(PermissionError, root.rename, root.with_name("other"))
(root / "b").replace(root / "a")
assert (root / "A").read_bytes() == b"b"
refuses(OSError, (root / "a:b").write_bytes, b"")
refuses(OSError, (root / "a.").mkdir)
refuses(FileNotFoundError, (root / ("x" * 250)).write_bytes, b"")
(root / "NUL.txt").write_bytes(b"")
assert emulation.breaches == ["NUL.txt is a device"]
exec(compile("import os, sys, signal", "x", "exec"), convarium := {{"__name__": "convarium.x"}})
assert convarium["sys"].platform == "win32" and sys.platform == "linux"
assert not hasattr(convarium["os"], "fork") and not hasattr(convarium["signal"], "SIGKILL")
assert hasattr(convarium["signal"], "SIGTERM")
refuses(ImportError, exec, "import resource", convarium)
refuses(FileNotFoundError, exec, "open('/proc/cpuinfo', encoding='utf-8')", convarium)
"""


def test_the_emulation_refuses_what_windows_refuses(tmp_path):
    subprocess.run([sys.executable, "-c", RULES.format(here=str(HERE)), tmp_path], check=True, timeout=60)
