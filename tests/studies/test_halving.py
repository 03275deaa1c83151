"""Successive halving: the rungs fit into the time, each is longer than the one before, and the better half goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convarium.studies.halving import (
    FINALISTS,
    Epochs,
    RunTime,
    best_of,
    epochs_of_rung,
    fitting,
    rung_sizes,
    seeds_that_fit,
)

TIMES = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=3),
    st.builds(RunTime, st.floats(0.01, 50), st.floats(0, 5)),
    min_size=1,
    max_size=14,
)


@pytest.mark.parametrize(("networks", "sizes"), [(1, (1,)), (4, (4,)), (5, (5, 3)), (8, (8, 4)), (11, (11, 6, 3))])
def test_every_rung_keeps_half_until_few_are_left(networks, sizes):
    assert rung_sizes(networks) == sizes


@given(st.integers(1, 1000))
def test_the_last_rung_is_small_enough_to_choose_from(networks):
    assert 1 <= rung_sizes(networks)[-1] <= FINALISTS


def taken(seconds, workers):
    """The seconds that runs take where each worker trains the next one as soon as it is free, in the order given."""
    free = [0.0] * workers
    for each in seconds:
        free[free.index(min(free))] += each
    return max(free)


@given(TIMES, st.floats(1, 2000), st.integers(1, 10), st.integers(10, 60), st.integers(1, 4))
def test_the_rungs_of_the_networks_that_fit_end_in_time(times, seconds, least, most, workers):
    """Whichever networks go on: here the slowest ones."""
    epochs = Epochs(least, most)
    names, left, before = fitting(times, seconds, epochs, workers=workers), seconds, least
    sizes = rung_sizes(len(names)) if names else ()
    for number, size in enumerate(sizes):
        names = sorted(names, key=lambda name: -times[name].epoch)[:size]
        here = [times[name] for name in names]
        length = epochs_of_rung(here, left, len(sizes) - number, Epochs(before, most), workers=workers)
        assert before <= length <= most
        left -= taken([time.of(length) for time in here], workers)
        before = length
    assert left >= -1e-6 * seconds


def test_the_slowest_networks_are_left_out_first():
    times = {"quick": RunTime(1, 1), "slow": RunTime(100, 1), "middle": RunTime(10, 1)}
    assert fitting(times, 1000, Epochs(1, 10)) == ["quick", "slow", "middle"]
    assert fitting(times, 50, Epochs(1, 10)) == ["quick", "middle"]
    assert fitting(times, 5, Epochs(1, 10)) == ["quick"]
    assert fitting(times, 1, Epochs(1, 10)) == []


def test_with_much_time_the_last_rung_has_all_epochs_and_those_before_half_of_the_next():
    times = [RunTime(1, 1)] * 3
    assert [epochs_of_rung(times, 1e6, rungs, Epochs(1, 40)) for rungs in (3, 2, 1)] == [10, 20, 40]


def test_seeds_fill_the_time_that_is_left():
    times = [RunTime(1, 0), RunTime(2, 0)]
    assert seeds_that_fit(times, 95, 10, 5) == 3
    assert seeds_that_fit(times, 1e6, 10, 5) == 5
    assert seeds_that_fit(times, 1, 10, 5) == 1
    assert seeds_that_fit(times, 55, 10, 5, workers=2) == 3  # 90 seconds of work, 45 for each, and 10 for the last


def test_the_better_half_goes_on_and_failed_runs_never_do():
    scores = {"a": 0.5, "b": 0.9, "c": None, "d": 0.5}
    parameters = {"a": 20, "b": 10, "c": 1, "d": 10}
    assert best_of(scores, parameters, 2) == ["b", "d"]
    assert best_of(scores, parameters, 4) == ["b", "d", "a"]
