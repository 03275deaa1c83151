"""Every command and every line of Python in the README runs as printed."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from convarium.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.strip()
    for language, block in BLOCKS
    if language == "sh"
    for line in block.splitlines()
    if line.strip().startswith("convarium ")
]
# Full training takes minutes or needs a file of one's own; these run as printed but for the words added here.
SHORTER = {
    "--preset memory-blog": ["--epochs", "1", "--seeds", "1"],
    "--preset residual-blog": ["--epochs", "1"],
    "bench": ["--pairs", "1", "--seconds", "0.2"],
    "play": [],
}


def words(command):
    added = next((extra for part, extra in SHORTER.items() if part in command), [])
    return shlex.split(command, comments=True)[1:] + added


def test_the_readme_has_commands_and_python():
    assert len(COMMANDS) >= 5
    assert [language for language, _ in BLOCKS].count("python") == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("readme")


@pytest.mark.data("mnist", "fashion_mnist")
def test_the_commands_run_in_their_order(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for command in COMMANDS:
        assert main(words(command)) == 0, f"{command}: {capsys.readouterr().err}"


def test_the_python_runs(tmp_path):
    (code,) = (block for language, block in BLOCKS if language == "python")
    assert len(code.strip().splitlines()) <= 12
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_map_of_the_files_names_files_that_exist():
    tree = next(block for language, block in BLOCKS if language == "text")
    for name in re.findall(r"^ *([\w./-]+?)/?(?:  |$)", tree, re.MULTILINE):
        assert (ROOT / name).exists() or list((ROOT / "src").rglob(name)), name


def test_the_pictures_exist():
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)|<img[^>]* src=\"([^\"]+)\"", README):
        assert (ROOT / next(filter(None, picture))).exists()
