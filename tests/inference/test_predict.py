"""Predictions of image files: the run's own answers again, whatever else lies between them."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import convarium
from convarium.errors import ConvariumError, RunError, SpecError, StoreError
from convarium.inference import predict as module
from convarium.inference.predict import Predictions
from convarium.inference.unknown import UnknownRule, probabilities_of
from made_animals import CLASSES, TEST_IMAGES, make_animals


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder of images with a test split, and beside it a store with a study of lenet on it with three seeds."""
    home = tmp_path_factory.mktemp("home")
    make_animals(home, seeds=3)
    return home


@pytest.fixture(scope="module")
def runs(home):
    return convarium.Store(home).runs_of(convarium.Store(home).study("animals"))


@pytest.fixture
def predicted(home, runs):
    """A function that predicts with the first run of the study."""

    def predict(images, **options):
        return convarium.predict(runs[0].path.name, images, store=home, device="cpu", **options)

    return predict


def test_the_runs_own_test_files_get_the_stored_logits_bit_for_bit(home, runs, predicted, monkeypatch):
    logits, labels = runs[0].predictions()
    answer = predicted(home / "photos/test")
    assert answer.classes == CLASSES
    assert np.array_equal(answer.logits, logits)
    assert [Path(path).parent.name for path in answer.paths] == [CLASSES[label] for label in labels]
    assert answer.likeliest == answer.answers == tuple(CLASSES[number] for number in logits.argmax(1))
    assert np.array_equal(answer.probabilities, probabilities_of(logits))
    # Also where the images come in several batches.
    for place in ("convarium.inference.predict", "convarium.inference.trained", "convarium.training.scoring"):
        monkeypatch.setattr(f"{place}.EVALUATION_BATCH", 70)
    again = convarium.train("lenet", dataset=f"folder:{home / 'photos'}", epochs=1, store=home / "other", device="cpu")
    answer = convarium.predict(again.path.name, home / "photos/test", store=home / "other", device="cpu")
    assert np.array_equal(answer.logits, again.predictions()[0])


def test_in_another_order_and_batch_logits_agree_within_1e_5_of_the_largest(home, runs, predicted, monkeypatch):
    logits, _ = runs[0].predictions()
    monkeypatch.setattr(module, "EVALUATION_BATCH", 7)
    paths = sorted((home / "photos/test").rglob("*.png"))
    order = np.random.default_rng(0).permutation(len(paths))
    answer = predicted([paths[number] for number in order])
    assert np.abs(answer.logits - logits[order]).max() <= 1e-5 * np.abs(logits).max()


def test_without_the_data_the_answers_are_the_same(home, runs, predicted):
    before = predicted(home / "photos/test")
    (home / "photos").rename(home / "elsewhere")
    try:
        after = predicted(home / "elsewhere/test")
    finally:
        (home / "elsewhere").rename(home / "photos")
    assert np.array_equal(after.logits, before.logits)


def test_images_of_any_size_mode_and_form_are_read_as_the_data_set_would(home, predicted, tmp_path):
    source = Image.open(home / "photos/test/ant/000.png")
    source.resize((56, 56), Image.Resampling.NEAREST).convert("RGB").save(tmp_path / "large.webp", lossless=True)
    source.convert("RGBA").save(tmp_path / "alpha.png")
    answer = predicted([home / "photos/test/ant/000.png", tmp_path / "large.webp", tmp_path / "alpha.png"])
    assert answer.answers[0] == answer.answers[2]
    assert np.array_equal(answer.logits[0], answer.logits[2])
    assert np.isfinite(answer.logits).all()


def test_what_cannot_be_read_is_named_and_the_rest_is_answered(home, predicted, tmp_path):
    good = home / "photos/test/bee/001.png"
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:60])
    (tmp_path / "page.jpg").write_text("<html>")
    os.mkfifo(tmp_path / "pipe.png")
    names = ["cut.png", "page.jpg", "pipe.png", "gone.png"]
    answer = predicted([tmp_path / "cut.png", good, *(tmp_path / name for name in names[1:]), good])
    assert answer.paths == (str(good), str(good))
    assert [Path(path).name for path in answer.unreadable] == names
    assert "no such file" in answer.unreadable[str(tmp_path / "gone.png")]
    assert "pipe" in answer.unreadable[str(tmp_path / "pipe.png")]
    nothing = predicted([tmp_path / "gone.png"])
    assert (len(nothing), nothing.probabilities.shape, nothing.logits.shape) == (0, (0, 3), (0, 3))


def test_only_one_batch_of_images_is_in_memory_and_each_is_decoded_once(home, runs, monkeypatch):
    monkeypatch.setattr(module, "EVALUATION_BATCH", 50)
    predictor = convarium.Workspace(home, device="cpu").predictor(runs[0].path.name)
    seen = []
    with module.find_images([home / "photos/test"]) as inputs:
        sizes = [len(batch) for batch in predictor.batches(inputs, on_event=lambda *event: seen.append(event))]
    assert sizes == [50, 50, 50, 30]
    assert seen == [("images", number, TEST_IMAGES) for number in range(1, TEST_IMAGES + 1)]


