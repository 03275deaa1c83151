"""A run that Lightning trains is stored like any other."""

import pytest

import convarium
from convarium.analysis.comparison.run_facts import hardware_label
from convarium.errors import RecipeError
from convarium.runs.store import Store

QUICK = {"dataset": "digits", "epochs": 1, "batch_size": 256, "device": "cpu"}


def test_lightning_gives_the_keys_and_the_scores_of_the_native_loop_and_is_told_of(tmp_path):
    native = convarium.train("lenet", store=tmp_path / "native", **QUICK)
    run = convarium.train("lenet", engine="lightning", store=tmp_path / "lightning", **QUICK)
    assert run.key == native.key
    assert run.outcome.test.accuracy == pytest.approx(native.outcome.test.accuracy, abs=0.01)
    stored = Store(tmp_path / "lightning").run(run.path.name)
    assert stored.outcome.environment.engine.startswith("Lightning 2.")
    assert "Lightning 2." in hardware_label(stored.outcome.environment)
    assert "Lightning" not in hardware_label(native.outcome.environment)
    assert stored.weights().keys() == native.weights().keys()
    assert len(stored.outcome.history) == 1
    assert list(run.path.glob("events.out.tfevents.*"))


def test_a_machine_that_is_not_the_first_only_serves_it(tmp_path, monkeypatch):
    monkeypatch.setenv("NODE_RANK", "1")
    with pytest.raises(RecipeError, match=r"not the first of several.*convarium.workspace.execution.serve_first_mach"):
        convarium.train("lenet", engine=convarium.LightningEngine(nodes=2), store=tmp_path, **QUICK)


def test_lightning_with_workers_or_stacks_is_refused(tmp_path):
    for argument, value in (("workers", 2), ("stack", True)):
        with pytest.raises(RecipeError, match=rf"trains one run at a time.*leave out --{argument}, or --engine"):
            convarium.compare(["lenet"], engine="lightning", store=tmp_path, **{argument: value}, **QUICK)
