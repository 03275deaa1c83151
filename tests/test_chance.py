"""When a run is at chance, when it is not, and when its images are too few to tell."""

import dataclasses
import itertools
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from convarium.analysis.comparison import as_json, compare_runs, status
from convarium.chance import at_chance, is_imbalanced, predicts_at_chance
from convarium.recipes.recipe import Recipe
from convarium.records import Scores
from made_runs import run


def test_chance_ends_three_standard_errors_above_the_largest_class():
    # √(0.1 · 0.9 / 10,000) = 0.003
    assert at_chance(0.109, 10_000, 0.1)
    assert not at_chance(0.1091, 10_000, 0.1)
    assert at_chance(1.0, 50, 1.0)


def test_a_small_folder_that_is_learned_is_not_at_chance():
    """Three classes, 360 training and 120 test images, of which 60 % and 56 % are right."""
    for n, accuracy in itertools.product((360, 120), (0.60, 0.56)):
        assert at_chance(accuracy, n, 1 / 3) is False
    assert at_chance(0.35, 360, 1 / 3) is True


def test_too_few_images_do_not_tell_chance_from_learning():
    # ⅓ + 3 · √(2 / 9 / 12) = 0.74 cannot be told from ⅓, nor from ⅔, the accuracy with half the errors.
    assert at_chance(0.6, 12, 1 / 3) is None
    assert at_chance(0.6, 12_000, 1 / 3) is False
    assert at_chance(0.75, 12, 1 / 3) is False
    assert at_chance(0.5, 2, 0.5) is None


@given(
    n=st.integers(1, 100_000),
    classes=st.integers(2, 100),
    accuracy=st.floats(0, 1),
)
def test_chance_is_left_behind_once_and_for_all_as_the_accuracy_rises(n, classes, accuracy):
    """Of three answers, in this order: at chance, cannot be told, above chance."""
    share = math.ceil(n / classes) / n
    order = [True, None, False]
    places = [order.index(at_chance(value, n, share)) for value in (0.0, accuracy, 1.0)]
    assert places == sorted(places)
    limit = share + 3 * math.sqrt(share * (1 - share) / n)
    assert (at_chance(accuracy, n, share) is False) == (accuracy > limit + 1e-12)
    if n >= 36 * share / (1 - share + 1e-9) * 4:  # three errors of each then lie below half of the way between them
        assert at_chance(share, n, share) is True


@given(counts=st.lists(st.integers(1, 2000), min_size=2, max_size=6), data=st.data())
def test_a_constant_answer_is_never_above_chance_and_a_perfect_one_never_below(counts, data):
    named = data.draw(st.integers(0, len(counts) - 1))
    constant = [[count * (column == named) for column in range(len(counts))] for count in counts]
    perfect = [[count * (row == column) for column in range(len(counts))] for row, count in enumerate(counts)]
    assert predicts_at_chance(constant) is not False
    assert predicts_at_chance(perfect) is not True


def test_a_network_that_finds_rare_classes_is_not_at_chance_though_naming_the_largest_is_right_more_often():
    found = [[7000, 2000], [100, 900]]  # 79 % are right, where the largest class is 90 % of the images
    assert at_chance(0.79, 10_000, 0.9) is True
    assert predicts_at_chance(found) is False
    assert predicts_at_chance([[9000, 0], [1000, 0]]) is True
    assert predicts_at_chance([[4500, 4500], [500, 500]]) is True
    assert predicts_at_chance([[90, 0], [4, 0]]) is None


def test_random_answers_are_rarely_called_learned():
    """Predictions drawn without a look at the image, at any rates: 3 standard errors leave 1 or 2 in 1,000."""
    generator, called = np.random.default_rng(0), 0
    for _ in range(2000):
        counts = generator.integers(10, 300, size=generator.integers(2, 8))
        rates = generator.dirichlet(np.ones(len(counts)))
        called += predicts_at_chance([generator.multinomial(count, rates).tolist() for count in counts]) is False
    assert called <= 12


def test_classes_are_imbalanced_where_the_largest_is_over_three_times_the_smallest():
    assert not is_imbalanced([30, 10, 20])
    assert is_imbalanced([31, 10, 20])
    assert not is_imbalanced([30, 0, 10])


# Runs


def scored(right: int, per_class: int) -> Scores:
    """Scores over three equal classes, of each of which as many images are right."""
    wrong = per_class - right
    confusion = tuple(tuple(right if row == column else wrong * (column == (row + 1) % 3) for column in range(3))
                      for row in range(3))  # fmt: skip
    accuracy = right / per_class
    return Scores(accuracy, 1 - accuracy, dict.fromkeys("abc", accuracy), confusion, 0.1, 3 * per_class)


def small_run(seed=0, *, train=None, validation=None, test=None):
    made = run(Recipe(seed=seed, dataset="folder:photos"), 0.5)
    outcome = dataclasses.replace(made.outcome, train=train, validation=validation, test=test)
    return dataclasses.replace(made, outcome=outcome)


def test_the_largest_set_that_was_scored_decides():
    """With 12 validation images alone, right in 58 %, the runs would be at chance: ⅓ + 3 · √(2 / 9 / 12) = 0.74."""
    small = {"validation": scored(2, 4), "test": scored(24, 40)}
    assert status(small_run(**small, train=scored(76, 120))) == "trained"
    assert status(small_run(**small)) == "trained"
    assert status(small_run(**small | {"test": scored(13, 40)}, train=scored(100, 120))) == "trained"
    assert status(small_run(**small, train=scored(43, 120))) == "at chance"


def test_a_comparison_says_which_runs_cannot_be_told_from_chance():
    few = [small_run(seed, train=scored(3, 5), test=scored(2, 3)) for seed in range(2)]
    found = compare_runs(few)
    assert (found.rows[0].n, found.rows[0].failed, found.rows[0].undetermined) == (2, 0, 2)
    assert (
        "Whether 2 of 2 runs of lenet learned anything cannot be told: even the largest set that was scored, "
        "15 images, is too small."
    ) in found.warnings
    assert as_json(found)["rows"][0]["undetermined"] == found.frame("rows")["undetermined"][0] == 2
    enough = compare_runs([small_run(train=scored(90, 120), test=scored(2, 3))])
    assert not any("cannot be told" in note for note in enough.warnings)
