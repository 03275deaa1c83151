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


@pytest.mark.parametrize("family", [1, 3])
@pytest.mark.parametrize("accuracy", [0.55, 0.9, 0.99])
def test_an_interval_covers_the_accuracy_at_least_as_often_as_it_says(accuracy, family):
    """Summed over every possible number of right images, so that nothing is left to chance."""
    n = 60
    intervals = [simultaneous_interval(right, n, family=family) for right in range(n + 1)]
    covered = [accuracy in interval for interval in intervals]
    assert stats.binom.pmf(np.arange(n + 1), n, accuracy)[covered].sum() >= 1 - 0.05 / family


def test_none_or_all_right_is_no_proof():
    assert simultaneous_interval(0, 20, family=1).low == 0.0
    assert simultaneous_interval(0, 20, family=1).high > 0.1
    assert simultaneous_interval(20, 20, family=1).high == 1.0


@pytest.mark.parametrize(("right", "n", "family"), [(-1, 5, 1), (6, 5, 1), (0, 0, 1), (1, 5, 0)])
def test_an_interval_needs_images(right, n, family):
    with pytest.raises(ConvariumError, match="an interval needs images and a family"):
        simultaneous_interval(right, n, family=family)
