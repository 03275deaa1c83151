"""Which runs answer, and which images set the threshold for 'unknown': `workspace.predicting`."""

import dataclasses

import numpy as np
import pytest

from convarium.errors import ConvariumError, StoreError
from convarium.inference.unknown import probabilities_of
from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store, StudyRecord
from convarium.studies.resources import Resources
from convarium.workspace.predicting import calibrated, members, predictor_of
from made_runs import answering, run, runs, with_predictions
from made_studies import save_study


def study(store, made, **fields):
    """A study of runs that are in no folder."""
    values = {"name": "s", "question": "?", "compare": "model", "baseline": None, "base": {}, "planned": len(made)}
    save_study(store, StudyRecord(**{**values, "keys": tuple(f"{i:064x}" for i in range(len(made))), **fields}))


@pytest.fixture
def store(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.made = []
    monkeypatch.setattr(Store, "runs_of", lambda store, *_, **__: list(store.made))
    return store


def test_runs_that_are_not_trained_are_left_out_each_with_a_note(store):
    store.made = [
        *runs("lenet", [0.98, None, 0.97]),
        run(Recipe(model="lenet", dataset="mnist", seed=3), 0.5),
        run(Recipe(model="lenet", dataset="mnist", seed=4), status="failed"),
    ]
    study(store, store.made)
    chosen, notes = members(store, "s:lenet")
    assert [made.recipe.seed for made in chosen] == [0, 2]
    assert [note.rpartition(" which ")[2] for note in notes] == ["diverged", "ended at chance", "failed"]
    store.made = runs("lenet", [None, None])
    with pytest.raises(StoreError, match="none of the 2 runs of s:lenet is trained: left out"):
        members(store, "s:lenet")


def test_a_study_of_several_rows_needs_one_of_them(store):
    store.made = [*runs("lenet", [0.98]), *runs("residual_cnn", [0.99])]
    study(store, store.made)
    with pytest.raises(ConvariumError, match="the study 's' has 2 rows; say which: s:lenet, s:residual_cnn"):
        members(store, "s")
    assert members(store, "s:residual_cnn")[0] == store.made[1:]


def test_a_row_may_be_named_by_the_setting_in_which_rows_differ(store):
    store.made = [*runs("lenet", [0.98], momentum=0.0), *runs("lenet", [0.99], momentum=0.9)]
    study(store, store.made, compare="momentum")
    assert members(store, "s:momentum=0.9")[0] == members(store, "s:0.9")[0] == store.made[1:]


def test_a_study_without_a_finished_run_has_no_answer(store):
    study(store, [])
    with pytest.raises(StoreError, match="study 's' has no finished run yet; train it first"):
        members(store, "s:lenet")


def answered(right=200, wrong=20, **fields):
    made = run(Recipe(**{"model": "lenet", "dataset": "mnist", **fields}))
    return with_predictions(made, np.arange(right + wrong) < right)


def test_the_threshold_comes_from_the_test_predictions():
    made = answered()
    rule = calibrated([made], 0.9)
    assert (rule.n, rule.source) == (220, "test images")
    confidences = np.sort(probabilities_of(made.predictions()[0]).max(axis=1))
    assert rule.threshold == confidences[int(221 * 0.1) - 1]


def test_images_that_selected_something_set_no_threshold():
    with pytest.raises(ConvariumError, match="watched its test images while it trained; train without --watch-test"):
        calibrated([answered(watch_test=True)], 0.95)


def test_without_a_test_split_validation_images_set_it_unless_they_chose_the_epoch():
    mine = {"dataset": "folder:photos", "test": "none"}
    assert calibrated([answered(**mine)], 0.95).source == "validation images"
    with pytest.raises(ConvariumError, match=r"the validation images of .* chose its epoch; train with --select last"):
        calibrated([answered(**mine, select="best_validation")], 0.95)


def test_without_stored_predictions_or_with_too_few_there_is_no_threshold():
    with pytest.raises(ConvariumError, match="has no stored predictions of test images"):
        calibrated([answering(run(Recipe()), "predictions", None)], 0.95)
    with pytest.raises(ConvariumError, match="cannot be calibrated on 90 test images"):
        calibrated([answered(80, 10)], 0.95)


def test_runs_of_an_ensemble_share_their_test_images():
    with pytest.raises(ConvariumError, match="the runs have other test images; use one run"):
        calibrated([answered(), answered(210)], 0.95)


def test_networks_that_read_images_differently_are_not_averaged(store, monkeypatch):
    store.made = runs("lenet", [0.98, 0.97])
    study(store, store.made)

    @dataclasses.dataclass
    class Loaded:
        preprocessing: int

    loaded = iter([Loaded(1), Loaded(2)])
    monkeypatch.setattr("convarium.inference.loading.load_trained", lambda *_, **__: next(loaded))
    with pytest.raises(StoreError, match="has other classes or other preprocessing than"):
        predictor_of(Resources(store, None, None), None, ensemble="s:lenet")
