"""Studies whose runs start from weights: what they compare, say and refuse."""

import dataclasses
import json
import shutil

import pytest
import torch

from convarium.analysis.claims import Better
from convarium.analysis.comparison.rows import share_weights
from convarium.cli import main
from convarium.diagnostics import diagnose_run, initial_gradients
from convarium.errors import RecipeError, SpecError, StoreError
from convarium.pages.diagnostics_charts import gradient_points
from convarium.recipes.recipe import Recipe
from convarium.recipes.starting import split_start
from convarium.runs.store import Store
from convarium.studies.plan import prepare_study
from convarium.studies.resources import Resources
from convarium.studies.run import run_prepared, run_study
from convarium.studies.study import Study, grid
from convarium.studies.verdicts import judge_study
from convarium.workspace import Workspace, compared_recipes

QUICK = {"epochs": 1, "batch_size": 256}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store in which a study compares a network with and without weights to start from."""
    folder = tmp_path_factory.mktemp("store")
    workspace = Workspace(folder)
    first = workspace.train("lenet", seed=9, **QUICK)
    result = workspace.compare(["lenet"], start_from=[None, first.key[:8]], seeds=2, freeze="0", **QUICK)
    return folder, first, result


def test_one_network_is_compared_with_and_without_weights(made):
    _, first, result = made
    name, (plain, started) = first.path.name, result.comparison.rows
    assert [row.label for row in result.comparison.rows] == ["start_from=none", f"start_from={name}"]
    assert result.comparison.baseline == "start_from=none"
    assert (plain.marks, started.marks) == ((), ("partly frozen",))  # random weights are not frozen
    digest = split_start(started.runs[0].recipe.start_from)[1]
    assert {run.recipe.freeze for run in plain.runs} == {None}
    notes = " ".join(result.comparison.notes)
    origin = f"started from the weights of {name} (SHA-256 {digest[:8]}…)"
    assert f"{started.label}: {origin}; the parameters under 0 were frozen." in notes
    assert not share_weights(plain, started)  # so they would be compared by Welch's interval
    assert f"start_from={name}" in result.report.read_text()
    assert digest[:8] in result.report.read_text()
    assert (
        result.study.question
        == f"How accurate is lenet on digits, starting from random weights and those of {first.key[:8]}?"
    )
    weights = first.weights()
    assert all(torch.equal(run.weights()["0.weight"], weights["0.weight"]) for run in started.runs)


def test_the_same_weights_by_another_name_are_the_same_runs(made):
    folder, first, result = made
    copied = folder / "copied.safetensors"
    shutil.copy(first.path / "weights.safetensors", copied)
    started = result.comparison.rows[1].runs[0]
    again = Workspace(folder).train(dataclasses.replace(started.recipe, start_from=str(copied)))
    assert (again.key, again.path) == (started.key, started.path)


def test_a_stored_run_is_read_and_reused_where_its_weights_are_gone(made, tmp_path):
    folder, _, result = made
    started = result.comparison.rows[1].runs[0]
    shutil.copytree(folder, tmp_path / "store")
    workspace = Workspace(tmp_path / "store")
    workspace.remove(split_start(started.recipe.start_from)[0])
    assert workspace.train(started.recipe).key == started.key
    assert workspace.evaluate(started.key).n == started.outcome.test.n
    assert len(workspace.results(result.study.name).rows) == 2
    with pytest.raises(StoreError, match="no weights file and no finished run"):
        workspace.train(dataclasses.replace(started.recipe, seed=5))


def test_diagnostics_take_no_random_weights_for_the_start(made):
    folder, first, result = made
    started = result.comparison.rows[1].runs[0]
    splits = Workspace(folder).splits(started.recipe)
    diagnosis = diagnose_run(started, splits, label="started", size=3, surface_images=20)
    assert not diagnosis.initial
    points = gradient_points([diagnosis])
    assert set(points["moment"]) == {"final"}
    assert initial_gradients(first.recipe, splits)


def test_a_study_whose_weights_have_changed_is_refused(made, tmp_path):
    first, path = made[1], tmp_path / "w.pt"
    torch.save(first.weights(), path)
    base = Recipe(start_from=str(path), **QUICK)
    shared = Study(name="shared", question="?", recipes=grid(base, seed=[0]))
    compared = Study(
        name="compared", question="?", recipes=grid(base, start_from=[None, str(path)]), compare="start_from"
    )
    for study in (shared, compared):
        run_study(study, Resources(Store(tmp_path)))
    torch.save({name: 2 * tensor for name, tensor in first.weights().items()}, path)
    for study in (shared, compared):
        with pytest.raises(
            StoreError, match=r"has lenet with seed 0 already, but the weights of .*w\.pt, the images of dig"
        ):
            run_study(study, Resources(Store(tmp_path)))
    torch.save(first.weights(), tmp_path / "moved.pt")  # the same content elsewhere extends the study
    moved = dataclasses.replace(base, start_from=str(tmp_path / "moved.pt"))
    extended = run_study(
        Study(name="shared", question="?", recipes=grid(moved, seed=[0, 1])), Resources(Store(tmp_path))
    )
    (row,) = extended.rows
    assert (len(row.runs), row.marks) == (2, ("from weights",))


def test_a_claim_speaks_of_weights_by_their_name(made):
    folder, first, _ = made
    study = Study(
        name="starts",
        question="?",
        recipes=grid(Recipe(**QUICK), seed=[0], start_from=[None, first.path.name]),
        compare="start_from",
        claims={"it helps": Better(f"start_from={first.path.name}", than="start_from=none", source="this test")},
    )
    prepared = prepare_study(study, Resources(Store(folder)))
    verdicts = judge_study(prepared.study, run_prepared(prepared, Resources(Store(folder)), stack=True))
    assert first.path.name in verdicts["it helps"].sentence


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(
        RecipeError, match=r"2 networks from 2 weights cannot be compared at once: .*compare one network"
    ):
        compared_recipes(["lenet", "residual_cnn"], None, {"start_from": [None, "w.pt"]})
    with pytest.raises(SpecError, match="unknown recipe field 'start_form'; did you mean 'start_from'"):
        compared_recipes(["lenet"], None, {"start_form": None})
    starts = compared_recipes(["lenet"], None, {"start_from": ("none.pt", "w.pt"), "freeze": "0"})
    assert [(recipe.start_from, recipe.freeze) for recipe in starts] == [("none.pt", "0"), ("w.pt", "0")]


def test_the_command_line_takes_weights(made, capsys):
    folder, first, result = made
    name = first.path.name
    words = ["--store", str(folder), "--epochs", "1", "--batch-size", "256"]
    compare = ["compare", "lenet", "--seeds", "2", "--freeze", "0", *words]
    assert main([*compare, "--start-from", name, "--start-from", "none", "--baseline", "none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["baseline"] == "start_from=none"
    assert main([*compare, "--start-from", name, "--start-from", "none", "--baseline", "nonne"]) == 2
    assert "unknown baseline 'nonne'; did you mean 'none'" in capsys.readouterr().err
    assert main(["compare", "lenet", "residual_cnn", "--start-from", "none", "--start-from", name]) == 2
    assert main(["train", "lenet", "--seed", "0", "--start-from", first.key[:8], "--freeze", "0", *words]) == 0
    answer = capsys.readouterr().out
    assert f"started from the weights of {name} (SHA-256 " in answer
    assert "; the parameters under 0 were frozen" in answer
    assert main(["train", "lenet", "--start-from", "none", "--freeze", "none", "--seed", "9", *words]) == 0
    assert name in capsys.readouterr().out  # the run that is there
    assert main(["results", result.study.name, "--csv", "--store", str(folder)]) == 0
    assert "partly frozen" in capsys.readouterr().out


def test_weights_that_do_not_fit_are_one_sentence(made, capsys):
    folder, first, _ = made
    assert main(["train", "residual_cnn", "--store", str(folder), "--start-from", first.path.name]) in (1, 2)
    error = capsys.readouterr().err
    assert "does not fit residual_cnn on images of 1×28×28 with 10 classes" in error
