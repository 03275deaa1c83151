"""The rule by which a row is marked as still learning, on made curves and on those of the stored results."""

import dataclasses

import numpy as np
import pytest

from convarium.analysis.comparison import compare_runs
from convarium.analysis.comparison.still_learning import falls_at_the_end, still_learning
from convarium.runs.archive import read_records
from convarium.studies.reproductions import results_folder
from made_runs import FALLING, learning, runs

EPOCHS = np.arange(10)
COSINE = (1 + np.cos(np.pi * (EPOCHS + 0.5) / 10)) / 2
"""The learning rate of each of ten epochs, as a share of the first."""


@pytest.mark.parametrize(
    ("losses", "is_learning"),
    [
        pytest.param(2.3 * 0.9**EPOCHS, True, id="falls by a tenth in every epoch"),
        pytest.param([2.3, 2.2, 2.1, 2.0], True, id="four epochs, all falling"),
        pytest.param([0.9, 0.7], True, id="two epochs"),
        pytest.param([0.9], False, id="one epoch tells nothing"),
        pytest.param([], False, id="no epoch"),
        pytest.param(0.3 + 2 * np.exp(-EPOCHS), False, id="a plateau"),
        pytest.param(2.3 - 1.5 * np.cumsum(COSINE) / COSINE.sum(), False, id="a cosine that ends at 0"),
        pytest.param([0.9, 0.5, 0.4, 0.45, 0.5, 0.6], False, id="overfitting: the validation loss rises"),
        pytest.param([0.5, 0.3, 0.6, 0.5, 0.4, 0.35], False, id="falls, but not below what it has been"),
        pytest.param([0.9, 0.7, 0.5, 0.51, 0.4], False, id="rose within the last three epochs"),
        pytest.param([0.05, 0.04, 0.035, 0.031], False, id="less than 0.01 nats"),
        pytest.param([5.0, 4.5, 4.42, 4.4], False, id="less than 2 % of what is left"),
        pytest.param([2.0, 1.0, float("nan")], False, id="not finite"),
    ],
)
def test_a_curve_falls_at_its_end(losses, is_learning):
    assert falls_at_the_end([float(loss) for loss in losses]) is is_learning


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.1, 0.2])
def test_noise_on_a_plateau_is_seldom_taken_for_learning(noise):
    """Ten epochs that end on a plateau; deviations of the noise are shares of the loss."""
    rng = np.random.default_rng(0)
    curves = (0.3 + 2 * np.exp(-EPOCHS)) * (1 + noise * rng.standard_normal((2000, 10)))
    assert np.mean([falls_at_the_end(list(curve)) for curve in curves]) <= 0.04


FLAT = [0.5, 0.2, 0.2, 0.2]


def test_a_row_says_so_in_one_sentence_and_so_do_the_verdict_the_answer_and_a_warning():
    command = "convarium compare lenet resnet --epochs 4"
    found = compare_runs(runs("lenet", [0.98, 0.981, 0.982]) + learning("resnet", FALLING), command=command)
    told = "resnet was still learning (its validation loss fell by 0.10 in the last epoch)"
    assert (found.row("resnet").still_learning, found.row("lenet").still_learning) == (told, None)
    assert found.row("resnet").decision == "worse"
    assert found.answer.endswith(" resnet was still learning.")
    assert found.warnings[0] == f"{told}; longer training may change this. Try --epochs 12 or --tune."
    same_budget = compare_runs(learning("lenet", FLAT) + learning("resnet", FALLING))
    assert " within 0.3 points after 4 epochs (90 % interval" in same_budget.row("resnet").verdict
    both = compare_runs(learning("lenet", FALLING) + learning("resnet", FALLING))
    assert both.warnings[0].startswith(f"{told.replace('resnet', 'lenet')}, and so was resnet; longer training may")
    assert both.answer.endswith(" Both were still learning.")
    beside = compare_runs(learning("lenet", FALLING) + learning("resnet", FALLING) + runs("vgg", [None] * 3))
    assert beside.answer.endswith(" vgg failed to train in all 3 runs; lenet and resnet were still learning.")
    assert list(beside.frame("rows")["still_learning"].notna()) == [True, True, False]


def test_the_verdict_itself_is_that_of_runs_that_had_finished_learning():
    accuracies = [0.98, 0.981, 0.982]
    still, finished = (compare_runs(runs("lenet", accuracies) + learning("resnet", each)) for each in (FALLING, FLAT))
    one, other = still.row("resnet"), finished.row("resnet")
    assert (one.decision, one.difference) == (other.decision, other.difference)
    assert finished.row("resnet").still_learning is None


@pytest.mark.parametrize(
    ("command", "ways"),
    [
        ("convarium compare lenet", " Try --epochs 12 or --tune."),
        ("convarium compare lenet --tune", " Try --epochs 12."),
        ("convarium run activations", " Try --tune."),
        ("convarium train lenet", ""),
        (None, ""),
    ],
)
def test_what_is_suggested_are_flags_of_the_command_that_was_given(command, ways):
    (warning,) = compare_runs(learning("lenet", FALLING), command=command).warnings
    assert warning.partition("may change this.")[2] == ways


def test_training_loss_counts_only_where_no_images_are_held_out():
    assert still_learning("lenet", learning("lenet", FLAT, training=FALLING)) is None
    assert still_learning("lenet", learning("lenet", None, training=FALLING)) == (
        "lenet was still learning (its training loss fell by 0.10 in the last epoch)"
    )


def test_it_is_the_mean_over_the_trained_runs_that_counts():
    one_still_falls = [*learning("lenet", FLAT)[:2], learning("lenet", FALLING)[2]]
    assert (
        still_learning("lenet", one_still_falls)
        == "lenet was still learning (its validation loss fell by 0.03 in the last epoch)"
    )
    assert still_learning("lenet", []) is None
    assert compare_runs(runs("lenet", [None, None])).rows[0].still_learning is None


def test_the_stored_results_are_marked_as_their_curves_look():
    """LeNet of d2l.ai after 10 epochs was still improving; runs that never learned, or had stopped, were not."""
    groups = {}
    for made in read_records(results_folder() / "runs.jsonl").values():
        groups.setdefault(dataclasses.replace(made.recipe, seed=0), []).append(made)
    told = {
        (recipe.model, recipe.optimizer, recipe.learning_rate): still_learning("it", made)
        for recipe, made in groups.items()
    }
    assert told["lenet@d2l", "sgd", 0.9] == "it was still learning (its training loss fell by 0.02 in the last epoch)"
    assert told["mnist_resnet(activation='relu')", "adam", 0.001] is None
    assert told["mnist_resnet(activation='relu')", "adam", 1.0] is None
    assert told["residual_cnn(blocks=4, residual=False)", "sgd", 0.01] is None
    assert sum(text is not None for text in told.values()) <= len(told) / 4
