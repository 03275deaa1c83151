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
DOCUMENTS = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")))
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.strip()
    for language, block in BLOCKS
    if language == "sh"
    for line in block.splitlines()
    if line.strip().startswith("convarium ")
]
# Full training takes half a minute or more; these run as printed but for the words added here.
SHORTER = {
    "--dataset digits --seeds 5": ["--epochs", "2"],
    "--preset memory-blog": ["--epochs", "1", "--seeds", "1"],
    "--preset residual-blog": ["--epochs", "1"],
}


def words(command):
    added = next((extra for part, extra in SHORTER.items() if part in command), [])
    return shlex.split(command, comments=True)[1:] + added


def code_of(text):
    """The code spans and code blocks of a Markdown text, one a line."""
    return "\n".join(re.findall(r"^```.*?^```|`[^`\n]+`|^ {4}[^\n]*$", text, re.DOTALL | re.MULTILINE))


def test_the_readme_has_commands_and_python():
    assert len(COMMANDS) >= 5
    assert [language for language, _ in BLOCKS].count("python") == 1


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_a_document_names_exists(document, capsys):
    named = set(re.findall(r"(?<![\w./])(?<!from )convarium ([a-z]+)(?= |`|$)", code_of(document.read_text("utf-8"))))
    assert main(["--help"]) == 0
    assert named <= set(capsys.readouterr().out.split())


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


def test_it_has_at_most_seven_hundred_words_and_its_first_command_on_the_first_screen():
    assert len(README.split()) <= 700
    assert "make demo" in "\n".join(README.splitlines()[:24])


def test_the_pictures_exist():
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)|<img[^>]* src=\"([^\"]+)\"", README):
        assert (ROOT / next(filter(None, picture))).exists()
