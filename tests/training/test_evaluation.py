import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, recall_score
from torch import nn

from convarium.errors import DataError
from convarium.metrics import calibration_bins, scores
from convarium.models.modes import evaluating, modes_restored
from convarium.training.scoring import predict_logits

TEN = tuple("0123456789")


def drawn(n, classes=10, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, classes, generator=generator)
    return logits, torch.randint(classes, (n,), generator=generator)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 300), classes=st.integers(2, 12), seed=st.integers(0, 10**6))
def test_scores_agree_with_scikit_learn(n, classes, seed):
    logits, labels = drawn(n, classes, seed)
    names = [f"class {i}" for i in range(classes)]
    result = scores(logits, labels, names)
    predicted, probabilities = logits.argmax(1), logits.double().softmax(1)
    everything = range(classes)
    assert result.n == n
    assert result.accuracy == pytest.approx(accuracy_score(labels, predicted))
    assert result.loss == pytest.approx(log_loss(labels, probabilities, labels=everything))
    assert np.array_equal(result.confusion, confusion_matrix(labels, predicted, labels=everything))
    recalls = recall_score(labels, predicted, labels=everything, average=None, zero_division=np.nan)
    assert list(result.per_class) == names
    for value, expected in zip(result.per_class.values(), recalls, strict=True):
        assert (value is None and math.isnan(expected)) or value == pytest.approx(expected)


def test_confusion_rows_are_the_truth_and_columns_the_prediction():
    logits = torch.tensor([[0.0, 5.0], [0.0, 5.0], [5.0, 0.0]])
    result = scores(logits, torch.tensor([0, 1, 0]), ("cat", "dog"))
    assert result.confusion == ((1, 1), (0, 1))
    assert result.per_class == {"cat": 0.5, "dog": 1.0}


def test_calibration_error_by_hand():
    # Confidence 0.9 on four images of which three are right: |3/4 − 0.9|; confidence 0.6 on two, none right: 0.6.
    # One bin has 4 of 6 images, the other 2 of 6.
    confidence = torch.tensor([0.9, 0.9, 0.9, 0.9, 0.6, 0.6])
    logits = torch.stack([confidence.log(), (1 - confidence).log()], dim=1)
    result = scores(logits, torch.tensor([0, 0, 0, 1, 1, 1]), ("a", "b"))
    assert result.calibration_error == pytest.approx(4 / 6 * 0.15 + 2 / 6 * 0.6, abs=1e-6)


def test_calibration_bins_hold_their_upper_bound_and_empty_ones_are_left_out():
    bins = calibration_bins(np.array([1 / 15, 0.1, 0.5, 1.0]), np.array([True, False, True, True]))
    assert bins.counts.tolist() == [1, 1, 1, 1]
    assert bins.confidence.tolist() == pytest.approx([1 / 15, 0.1, 0.5, 1.0])
    assert bins.accuracy.tolist() == [1, 0, 1, 1]
    assert calibration_bins(np.full(5, 0.9), np.ones(5, bool)).counts.tolist() == [5]


def test_scores_of_arrays_are_those_of_tensors():
    logits, labels = drawn(50)
    assert scores(logits.numpy(), labels.numpy(), TEN) == scores(logits, labels, TEN)


def test_scoring_arrays_imports_no_torch():
    script = (
        "import sys, numpy as np; from convarium.metrics import scores;"
        "scores(np.eye(3), np.arange(3), 'abc'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_calibration_error_by_the_definition():
    logits, labels = drawn(500, seed=3)
    confidence, predicted = logits.double().softmax(1).max(1)
    total = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            gap = (predicted == labels)[inside].double().mean() - confidence[inside].mean()
            total += inside.sum().item() / 500 * gap.abs().item()
    assert scores(logits, labels, TEN).calibration_error == pytest.approx(total)


def test_a_certain_and_right_network_scores_one_and_is_calibrated():
    labels = torch.arange(10)
    result = scores(1000 * torch.eye(10), labels, TEN)
    assert (result.accuracy, result.loss, result.calibration_error) == (1.0, 0.0, 0.0)


def test_uniform_logits_cost_the_logarithm_of_the_classes():
    result = scores(torch.zeros(20, 10), torch.arange(20) % 10, TEN)
    assert result.loss == pytest.approx(math.log(10))
    assert result.calibration_error == pytest.approx(0.0, abs=1e-12)


def test_a_class_without_an_image_has_no_recall():
    result = scores(torch.eye(3)[:2], torch.tensor([0, 1]), ("a", "b", "c"))
    assert result.per_class == {"a": 1.0, "b": 1.0, "c": None}


def test_equal_class_names_stay_apart():
    result = scores(torch.eye(3), torch.tensor([0, 1, 2]), ("cat", "cat", "cat (0)"))
    assert list(result.per_class) == ["cat (0)", "cat (1)", "cat (0) (2)"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_numbers_are_scored_and_not_hidden(value):
    logits, labels = drawn(50)
    logits[7] = value
    result = scores(logits, labels, TEN)
    assert np.sum(result.confusion) == 50
    assert 0 <= result.accuracy <= 1
    assert math.isnan(result.loss)
    assert math.isnan(result.calibration_error)


def test_half_precision_logits_are_scored_in_float64():
    logits, labels = drawn(200)
    assert scores(logits.bfloat16(), labels, TEN) == scores(logits.bfloat16().double(), labels, TEN)


def test_what_cannot_be_scored_is_an_error():
    logits, labels = drawn(5)
    with pytest.raises(DataError, match="no images to score"):
        scores(logits[:0], labels[:0], TEN)
    with pytest.raises(DataError, match=r"expected shape \(5, 9\), images by classes, received \(5, 10\)"):
        scores(logits, labels, TEN[:9])
    with pytest.raises(DataError, match="class that does not exist: expected 0 to 9, received 10"):
        scores(logits, torch.tensor([0, 1, 2, 3, 10]), TEN)
    with pytest.raises(DataError, match="received -1"):
        scores(logits, torch.tensor([0, 1, 2, 3, -1]), TEN)


class Noisy(nn.Module):
    """Dropout and batch norm: both behave otherwise in training."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 10))

    def forward(self, x):
        return self.net(x)


def test_prediction_is_in_evaluation_mode_and_leaves_no_trace():
    network = Noisy()
    network.net[0].eval()  # frozen while the rest trains
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images, labels = torch.rand(10, 1, 4, 4), torch.zeros(10, dtype=torch.int64)
    batches = [(images[:6], labels[:6]), (images[6:], labels[6:])]
    first, second = predict_logits(network, batches), predict_logits(network, iter(batches))
    assert first.shape == (10, 10)
    assert first.dtype == torch.float32
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert [m.training for m in network.modules()] == [True, True, False, True, True, True]
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_the_mode_is_restored_after_a_failure():
    network = Noisy()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        predict_logits(network, [(torch.rand(1, 1, 5, 5), torch.zeros(1))])
    assert network.training
    assert network.net.training


def test_evaluating_ends_with_the_block():
    network = Noisy()
    with evaluating(network):
        assert not any(m.training for m in network.modules())
    assert all(m.training for m in network.modules())


def test_every_module_gets_its_own_mode_back():
    network = Noisy()
    network.net[0].eval()
    for change in (network.train, network.eval):
        with modes_restored(network):
            change()
        assert [m.training for m in network.modules()] == [True, True, False, True, True, True]


def test_prediction_without_images_is_an_error():
    with pytest.raises(DataError, match="no images to predict"):
        predict_logits(Noisy(), [])
