"""A difference of high accuracies is also told as a share of the errors, in one wording everywhere."""

import pytest

from convarium.analysis.comparison import compare_runs
from convarium.pages import as_markdown
from made_runs import runs

AROUND = (-0.0001, 0.0, 0.0001, -0.0001, 0.0001)


def compared(accuracy, baseline, **asked):
    made = [runs(name, [mean + x for x in AROUND]) for name, mean in (("vgg", baseline), ("lenet", accuracy))]
    return compare_runs([*made[0], *made[1]], **asked)


@pytest.mark.parametrize(
    ("accuracy", "baseline", "told"),
    [
        (0.994, 0.991, "(95 % interval 0.29 to 0.31, 5 seeds each), a third fewer errors (0.9 → 0.6 %)"),
        (0.991, 0.994, ", 50 % more errors (0.6 → 0.9 %)"),
        (0.995, 0.990, ", half as many errors (1.0 → 0.5 %)"),
        (0.990, 0.995, ", twice as many errors (0.5 → 1.0 %)"),
        (0.981, 0.995, ", 3.8 times as many errors (0.5 → 1.9 %)"),
        (0.9979, 0.9977, "but equivalent within 0.3 points, 9 % fewer errors (0.23 → 0.21 %)"),
    ],
)  # fmt: skip
def test_above_98_percent_a_difference_is_told_as_a_share_of_the_errors_too(accuracy, baseline, told):
    found = compared(accuracy, baseline)
    assert told in found.row("lenet").verdict
    assert told in as_markdown(found)


def test_the_first_sentence_says_it_too():
    assert compared(0.994, 0.991).answer.endswith(", 5 seeds each), a third fewer errors (0.9 → 0.6 %).")
    assert compared(0.991, 0.994).answer.endswith(", 5 seeds each), a third fewer errors (0.9 → 0.6 %).")


@pytest.mark.parametrize(("accuracy", "baseline"), [(0.99, 0.97), (0.97, 0.99), (0.90, 0.80)])
def test_below_98_percent_and_for_other_metrics_it_is_not_told(accuracy, baseline):
    assert "errors" not in compared(accuracy, baseline).row("lenet").verdict
    assert "errors" not in compared(0.994, 0.991, metric="test_balanced_accuracy").row("lenet").verdict
    assert "errors" not in compared(0.994, 0.991, metric="test_loss").row("lenet").verdict


def test_what_is_not_shown_is_not_told():
    """A difference that is undecided, or too small to matter as the tests of equivalence find."""
    wide = [0.99, 0.995, 0.985, 0.99, 0.99]
    found = compare_runs([*runs("lenet", wide), *runs("vgg", [*wide[::-1][1:], 0.9905])])
    assert found.row("vgg").decision == "undecided"
    assert "errors" not in found.row("vgg").verdict
