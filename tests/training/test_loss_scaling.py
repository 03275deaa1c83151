"""In float16 the loss is scaled: small gradients survive, and a step that overflows changes nothing."""

import dataclasses
import json

import pytest
import torch
from torch import nn

from convarium.data.loading import load_data
from convarium.recipes.recipe import Recipe
from convarium.runs.json_forms import outcome_from_json, outcome_to_json
from convarium.training import fit
from convarium.training.loss_scaling import LossScaler, loss_scalers
from convarium.training.numerics import autocast
from convarium.training.optimizers import optimizer_over
from convarium.training.stacked import fit_stacked_model

RECIPE = Recipe(model="lenet", epochs=4, batch_size=64, learning_rate=0.02, momentum=0.9, precision="float16")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def parameter(values):
    return nn.Parameter(torch.tensor(values))


@pytest.mark.parametrize("recipe", [RECIPE, Recipe(optimizer="adam"), Recipe(optimizer="adamw", weight_decay=0.1)])
def test_the_scale_changes_no_update_and_a_step_that_overflows_changes_no_weight(recipe):
    scaled, plain = parameter([1.0, -2.0, 3.0]), parameter([1.0, -2.0, 3.0])
    scaler, optimizer = LossScaler(optimizer_over([scaled], recipe)), optimizer_over([plain], recipe)
    for factor in (float("inf"), 1.0, 0.5):  # the first step too may overflow
        scaler.scale((scaled * scaled * factor).sum()).backward()
        scaler.step()
        scaler.optimizer.zero_grad()
        if factor == float("inf"):
            assert scaled.tolist() == [1.0, -2.0, 3.0]
            continue
        (plain * plain * factor).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        assert torch.equal(scaled, plain)  # the scale is a power of two, which rounds nothing
    assert int(scaler.skipped) == 1
    assert float(scaler.state()["scale"]) == 2.0**15


def test_a_gradient_below_float16s_smallest_number_arrives():
    def gradient(scale):
        weight = parameter([[1.0]])
        with autocast(RECIPE, "cpu"):
            y = nn.functional.linear(torch.tensor([[1.0]]), weight)
        (y.float().sum() * 1e-8 * scale).backward()
        return float(weight.grad) / scale

    assert gradient(1.0) == 0.0  # 2⁻²⁴ = 6e-8 is the smallest
    assert gradient(2.0**16) == pytest.approx(1e-8, rel=1e-3)


def test_a_scaler_goes_on_as_it_was():
    first, second = (LossScaler(optimizer_over([parameter([1.0])], RECIPE)) for _ in range(2))
    first.scale((first.optimizer.param_groups[0]["params"][0] * float("inf")).sum()).backward()
    first.step()
    second.set_state(first.state())
    assert second.state() == first.state()
    assert float(second.scale(torch.ones(()))) == 2.0**15


def test_other_precisions_scale_nothing():
    optimizer = optimizer_over([parameter([1.0])], RECIPE)
    assert [len(loss_scalers(Recipe(precision=name), [optimizer])) for name in ("float32", "bfloat16")] == [0, 0]


def test_layers_compute_in_float16_and_weights_stay_in_float32():
    layer = nn.Linear(2, 2)
    with autocast(RECIPE, "cpu"):
        y = layer(torch.ones(1, 2))
    y.float().sum().backward()
    assert (y.dtype, layer.weight.dtype, layer.weight.grad.dtype) == (torch.float16, torch.float32, torch.float32)


def test_a_run_learns_as_in_float32(digits):
    half, full = (fit(dataclasses.replace(RECIPE, precision=p), digits, device=CPU) for p in ("float16", "float32"))
    assert half.status == "finished"
    assert half.skipped_steps < 5  # while the factor is sought
    assert full.skipped_steps is None
    stored = json.loads(json.dumps(outcome_to_json(half)))
    assert outcome_from_json(stored, half.history).skipped_steps == half.skipped_steps
    assert "skipped_steps" not in outcome_to_json(full)
    assert half.test.accuracy == pytest.approx(full.test.accuracy, abs=0.05)
    assert half.test.accuracy > 0.7


def test_a_member_of_a_stack_that_overflows_leaves_the_others_as_they_are(digits):
    recipe = dataclasses.replace(RECIPE, epochs=1)
    calm, wild = (dataclasses.replace(recipe, seed=1, learning_rate=rate) for rate in (0.02, 1e5))
    (one, neighbor), (other, overflowed) = (
        fit_stacked_model([recipe, second], digits, CPU, [None, None]) for second in (calm, wild)
    )
    assert neighbor.status == "finished"
    assert overflowed.status == "diverged"
    assert one.skipped_steps == other.skipped_steps < overflowed.skipped_steps
    assert list(one.step_loss) == list(other.step_loss)
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)
