"""Classes of unequal size: balanced accuracy, macro F1, and when they are what runs are compared by."""

import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score

from convarium.analysis.comparison import METRICS, as_json, compare_runs, metric_of, primary_metric, validation_metric
from convarium.analysis.statistics import confusion_interval, image_interval
from convarium.metrics import balanced_accuracy, macro_f1
from convarium.recipes.recipe import Recipe
from convarium.records import Scores
from made_runs import answering, run


def confusion_of(labels, predicted, classes):
    return np.bincount(classes * np.array(labels) + predicted, minlength=classes**2).reshape(classes, classes).tolist()


@given(pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_both_metrics_are_scikit_learns_also_where_classes_have_no_image(pairs):
    labels, predicted = zip(*pairs, strict=True)
    confusion = confusion_of(labels, predicted, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of predictions of a class without an image
        assert balanced_accuracy(confusion) == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert macro_f1(confusion) == pytest.approx(f1_score(labels, predicted, average="macro"))


def scored(common: float, rare: float, *, n: int = 1000, ratio: int = 9) -> Scores:
    """Scores over two classes, the first of which has `ratio` times the images of the second."""
    counts = n - n // (ratio + 1), n // (ratio + 1)
    right = round(common * counts[0]), round(rare * counts[1])
    confusion = ((right[0], counts[0] - right[0]), (counts[1] - right[1], right[1]))
    accuracy = sum(right) / n
    return Scores(accuracy, 0.1, {"common": common, "rare": rare}, confusion, 0.01, n)


def uneven(model, recalls, *, ratio=9, dataset="folder:photos"):
    """Runs, one for each pair of recalls of a common and a rare class."""
    made = []
    for seed, (common, rare) in enumerate(recalls):
        one = run(Recipe(model=model, dataset=dataset, seed=seed), 0.9)
        scores = {
            "train": scored(common, rare, n=10_000, ratio=ratio),
            "validation": scored(common, rare, ratio=ratio),
            "test": scored(common, rare, ratio=ratio),
        }
        made.append(dataclasses.replace(one, outcome=dataclasses.replace(one.outcome, **scores)))
    return made


CAREFUL = [(0.90, 0.90), (0.91, 0.89), (0.90, 0.91)]
CARELESS = [(0.99, 0.50), (0.98, 0.52), (0.99, 0.51)]


def test_with_imbalanced_classes_runs_are_compared_by_balanced_accuracy_and_it_is_said_why():
    found = compare_runs(uneven("lenet", CARELESS) + uneven("memory_mlp", CAREFUL))
    assert found.metric == "test_balanced_accuracy"
    assert found.margin == 0.01
    assert found.notes[0] == (
        "Compared by balanced test accuracy, the mean of all classes' accuracies, because the largest class has 9 "
        "times as many training images as the smallest, more than 3; the test split was read once, after training."
    )
    assert found.row("memory_mlp").verdict.startswith("memory_mlp is better than lenet by 15")
    assert "points of balanced test accuracy" in found.row("memory_mlp").verdict
    assert found.row("lenet").failed == 0
    by_accuracy = compare_runs(uneven("lenet", CARELESS) + uneven("memory_mlp", CAREFUL), metric="test_accuracy")
    assert by_accuracy.row("memory_mlp").decision == "worse"
    assert "because" not in by_accuracy.notes[0]


def test_up_to_three_times_the_images_the_accuracy_stays():
    assert primary_metric(uneven("lenet", CAREFUL, ratio=3)) == ("test_accuracy", "")
    assert primary_metric(uneven("lenet", CAREFUL, ratio=4))[0] == "test_balanced_accuracy"
    diverged = [run(Recipe(dataset="folder:photos"), None, status="diverged")]
    assert primary_metric(diverged) == ("test_accuracy", "")
    assert validation_metric(diverged).name == "validation_accuracy"
    assert validation_metric(uneven("lenet", CAREFUL)).name == "validation_balanced_accuracy"
    assert primary_metric(diverged + uneven("lenet", CAREFUL, ratio=4))[0] == "test_balanced_accuracy"


def test_the_metrics_stand_in_json_and_in_frames():
    found = compare_runs(uneven("lenet", CAREFUL))
    assert as_json(found)["rows"][0]["runs"][1]["test_balanced_accuracy"] == pytest.approx(0.9)
    frame = found.frame("runs")
    for split in ("test", "validation"):
        assert frame[f"{split}_balanced_accuracy"].tolist() == pytest.approx([0.9, 0.9, 0.905], abs=1e-3)
        assert (frame[f"{split}_macro_f1"] < frame[f"{split}_balanced_accuracy"]).all()
    assert metric_of("balanced_accuracy") is METRICS["test_balanced_accuracy"]
    assert metric_of("macro_f1") is METRICS["test_macro_f1"]


# Over images


def test_the_bootstrap_of_a_confusion_matrix_is_that_of_the_images_where_both_exist():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=600)
    predicted = np.where(rng.random((4, 600)) < 0.8, labels, rng.integers(3, size=(4, 600)))

    def accuracy(counts):
        return counts.right.sum(-1) / counts.images.sum()

    ours = confusion_interval(labels, predicted, accuracy, classes=3)
    theirs = image_interval((predicted == labels).mean(0))
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.003)
    assert confusion_interval(labels, labels[None], accuracy, classes=3) is None


def test_the_interval_over_images_is_that_of_the_metric():
    """With 10 images of the rare class the balanced accuracy is known less well than the accuracy."""
    labels = np.repeat([0, 1], [300, 10])
    predicted = np.where(np.arange(310) % 5 == 0, 1 - labels, labels)
    runs = [answering(one, "predictions", (np.eye(2)[predicted], labels)) for one in uneven("lenet", CAREFUL)]
    widths = []
    for metric in (None, "test_accuracy"):
        images = compare_runs(runs, metric=metric).rows[0].images
        widths.append(images.high - images.low)
    # half of each: 1.96 · √(0.8 · 0.2 / 10) / 2 = 0.124, and 1.96 · √(0.8 · 0.2 / 310) = 0.045
    assert widths == pytest.approx([0.25, 0.089], rel=0.15)
