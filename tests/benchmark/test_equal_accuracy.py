import dataclasses
import re

import numpy as np
import pytest
import torch

import convarium.data
from convarium.analysis.statistics import equivalence
from convarium.benchmark import (
    JOBS,
    accuracy,
    contestants,
    equal_accuracy,
    losses,
)
from convarium.benchmark.accuracy import judge_equivalence
from convarium.benchmark.losses import copy_weights, first_losses
from convarium.errors import ConvariumError
from convarium.training import fit
from made_images import CPU, drawn, splits_of


@pytest.fixture
def digits(monkeypatch):
    """The digits of scikit-learn stand for MNIST: same form, always there."""
    monkeypatch.setattr(contestants, "load_data", lambda *_, **__: convarium.data.load_data("digits", validation=0))


def test_both_loops_learn_as_much(digits, monkeypatch):
    recipes = []
    monkeypatch.setattr(accuracy, "fit", lambda recipe, *args, **kw: recipes.append(recipe) or fit(recipe, *args, **kw))
    alone, half = equal_accuracy("memory_mlp", seeds=2, images=1000, device="cpu")
    assert [(r.precision, r.seed) for r in recipes] == [(p, s) for p in ("float32", "bfloat16") for s in (0, 1)]
    assert (alone.precision, half.precision) == ("float32", "bfloat16")
    assert alone.reference == half.reference
    assert alone.images == 1000
    for result in (alone, half):
        assert len(result.reference) == len(result.convarium) == 2
        assert min(*result.reference, *result.convarium) > 0.5
        assert abs(np.mean(result.reference) - np.mean(result.convarium)) < 0.15
        assert result.equivalence.margin == 0.01
        assert f"memory_mlp in {result.precision} is" in result.verdict


def test_more_epochs_learn_more(digits):
    (one,) = equal_accuracy("memory_mlp", precisions=["float32"], seeds=1, images=500, device="cpu")
    (three,) = equal_accuracy("memory_mlp", precisions=["float32"], seeds=1, images=500, epochs=3, device="cpu")
    assert three.reference > one.reference
    assert three.convarium > one.convarium


def test_equivalence_is_judged_by_the_protocol():
    rng = np.random.default_rng(0)
    theirs, ours = (list(0.9 + 0.001 * rng.standard_normal(10)) for _ in range(2))
    images = drawn(1000)
    same, verdict = judge_equivalence(theirs, ours, label="net", dataset="mnist", test=images, family=2)
    assert same == equivalence(ours, theirs, 0.003, paired=False, family=2)
    assert same.equivalent
    assert re.fullmatch(
        r"net is equivalent to the reference within 0\.3 points "
        r"\(95% interval −?0\.\d+ to −?0\.\d+ points, 10 and 10 trainings, family of 2\)",
        verdict,
    )
    worse, verdict = judge_equivalence(
        theirs, [a - 0.003 for a in ours], label="net", dataset="mnist", test=images, family=1
    )
    assert not worse.equivalent
    assert "undecided: net is not shown to be equivalent to the reference within 0.3 points (90% interval" in verdict


def test_failed_trainings_come_first():
    theirs, ours = [0.9, 0.91, 0.1, 0.9], [0.9, None, 0.91, 0.9]  # a tenth is chance for ten classes
    same, verdict = judge_equivalence(theirs, ours, label="net", dataset="cifar10", test=drawn(1000), family=1)
    assert verdict.startswith("1 of 4 runs of net failed; 1 of 4 runs of the reference failed; undecided: net is not")
    assert same == equivalence([0.9, 0.91, 0.9], [0.9, 0.91, 0.9], 0.005, paired=False)
    same, verdict = judge_equivalence(
        [0.1, 0.1], [None, 0.9], label="net", dataset="cifar10", test=drawn(1000), family=1
    )
    assert same is None
    assert verdict.endswith("undecided: too few trainings to compare net with the reference")


@pytest.mark.parametrize("name", ["lenet@d2l", "residual_cnn"])
def test_first_losses_agree_from_equal_weights_on_equal_batches(name, monkeypatch):
    monkeypatch.setattr(losses, "LOSSES", 3)
    job, splits = JOBS[name], splits_of(drawn(600))
    alone, half = first_losses(name, job, splits, precisions=["float32", "bfloat16"], device=CPU)
    assert alone.reference == half.reference
    assert len(set(alone.reference)) == len(alone.convarium) == 3
    assert alone.agree
    assert alone.apart < 1e-5
    assert half.agree
    assert half.apart > alone.apart
    assert re.fullmatch(
        rf"the first 3 losses of {name} in float32 agree .* \(\S+ apart, 0.0078 allowed\)", alone.verdict
    )


def test_first_losses_of_another_training_do_not_agree(monkeypatch):
    monkeypatch.setattr(losses, "LOSSES", 3)
    job = dataclasses.replace(JOBS["lenet@d2l"], learning_rate=5.0)
    (result,) = first_losses("lenet@d2l", job, splits_of(drawn(600)), precisions=["float32"], device=CPU)
    assert not result.agree
    assert "do not agree" in result.verdict
    endless = dataclasses.replace(job, learning_rate=1e38)
    (result,) = first_losses("lenet@d2l", endless, splits_of(drawn(600)), precisions=["float32"], device=CPU)
    assert (result.agree, result.apart) == (False, None)
    assert None in result.reference
    assert "(one is not finite, 0.0078 allowed)" in result.verdict


def test_dropout_does_not_keep_first_losses_apart(monkeypatch):
    monkeypatch.setattr(losses, "LOSSES", 2)
    job = dataclasses.replace(JOBS["nin@d2l"], batch_size=2)
    train = dataclasses.replace(drawn(8), resize=224)
    (result,) = first_losses("nin@d2l", job, splits_of(train), precisions=["float32"], device=CPU)
    assert result.agree


def test_at_224_pixels_on_a_cpu_the_first_losses_are_compared(monkeypatch):
    monkeypatch.setattr(accuracy, "splits_of", lambda *_: splits_of(drawn(8)))
    monkeypatch.setattr(accuracy, "first_losses", lambda name, *_, **__: [name])
    assert equal_accuracy("alexnet@d2l", device="cpu") == ["alexnet@d2l"]


def test_weights_are_copied_whole_or_not_at_all():
    with pytest.raises(ConvariumError, match="no weights for bias"):
        copy_weights(torch.nn.Linear(2, 3, bias=False), torch.nn.Linear(2, 3))
    with pytest.raises(ConvariumError, match="weights left over"):
        copy_weights(torch.nn.Linear(2, 3), torch.nn.Linear(2, 3, bias=False))
