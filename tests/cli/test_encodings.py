"""Every command prints in every encoding: no traceback, no lost sign, JSON that machines can read."""

import io
import json
import os
import re
import subprocess
import sys

import pytest

from convarium.characters import prepare_output
from convarium.cli import COMMANDS, main
from convarium.runs.store import Store, StudyRecord
from made_studies import made_study, save_study

ENCODINGS = ("ascii", "latin-1", "gbk", "cp1252", "cp936", "utf-8")
NAMES = ("–null", "één", "二", "−3", *"456789")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with a study whose question and classes no single-byte encoding can write."""
    folder = tmp_path_factory.mktemp("store")
    comparison = made_study(folder, {"lenet": 0.9, "residual_cnn": 0.95}, seeds=2, names=NAMES)
    keys = tuple(run.key for row in comparison.rows for run in row.runs)
    question = "哪个网络更好 − ± × → ≥?"
    save_study(Store(folder), StudyRecord("数字", question, "model", "lenet", {"dataset": "digits"}, keys, len(keys)))
    return folder


QUICK = ["--epochs", "1", "--batch-size", "512", "--validation", "0"]
CALLS = [
    *([name, "--help"] for name in COMMANDS),
    *(["list", kind] for kind in ("models", "presets", "datasets", "activations", "recipes", "experiments", "studies")),
    *(["list", kind, "--json"] for kind in ("models", "experiments", "studies")),
    ["describe", "resnet(depth=8)"],
    ["describe", "lenet", "--json"],
    ["describe", "--diff", "lenet", "lenet@d2l"],
    ["data", "list"],
    ["data", "list", "--json"],
    *(["results", "数字", *flags] for flags in ([], ["--csv"], ["--markdown"], ["--latex"], ["--json"])),
    ["reproduce"],
    ["reproduce", "--json"],
    ["reproduce", "--markdown"],
    ["train", "lenet", *QUICK],
    ["train", "lenet", *QUICK, "--json"],
]
WRONG = [["describe", "lenet(激活='−')"], ["evaluate", "−nichts"], ["results", "没有"], ["列出"]]
WITH_STORE = ("results", "reproduce", "train", "evaluate")


def called(words, store, encoding, monkeypatch):
    """The exit code, output and errors of one call, decoded strictly."""
    if words[0] in WITH_STORE or words[1:2] == ["studies"]:
        words = [*words, "--store", str(store)] if "--help" not in words else words
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="") for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        prepare_output()
        code = main(words)
        for stream in streams:
            stream.flush()
    return code, *(stream.buffer.getvalue().decode(encoding) for stream in streams)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_prints_in_every_encoding(store, encoding, monkeypatch):
    for words in (*CALLS, *WRONG):
        code, out, err = called(words, store, encoding, monkeypatch)
        assert code == (2 if words in WRONG else 0), (words, err)
        assert "Traceback" not in err
        if "--json" in words:
            json.loads(out)
            assert encoding == "utf-8" or out.isascii()
        if encoding == "ascii":
            assert out.isascii(), words  # click would otherwise write UTF-8


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_numbers_keep_their_signs_and_tables_their_columns(store, encoding, monkeypatch):
    _, out, _ = called(["results", "数字"], store, encoding, monkeypatch)
    assert re.search(r"\d (±|\+/-) ?\d|\d [−-]\d\S* \+\d", out)
    lines = [line for line in out.splitlines() if re.match(r"[ |](lenet|residual_cnn) ", line)]
    assert len(lines) == 2
    assert len({len(line.rstrip()) for line in lines}) == 1
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = called(["describe", "--diff", "lenet", "lenet@d2l"], store, encoding, monkeypatch)
    assert code == 0
    assert any(line.startswith(("− 1", "- 1")) for line in out.splitlines())
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("variables", "words", "expected"),
    [
        ({"PYTHONIOENCODING": "gbk"}, ["list", "studies"], "数字".encode("gbk")),
        ({"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}, ["list", "studies"], rb"\u6570\u5b57"),
    ],
    ids=["gbk", "C"],
)
def test_the_command_itself_prints_in_the_encoding_of_its_surroundings(store, variables, words, expected):
    done = subprocess.run(
        [sys.executable, "-m", "convarium", *words],
        cwd=store, env={**os.environ, **variables}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout or b"\\udce6\\udc95\\udcb0" in done.stdout  # the name of a folder as bytes
