"""What is printed after a study: the answer first, and at the end commands that can be pasted."""

import dataclasses
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from convarium.analysis.comparison import compare_runs
from convarium.characters import shell_word
from convarium.cli import COMMANDS, convarium, next_steps
from convarium.cli.next_steps import opening, say_next_steps, with_flag, words_of
from made_runs import learning, runs

GOOD = [0.98, 0.981, 0.982]
COMMAND = "convarium compare lenet vgg --seeds 3 --name s"


def steps_of(text: str) -> dict[str, list[str]]:
    """The steps at the end of an output, each with the words of its command."""
    joined = re.sub(r" \\\n +", " ", text)
    found = re.findall(r"^([a-z ]+):  *(\S.*)$", joined, re.MULTILINE)
    return {title: shlex.split(command) for title, command in found}


def check(words: list[str]) -> None:
    """Raises an error if a command line does not exist as it is written; nothing is carried out."""
    assert words[0] == "convarium"
    with convarium.make_context("convarium", words[1:]) as context:
        command = convarium.get_command(context, words[1])
        assert words[1] in COMMANDS
        with command.make_context(words[1], words[2:], parent=context):
            pass


@pytest.fixture
def said(capsys):
    def say(comparison, *, store=Path(), report=Path("studies/s/report.html"), **given):
        say_next_steps(comparison, "s", store=store, report=report, **given)
        return capsys.readouterr().out

    return say


def test_the_steps_are_commands_that_exist(said, tmp_path):
    comparison = compare_runs(runs("lenet", GOOD) + runs("vgg", GOOD), command=COMMAND)
    steps = steps_of(said(comparison, store=tmp_path / "a store"))
    assert list(steps) == ["open", "more seeds", "look inside"]
    assert steps["open"][-1] == "studies/s/report.html"
    assert steps["more seeds"] == shlex.split("convarium compare lenet vgg --name s --seeds 6")
    assert steps["look inside"] == ["convarium", "report", "s", "--diagnostics", "--store", str(tmp_path / "a store")]
    for title in ("more seeds", "look inside"):
        check(steps[title])


def test_a_row_that_was_still_learning_is_trained_longer_in_a_study_of_its_own(said):
    comparison = compare_runs(runs("lenet", GOOD) + learning("vgg"), command=COMMAND)
    steps = steps_of(said(comparison))
    assert steps["train longer"] == shlex.split("convarium compare lenet vgg --seeds 3 --epochs 12")
    check(steps["train longer"])


def test_networks_that_failed_are_trained_at_a_lower_rate_and_not_with_more_seeds(said):
    failed = [dataclasses.replace(run, outcome=dataclasses.replace(run.outcome, status="diverged"))
              for run in learning("vgg")]  # fmt: skip
    rate = f"{failed[0].recipe.learning_rate / 10:g}"
    some = steps_of(said(compare_runs(runs("lenet", GOOD) + failed, command=COMMAND)))
    assert list(some) == ["open", "lower rate", "more seeds", "look inside"]
    assert some["lower rate"] == shlex.split(f"convarium compare lenet vgg --seeds 3 --learning-rate {rate}")
    check(some["lower rate"])
    assert list(steps_of(said(compare_runs(failed, command=COMMAND)))) == ["open", "lower rate", "look inside"]
    at_chance = steps_of(said(compare_runs(runs("vgg", [0.1, 0.1, 0.1]), command=COMMAND)))
    assert list(at_chance) == ["open", "tune rates", "look inside"]
    assert at_chance["tune rates"] == shlex.split("convarium compare --tune lenet vgg --seeds 3")
    check(at_chance["tune rates"])


@pytest.mark.parametrize(
    ("command", "titles"),
    [
        (None, ["open", "look inside"]),
        ("python my_script.py", ["open", "look inside"]),
        ("convarium 'compare", ["open", "look inside"]),
        ("convarium compare --recommend --budget 5m", ["open", "look inside"]),
        ("convarium run activations", ["open", "more seeds", "look inside"]),
        ("convarium run activations --quick", ["open", "whole study", "look inside"]),
    ],
)
def test_only_commands_that_train_again_are_repeated(said, command, titles):
    comparison = compare_runs(runs("lenet", GOOD) + learning("vgg"), command=command)
    steps = steps_of(said(comparison))
    assert list(steps) == titles
    assert "--quick" not in steps.get("whole study", [])


def test_a_study_without_a_page_names_the_command_that_writes_it(said):
    steps = steps_of(said(compare_runs(runs("lenet", GOOD)), report=None))
    assert steps["page"] == ["convarium", "report", "s"]


def test_long_commands_go_on_in_the_next_line_and_no_line_is_wider_than_the_terminal(said):
    models = [f"resnet(depth={depth})" for depth in (20, 32, 44, 56, 110)]
    command = shlex.join(["convarium", "compare", *models, "--epochs", "4", "--seeds=3"])
    text = said(compare_runs(runs("lenet", GOOD), command=command), store=Path("s" * 50))
    assert max(map(len, text.splitlines())) <= 80
    assert steps_of(text)["more seeds"] == ["convarium", "compare", *models, "--epochs", "4", "--seeds", "6"]


@pytest.mark.parametrize(
    "word", ["lenet", "lenet(pool='avg')", "a b", "$HOME", 'say "no"', "50 %", "a\\b", "it's!", ""]
)
def test_a_word_is_quoted_so_that_a_shell_reads_it_as_it_is(word):
    assert shlex.split(shell_word(word)) == [word]
    assert shell_word("lenet(pool='avg')") == "\"lenet(pool='avg')\""
    read = subprocess.run(
        ["/bin/sh", "-c", f"printf %s {shell_word(word)}"], capture_output=True, text=True, check=True
    )
    assert read.stdout == word


def test_a_page_is_opened_by_the_systems_own_command_or_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    for system, opener in (("darwin", "open"), ("linux", "xdg-open"), ("win32", "explorer")):
        monkeypatch.setattr(next_steps.sys, "platform", system)
        assert opening(Path("page.html")) == [opener, "page.html"]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert opening(Path("page.html")) == ["page.html"]


def test_a_flag_is_replaced_in_either_spelling_and_stands_before_what_follows_two_hyphens():
    assert with_flag(["compare", "--seeds", "3", "lenet"], "--seeds", "6") == ["compare", "lenet", "--seeds", "6"]
    assert with_flag(["compare", "lenet", "--seeds=3"], "--seeds", None) == ["compare", "lenet"]
    assert with_flag(["compare", "--", "lenet"], "--seeds", "6") == ["compare", "--seeds", "6", "--", "lenet"]
    assert words_of("convarium compare 'a b'") == ["compare", "a b"]
