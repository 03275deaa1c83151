"""What a run's history says: how far it overfits, how far it swings, and the mean of its first epochs."""

import pytest

from convarium.analysis.comparison import metric_of
from convarium.errors import ConvariumError
from convarium.recipes.recipe import Recipe
from made_runs import epoch, run


def made(*history):
    return run(Recipe(dataset="mnist", epochs=max(1, len(history))), history=history)


def test_the_gap_is_that_of_the_last_epoch_to_the_validation_images_or_to_the_test_images_without_any():
    gap = metric_of("generalization_gap").measure
    assert gap(made(epoch(1, train=0.5, validation=0.6), epoch(2, train=0.95, validation=0.9, test=0.8))) == (
        pytest.approx(0.05)
    )
    assert gap(made(epoch(1, train=0.95, test=0.8))) == pytest.approx(0.15)
    assert gap(made(epoch(1, train=0.95))) is None
    assert gap(made()) is None


def test_the_largest_drop_needs_the_test_split_after_every_epoch_and_is_never_negative():
    drop = metric_of("largest_test_accuracy_drop").measure
    assert drop(made(epoch(1, test=0.9), epoch(2, test=0.85), epoch(3, test=0.95), epoch(4, test=0.7))) == (
        pytest.approx(0.25)
    )
    assert drop(made(epoch(1, test=0.8), epoch(2, test=0.9))) == 0
    assert drop(made(epoch(1, test=0.9), epoch(2), epoch(3, test=0.7))) is None
    assert drop(made(epoch(1, test=0.9))) is None


def test_the_mean_of_the_first_epochs_needs_all_of_them():
    metric = metric_of("mean_until(train_loss=2)")
    history = [epoch(1, train=0.5), epoch(2, train=0.7), epoch(3, train=0.9)]  # losses are 1 − accuracy
    assert metric.measure(made(*history)) == pytest.approx(0.4)
    assert metric.measure(made(*history[:1])) is None
    assert (metric.kind, metric.higher_is_better) == ("loss", False)
    assert metric.title == "mean running training loss of epochs 1 to 2"
    accuracy = metric_of("mean_until(validation_accuracy=1)")
    assert (accuracy.kind, accuracy.title) == ("accuracy", "mean validation accuracy of epochs 1 to 1")
    assert accuracy.measure(made(*history)) is None


def test_a_mean_of_the_first_epochs_names_one_column_and_a_whole_epoch():
    with pytest.raises(ConvariumError, match=r"expected one epoch: mean_until\(train_loss=10\)"):
        metric_of("mean_until")
    for wrong in ("0", "2.5"):
        with pytest.raises(ConvariumError, match="expected a whole number from 1"):
            metric_of(f"mean_until(train_loss={wrong})")