def test_an_ensemble_is_the_mean_of_its_members_probabilities(home, runs, predicted):
    images = home / "photos/test"
    each = [convarium.predict(run.path.name, images, store=home, device="cpu").probabilities for run in runs]
    answer = convarium.predict(None, images, ensemble="animals:lenet", store=home, device="cpu")
    assert answer.probabilities == pytest.approx(np.mean(each, axis=0), abs=1e-15)
    assert answer.logits is None
    predictor = convarium.Workspace(home).predictor(ensemble="animals:lenet()")
    assert predictor.description == "the mean of 3 runs of animals:lenet() (seeds 0, 1, 2)"
    assert predictor.runs == tuple(run.path.name for run in runs)
    assert predictor.notes == ()
    # A study of one row needs no name of it.
    assert convarium.Workspace(home).predictor(ensemble="animals").runs == predictor.runs
    with pytest.raises(SpecError, match="unknown row of the comparison 'resnet'"):
        convarium.Workspace(home).predictor(ensemble="animals:resnet")
    with pytest.raises(StoreError, match="no study 'plants'"):
        convarium.Workspace(home).predictor(ensemble="plants:lenet")


def test_runs_of_an_ensemble_that_are_not_trained_are_left_out_with_a_note(home, runs, tmp_path):
    shutil.copytree(home / "runs", tmp_path / "runs")
    shutil.copytree(home / "studies", tmp_path / "studies")
    damaged = tmp_path / "runs" / runs[1].path.name / "weights.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    predictor = convarium.Workspace(tmp_path).predictor(ensemble="animals:lenet")
    assert predictor.runs == (runs[0].path.name, runs[2].path.name)
    assert len(predictor.notes) == 1
    assert "left out" in predictor.notes[0]
    assert runs[1].path.name in predictor.notes[0]


def test_top_ranks_the_classes():
    answer = Predictions(("a", "b"), CLASSES, np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]]))
    assert answer.top(2) == [[("bee", 0.5), ("cow", 0.3)], [("ant", 0.4), ("cow", 0.4)]]
    for k in (0, 4):
        with pytest.raises(ConvariumError, match=f"--top {k} is out of range: expected 1 to 3, for 3 classes"):
            answer.top(k)


def test_unknown_is_answered_below_the_threshold():
    rule = UnknownRule(0.45, 0.95, 100, 0.95, 0.9, 1.0)
    answer = Predictions(("a", "b"), CLASSES, np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]]), rule=rule)
    assert answer.answers == ("bee", "unknown")
    assert answer.likeliest == ("bee", "ant")
    assert answer.known.tolist() == [True, False]


def test_unknown_is_calibrated_on_the_runs_own_test_images(home, runs, predicted):
    answer = predicted(home / "photos/test", unknown=True, coverage=0.9)
    assert answer.rule.n == TEST_IMAGES
    # k = ⌊181 · 0.1⌋ = 18: the 17 images below that of rank 18 are not answered.
    assert int((~answer.known).sum()) == 17
    mean = convarium.Workspace(home).predictor(ensemble="animals:lenet", unknown=True).rule
    logits = [probabilities_of(run.predictions()[0]) for run in runs]
    assert mean.threshold == np.sort(np.mean(logits, axis=0).max(1))[int(181 * 0.05) - 1]


def test_a_network_whose_logits_are_not_finite_gives_no_answer(home, runs):
    predictor = convarium.Workspace(home, device="cpu").predictor(runs[0].path.name)
    with torch.no_grad():
        next(predictor.networks[0].parameters()).fill_(torch.inf)
    with pytest.raises(RunError, match=r"logits of .*000.png are not finite"):
        predictor.predict(home / "photos/test/ant/000.png")


def test_a_copy_of_the_weights_answers_as_the_run(home, runs, predicted, tmp_path):
    images = home / "photos/test"
    copy = shutil.copy(runs[0].path / "weights.safetensors", tmp_path / "animals.safetensors")
    predictor = convarium.Workspace(tmp_path, device="cpu").predictor(weights=copy)
    assert np.array_equal(predictor.predict(images).logits, predicted(images).logits)
    assert (predictor.runs, predictor.description) == ((), f"the weights in {copy}")
    with pytest.raises(ConvariumError, match="--unknown is calibrated on the test predictions of a run, and a file"):
        convarium.predict(None, images, weights=copy, unknown=True)
    bare = {name: tensor.contiguous() for name, tensor in predictor.networks[0].network.state_dict().items()}
    save_file(bare, tmp_path / "bare.safetensors")
    with pytest.raises(ConvariumError, match=r"bare.safetensors does not say how images are preprocessed"):
        convarium.predict(None, images, weights=tmp_path / "bare.safetensors")


def test_one_of_run_weights_and_ensemble_is_needed(home):
    for options in ({}, {"run": "a", "ensemble": "b"}, {"weights": "a", "ensemble": "b"}):
        with pytest.raises(ConvariumError, match="predict takes one of a run, a file of weights and an ensemble"):
            convarium.Workspace(home).predictor(**options)
