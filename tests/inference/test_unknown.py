"""The rule for 'unknown': what it promises holds for images like those that it was calibrated on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convarium.errors import ConvariumError
from convarium.inference.unknown import calibrate, coverages, probabilities_of, threshold_of


def drawn(n, classes=10, seed=0, scale=3.0):
    """Probabilities of a network that is sure of most images."""
    return probabilities_of(np.random.default_rng(seed).normal(scale=scale, size=(n, classes)))


def test_probabilities_are_softmax_and_keep_sure_answers_apart():
    logits = np.array([[0.0, 20.0], [0.0, 25.0], [1e4, -1e4]], dtype=np.float32)
    found = probabilities_of(logits)
    assert found.sum(axis=1) == pytest.approx(1)
    assert found[0, 1] < found[1, 1] < 1  # both are 1 in float32
    assert found[2].tolist() == [1, 0]


@settings(max_examples=30, deadline=None)
@given(n=st.integers(100, 1000), coverage=st.sampled_from([0.8, 0.9, 0.95, 0.99]), seed=st.integers(0, 99))
def test_at_most_the_promised_share_of_calibration_images_is_left_unanswered(n, coverage, seed):
    probabilities = drawn(n, seed=seed)
    rule = calibrate(probabilities, coverage, source="test images")
    unanswered = int((~rule.answers(probabilities)).sum())
    # The image of rank k itself is answered, and no other way of ranking would answer fewer.
    assert unanswered == int(np.floor(round((n + 1) * (1 - coverage), 9))) - 1


def test_new_images_of_the_same_source_are_answered_as_promised_on_average():
    # The expected coverage is 1 − k/(n + 1): 0.9505 for 100 images; 2,000 repetitions leave ±0.001.
    shares = []
    for seed in range(2000):
        confidences = drawn(200, classes=3, seed=seed).max(axis=1)
        shares.append((confidences[100:] >= threshold_of(confidences[:100], 0.95)).mean())
    assert np.mean(shares) == pytest.approx(1 - 5 / 101, abs=0.002)


def test_the_measured_coverage_is_at_least_93_percent_whatever_the_probabilities():
    for scale in (0.01, 1.0, 30.0):
        rule = calibrate(drawn(400, scale=scale), source="test images")
        assert rule.measured >= 0.93
        assert rule.low <= rule.measured <= rule.high


def test_equal_probabilities_are_all_answered():
    rule = calibrate(np.full((100, 4), 0.25), source="test images")
    assert rule.measured == rule.low == 1
    assert rule.answers(np.full((3, 4), 0.25)).all()


def test_the_random_halves_are_always_the_same():
    confidences = drawn(150).max(axis=1)
    assert coverages(confidences, 0.95, splits=5).tolist() == coverages(confidences, 0.95, splits=5).tolist()


def test_a_stranger_of_whom_the_network_is_sure_is_answered():
    rule = calibrate(drawn(300), source="test images")
    assert rule.answers(np.array([[0.0, 1.0]])).tolist() == [True]


def test_fewer_than_100_images_calibrate_nothing():
    assert calibrate(drawn(100), source="test images").n == 100
    with pytest.raises(ConvariumError, match="cannot be calibrated on 99 test images: expected at least 100"):
        calibrate(drawn(99), source="test images")


@pytest.mark.parametrize("coverage", [0.49, 1.0, 1.5, -1.0, float("nan")])
def test_a_share_that_makes_no_sense_is_refused(coverage):
    with pytest.raises(ConvariumError, match=r"coverage=.* is out of range: expected 0.5 to 0.999"):
        calibrate(drawn(100), coverage, source="test images")


def test_a_share_that_would_answer_everything_is_refused_with_the_largest_that_does_not():
    with pytest.raises(ConvariumError, match=r"coverage=0.999 cannot be promised from 100 .*: expected at most 0.99;"):
        calibrate(drawn(100), 0.999, source="test images")
    assert calibrate(drawn(100), 0.99, source="test images").threshold > 0
