"""`--engine` and its settings: what reaches the library, and what a machine does that is not the first."""

import pytest

from convarium.cli import main
from convarium.training.engines import LightningEngine
from convarium.workspace import Workspace, execution


@pytest.fixture
def asked(monkeypatch):
    """The keyword arguments of each verb that a command calls; nothing is trained."""
    calls = []

    def note(self, *arguments, **settings):
        calls.append(settings)
        raise KeyboardInterrupt

    for verb in ("train", "compare", "run"):
        monkeypatch.setattr(Workspace, verb, note)
    return calls


@pytest.mark.parametrize("words", [("train", "lenet"), ("compare", "lenet"), ("run", "shortcut_ablation")])
def test_the_flags_become_one_engine_in_any_order(asked, words):
    main([*words])
    main([*words, "--devices", "2", "--engine", "lightning", "--strategy", "ddp"])
    assert [call["engine"] for call in asked] == [None, LightningEngine(devices=2, strategy="ddp")]


def test_what_cannot_be_is_a_wrong_call(capsys):
    for words, said in (
        (("--devices", "2"), "--devices is for Lightning; add --engine lightning, or leave it out"),
        (("--engine", "lightening"), "unknown engine 'lightening'; did you mean 'lightning'"),
        (("--engine", "lightning", "--nodes", "0"), "nodes is out of range: expected 1 or more, received 0"),
    ):
        assert main(["train", "lenet", *words]) == 2
        assert said in capsys.readouterr().err


def test_a_machine_that_is_not_the_first_serves_it_and_says_so(monkeypatch, asked, capsys):
    served = []
    monkeypatch.setenv("NODE_RANK", "1")
    monkeypatch.setattr(execution, "serve_first_machine", lambda *arguments: served.append(arguments))
    assert main(["train", "lenet", "--engine", "lightning", "--nodes", "2", "--device", "cpu"]) == 0
    assert served == [(LightningEngine(nodes=2), None, "cpu")]
    assert not asked
    assert capsys.readouterr() == ("", "serving the first machine …\nall is trained\n")
