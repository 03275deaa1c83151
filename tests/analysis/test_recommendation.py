"""The choice between trained networks looks at validation, size and speed; its intervals hold together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from convarium.analysis.recommendation import Finalist, choose, simultaneous_interval
from convarium.errors import ConvariumError

LARGE = Finalist("large", 1_000_000, 100.0, (0.90, 0.92))
SMALL = Finalist("small", 10_000, 500.0, (0.90, 0.91))
QUICK = Finalist("quick", 50_000, 2000.0, (0.70, 0.72))


def test_each_network_is_named_for_what_it_is():
    assert choose([QUICK, LARGE, SMALL], 0.01) == {
        "large": ("most accurate",),
        "small": ("smallest",),
        "quick": ("fastest",),
    }


def test_outside_the_margin_the_most_accurate_is_the_smallest_too():
    assert choose([LARGE, SMALL, QUICK], 0.001)["large"] == ("most accurate", "smallest")


def test_one_finalist_is_everything():
    assert choose([LARGE], 0.01) == {"large": ("most accurate", "smallest", "fastest")}


def test_of_equal_scores_the_smaller_network_leads():
    twin = Finalist("twin", 5_000, 10.0, SMALL.validation)
    assert choose([SMALL, twin], 0.0)["twin"] == ("most accurate", "smallest")


def test_of_networks_as_quick_as_each_other_the_more_accurate_is_the_fastest():
    near = Finalist("near", 60_000, QUICK.images_per_second / 1.04, (0.8,))
    far = Finalist("far", 60_000, QUICK.images_per_second / 1.06, (0.8,))
    assert choose([QUICK, near, LARGE], 0.01)["near"] == ("fastest",)
    assert choose([QUICK, far, LARGE], 0.01)["quick"] == ("fastest",)


def test_of_several_seeds_the_best_one_is_used():
    assert LARGE.best_seed == 1
    assert Finalist("a", 1, 1.0, (0.5, 0.5)).best_seed == 0


@given(
    st.lists(
        st.builds(
            Finalist,
            st.uuids().map(str),
            st.integers(1, 10**6),
            st.floats(1, 1e5),
            st.lists(st.floats(0, 1), min_size=1, max_size=3).map(tuple),
        ),
        min_size=1,
        max_size=6,
    ),
    st.floats(0, 0.1),
)
def test_every_role_is_given_once_whatever_the_order(finalists, margin):
    roles = choose(finalists, margin)
    assert sorted(role for each in roles.values() for role in each) == ["fastest", "most accurate", "smallest"]
    by_name = {each.network: each for each in finalists}
    named = {role: by_name[name] for name, each in roles.items() for role in each}
    assert named["most accurate"].mean == max(each.mean for each in finalists)
    assert named["smallest"].mean >= named["most accurate"].mean - margin - 1e-6
    assert named["smallest"].parameters <= named["most accurate"].parameters


def test_a_choice_needs_finalists_with_scores():
    for wrong in ([], [Finalist("a", 1, 1.0, ())]):
        with pytest.raises(ConvariumError, match="a choice needs finalists with validation scores"):
            choose(wrong, 0.01)


def confusion(*classes):
    """The confusion matrix of classes with so many right and so many wrong images each."""
    rows = [[0] * len(classes) for _ in classes]
    for label, (right, wrong) in enumerate(classes):
        rows[label][label], rows[label][label - 1] = right, wrong
    return rows


@pytest.mark.parametrize("family", [1, 3])
@pytest.mark.parametrize("accuracy", [0.55, 0.9, 0.99])
def test_an_interval_covers_the_accuracy_at_least_as_often_as_it_says(accuracy, family):
    """Summed over every possible number of right images, so that nothing is left to chance."""
    n = 60
    intervals = [simultaneous_interval(confusion((right, n - right), (0, 0)), family=family) for right in range(n + 1)]
    covered = [accuracy in interval for interval in intervals]
    assert stats.binom.pmf(np.arange(n + 1), n, accuracy)[covered].sum() >= 1 - 0.05 / family


@pytest.mark.parametrize("shares", [(0.9, 0.6), (0.97, 0.8), (0.5, 0.5)])
def test_an_interval_covers_the_balanced_accuracy_of_imbalanced_classes(shares):
    large, small = 40, 8
    right = [(a, b) for a in range(large + 1) for b in range(small + 1)]
    chance = [
        stats.binom.pmf(a, large, shares[0]) * stats.binom.pmf(b, small, shares[1]) for a, b in right
    ]  # of each pair of counts
    covered = [
        np.mean(shares) in simultaneous_interval(confusion((a, large - a), (b, small - b)), balanced=True)
        for a, b in right
    ]
    assert np.sum(np.array(chance)[covered]) >= 0.93


def test_classes_of_one_size_have_one_interval_whatever_it_is_called_where_all_is_right():
    even = confusion((10, 0), (10, 0))
    assert simultaneous_interval(even, balanced=True).high == simultaneous_interval(even).high == 1.0


def test_a_class_without_images_does_not_count():
    with_empty, without = confusion((8, 2), (0, 0), (3, 1)), confusion((8, 2), (3, 1))
    assert simultaneous_interval(with_empty, balanced=True) == simultaneous_interval(without, balanced=True)


def test_none_or_all_right_is_no_proof():
    assert simultaneous_interval(confusion((0, 20), (0, 0))).low == 0.0
    assert simultaneous_interval(confusion((0, 20), (0, 0))).high > 0.1
    assert simultaneous_interval(confusion((20, 0), (0, 0))).high == 1.0


@pytest.mark.parametrize(("table", "family"), [([], 1), (confusion((0, 0), (0, 0)), 1), (confusion((1, 1), (1, 0)), 0)])
def test_an_interval_needs_images(table, family):
    with pytest.raises(ConvariumError, match="an interval needs images and a family of 1 or more"):
        simultaneous_interval(table, family=family)
