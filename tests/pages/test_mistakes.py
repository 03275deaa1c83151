"""The most confident mistakes, and recall, precision and F1 of every class."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax
from sklearn.datasets import load_sample_image
from sklearn.metrics import precision_recall_fscore_support

from convarium.pages.class_scores import class_scores
from convarium.pages.mistakes import MOST_MISTAKES, confident_mistakes, probability
from convarium.pages.page import render
from convarium.pages.pictures import thumbnail
from convarium.pages.predictions import calibration, read_predictions
from made_studies import made_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    levels = {"lenet": 0.9, "memory_mlp": 0.99, "vgg": None}
    return made_study(tmp_path_factory.mktemp("study"), levels, seeds=2, epochs=2, images=300)


@pytest.fixture(scope="module")
def shown(study) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 3, 32, 32), dtype=np.uint8)
    return render(study, test_images=(pixels, np.arange(300) % 10))


def test_mistakes_are_the_wrong_images_with_the_highest_probability(study):
    lenet, mlp = confident_mistakes(read_predictions(study))
    logits, labels = study.row("lenet").trained[0].predictions()
    probabilities = softmax(logits.astype(float), axis=1)
    said = logits.argmax(1)
    wrong = sorted(np.flatnonzero(said != labels), key=lambda i: -probabilities[i, said[i]])
    assert (lenet.label, lenet.seed, lenet.wrong, lenet.images) == ("lenet", 0, len(wrong), 300)
    assert [mistake.number for mistake in lenet.mistakes] == [int(i) for i in wrong[:MOST_MISTAKES]]
    for mistake in lenet.mistakes:
        assert mistake.true == str(labels[mistake.number])
        assert mistake.said == str(said[mistake.number])
        assert mistake.said_probability == probability(probabilities[mistake.number, said[mistake.number]])
        assert mistake.true_probability == probability(probabilities[mistake.number, labels[mistake.number]])
    assert len(mlp.mistakes) == min(mlp.wrong, MOST_MISTAKES)


def test_probabilities_are_never_rounded_to_certainty():
    written = {0.0: "under 0.1 %", 0.0004: "under 0.1 %", 0.5: "50.0 %", 0.9994: "99.9 %", 0.9999: "over 99.9 %"}
    assert {value: probability(value) for value in written} == written


def test_mistakes_stand_before_disagreements_and_the_first_of_those_is_open(study, shown):
    order = [shown.index(f'id="{name}-title"') for name in ("classes", "mistakes", "disagreements")]
    assert order == sorted(order)
    assert len(re.findall(r"<details open>\s*<summary>The images on which", shown)) == 1
    pictures = shown[order[1] : order[2]].count("<img src=")
    assert pictures == sum(len(network.mistakes) for network in confident_mistakes(read_predictions(study)))


def test_a_network_without_mistakes_says_so(tmp_path):
    predictions = read_predictions(made_study(tmp_path, {"lenet": 0.9}, seeds=1, epochs=2, images=50))
    right = replace(predictions, predicted={"lenet": predictions.labels[None]})
    (network,) = confident_mistakes(right)
    assert (network.wrong, network.mistakes) == (0, ())


def test_photographs_are_made_small_and_small_images_lose_nothing():
    def decoded(source):
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))).transpose(2, 0, 1)

    photograph = load_sample_image("china.jpg")[:400, :200].transpose(2, 0, 1)
    assert decoded(thumbnail(photograph)).shape == (3, 96, 48)
    assert len(thumbnail(photograph[:, :200])) < 8_000  # so that 12 mistakes of 12 networks are about a megabyte
    small = photograph[:, :50, :60]
    assert np.array_equal(decoded(thumbnail(small)), small)


def test_class_scores_are_those_of_scikit_learn(study):
    lines = class_scores(study, [str(i) for i in range(10)])
    assert list(lines) == ["lenet", "memory_mlp"]
    *classes, mean = lines["lenet"]
    runs = [precision_recall_fscore_support(labels, logits.argmax(1))[:3] for run in study.row("lenet").trained
            for logits, labels in [run.predictions()]]  # fmt: skip
    precision, recall, f1 = np.mean(runs, axis=0)
    assert [line.recall for line in classes] == [f"{100 * value:.1f}" for value in recall]
    assert [line.precision for line in classes] == [f"{100 * value:.1f}" for value in precision]
    assert [line.f1 for line in classes] == [f"{100 * value:.1f}" for value in f1]
    assert mean.f1 == f"{100 * f1.mean():.1f}"
    few = class_scores(study, ["3"])["lenet"]
    assert [line.name for line in few] == ["3", "mean over the classes"]
    assert few[-1] == mean


def test_agreement_of_more_than_six_networks_is_folded(tmp_path, shown):
    assert "Agreement of every two networks" not in shown
    many = {f"lenet(activation='{name}')": 0.9 for name in ("relu", "tanh", "elu", "gelu", "silu", "sigmoid", "prelu")}
    page = render(made_study(tmp_path, many, seeds=1, epochs=1, images=100))
    assert "<details><summary>Agreement of every two networks" in page


def test_calibration_counts_the_predictions_of_each_bin(study):
    points = calibration(read_predictions(study))
    for label, bins in points.groupby("label"):
        assert bins["count"].sum() == 300 * study.row(label).n
