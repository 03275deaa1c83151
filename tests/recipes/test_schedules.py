"""The learning rate agrees with PyTorch's own schedulers, step by step."""

import pytest
import torch

from convarium.recipes.schedules import parse_schedule, rate_factor

STEPS_PER_EPOCH, EPOCHS = 7, 12
TOTAL = STEPS_PER_EPOCH * EPOCHS


def rates(text, warmup=0):
    schedule = parse_schedule(text)
    return [
        rate_factor(schedule, step, steps_per_epoch=STEPS_PER_EPOCH, epochs=EPOCHS, warmup=warmup)
        for step in range(TOTAL)
    ]


def torch_rates(make, per_epoch=False):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    scheduler = make(optimizer)
    found = []
    for step in range(TOTAL):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < TOTAL - 1 and (not per_epoch or (step + 1) % STEPS_PER_EPOCH == 0):
            scheduler.step()
    return found


def test_constant():
    assert rates("constant") == [1.0] * TOTAL


def test_steps_agree_with_multi_step_lr():
    theirs = torch_rates(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [4, 9], 0.1), per_epoch=True)
    assert rates("steps(milestones=[4, 9], gamma=0.1)") == pytest.approx(theirs)
    assert rates("steps([4, 9])") == pytest.approx(theirs)


def test_cosine_agrees_with_cosine_annealing_by_step():
    theirs = torch_rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, TOTAL))
    assert rates("cosine") == pytest.approx(theirs, abs=1e-12)


def test_one_cycle_agrees_with_one_cycle_lr():
    theirs = torch_rates(lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 1.0, TOTAL, cycle_momentum=False))
    assert rates("one_cycle") == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("text", ["constant", "cosine", "steps(milestones=[6])"])
def test_warm_up_rises_linearly_and_then_hands_over(text):
    found = rates(text, warmup=3)
    assert found[: 3 * STEPS_PER_EPOCH] == pytest.approx(
        [(s + 1) / (3 * STEPS_PER_EPOCH) for s in range(3 * STEPS_PER_EPOCH)]
    )
    assert found[3 * STEPS_PER_EPOCH] == pytest.approx(1.0)


def test_one_cycle_may_have_its_peak_at_the_first_step():
    schedule = parse_schedule("one_cycle(rise=0.5)")
    factors = [rate_factor(schedule, step, steps_per_epoch=2, epochs=1) for step in range(2)]
    assert factors == pytest.approx([1.0, 1 / 250_000])


@pytest.mark.parametrize("text", ["one_cycle", "cosine", "constant"])
def test_a_run_of_one_step_has_a_finite_rate(text):
    assert 0 <= rate_factor(parse_schedule(text), 0, steps_per_epoch=1, epochs=1) <= 1
