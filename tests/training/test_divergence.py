"""A network whose weights or scores are not finite at the end has diverged: that is a result, and it can be stored."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import save_file

from convarium.cli import main
from convarium.models.build import build_model
from convarium.recipes.recipe import Recipe
from convarium.runs.json_forms import history_to_json, outcome_to_json
from convarium.runs.store import Store
from convarium.studies.resources import Resources
from convarium.studies.run import run_study, train_one
from convarium.studies.study import Study, grid
from convarium.training import fit, fit_stack, parallel
from convarium.training.side_by_side import fit_side_by_side
from convarium.training.stacked import fit_stacked_model
from small_networks import few

ONE_STEP = Recipe(model="lenet", epochs=1, batch_size=20, learning_rate=0.01, validation=20, resize=16)
"""One epoch of one step, so that only the scores after it can tell that it diverged."""
INFINITE = dataclasses.replace(ONE_STEP, learning_rate=1e38)


@pytest.fixture(scope="module")
def splits():
    return few(20, resize=16)


def assert_diverged(outcome):
    assert outcome.status == "diverged"
    assert "not finite" in outcome.message
    assert outcome.train is outcome.validation is outcome.test is outcome.logits is outcome.selected_epoch is None
    json.dumps([outcome_to_json(outcome), history_to_json(outcome.history)], allow_nan=False)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"watch_test": True, "select": "best_test"},
        {"select": "best_validation"},
        {"precision": "bfloat16"},
        {"model": "mnist_resnet", "optimizer": "adam"},
        {"batch_size": 10},
    ],
    ids=str,
)
def test_weights_that_are_not_finite_after_the_last_step_are_a_divergence(changes, splits):
    assert_diverged(fit(dataclasses.replace(INFINITE, **changes), splits, device="cpu"))


@pytest.mark.parametrize("method", [fit_side_by_side, fit_stacked_model])
def test_a_member_that_diverges_in_the_last_step_leaves_the_others_as_they_are(method, splits, monkeypatch):
    monkeypatch.setattr(parallel, "_method_for", lambda device: method)
    recipes = grid(ONE_STEP, learning_rate=[0.01, 1e38])
    finished, diverged = fit_stack(recipes, splits, device="cpu")
    assert finished.status == "finished"
    assert finished.test.n == len(splits.test)
    assert_diverged(diverged)


def test_scores_that_are_not_finite_are_a_divergence_though_the_weights_are_finite(splits):
    outcome = fit(dataclasses.replace(ONE_STEP, learning_rate=1e20), splits, device="cpu")
    assert all(torch.isfinite(tensor).all() for tensor in outcome.weights.values())
    assert_diverged(outcome)
    assert outcome.message == "the logits of the training images were not finite at the end"


def test_a_study_goes_on_after_a_run_that_diverged_in_its_last_step(tmp_path):
    base = Recipe(model="lenet", epochs=1, batch_size=628, learning_rate=10.0)
    study = Study(name="rates", question="?", recipes=grid(base, learning_rate=[10.0, 0.1]), compare="learning_rate")
    resources = Resources(Store(tmp_path), device="cpu")
    first, second = run_study(study, resources).rows
    assert [run.outcome.status for run in (*first.runs, *second.runs)] == ["diverged", "finished"]
    assert train_one(base, resources).key == first.runs[0].key


def test_evaluate_says_that_the_logits_are_not_finite(tmp_path, capsys):
    splits = Resources(Store(tmp_path)).splits(Recipe())
    network = build_model("lenet", splits.train.spec)
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    save_file(network.state_dict(), tmp_path / "nan.safetensors")
    words = ["evaluate", "--weights", str(tmp_path / "nan.safetensors"), "--model", "lenet", "--dataset", "digits"]
    assert main(words) == 0
    assert "no loss: the network's logits are not finite" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["loss"] is None
    assert answer["message"] == "the network's logits are not finite"
    assert answer["n"] == 360
