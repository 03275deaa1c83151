"""Tests of failing more often: Fisher's exact test, the binomial rule, and what few runs can show."""

import math

import numpy as np
import pytest

from convarium.analysis.statistics import fisher_test, runs_to_settle_half, seeds_to_reach, settles_half, smallest_p
from convarium.errors import ConvariumError


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8])
def test_the_smallest_p_of_n_runs_each_is_that_of_two_of_all_divisions(n):
    assert fisher_test(n, n, 0, n) == pytest.approx(min(1, 2 / math.comb(2 * n, n))) == pytest.approx(smallest_p(n, n))
    assert fisher_test(n, n, 0, n) == fisher_test(0, n, n, n)


def test_five_of_five_against_none_of_five():
    assert round(fisher_test(5, 5, 0, 5), 3) == 0.008


@pytest.mark.parametrize(("family", "runs"), [(1, 4), (2, 5), (6, 5), (7, 6)])
def test_the_runs_that_can_tell_failing_apart_grow_with_the_family(family, runs):
    assert seeds_to_reach(0.05 / family) == runs
    assert fisher_test(runs, runs, 0, runs) <= 0.05 / family < fisher_test(runs - 1, runs - 1, 0, runs - 1)


def test_five_of_five_runs_settle_that_more_than_half_fail():
    assert runs_to_settle_half() == 5
    assert settles_half(5, 5) is True
    assert settles_half(0, 5) is False
    assert [settles_half(failed, 5) for failed in (1, 2, 3, 4)] == [None] * 4
    assert settles_half(4, 4) is None
    assert settles_half(0, 0) is None


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_networks_that_fail_as_often_are_rarely_told_apart(share):
    failed = np.random.default_rng(3).binomial(10, share, size=(2_000, 2))
    p_of = {(a, b): fisher_test(a, 10, b, 10) for a in range(11) for b in range(11)}
    assert np.mean([p_of[a, b] <= 0.05 for a, b in failed.tolist()]) <= 0.05


def test_more_failures_than_runs_are_refused():
    with pytest.raises(ConvariumError, match="failed is out of range: expected 0 to 3, the number of runs, received 4"):
        fisher_test(4, 3, 0, 3)
