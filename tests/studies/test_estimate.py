"""The time of a run is known before it trains: building, steps, scoring and writing, and the page after the last."""

import dataclasses

import pytest
import torch

from convarium.data import load_data
from convarium.recipes.recipe import Recipe
from convarium.runs.environment import environment
from convarium.studies import estimate
from convarium.studies.estimate import RECORDING, afterwards_seconds, measure_time, run_seconds
from convarium.studies.plan import check_recipe
from convarium.training import fit
from made_runs import run

CPU = torch.device("cpu")
RECIPE = Recipe(model="memory_mlp(hidden=8)", epochs=4, batch_size=256)


@pytest.fixture(scope="module")
def splits():
    read = load_data("digits")
    check_recipe(RECIPE, read)  # as before every plan; it imports what the first network of a process takes
    return read


@pytest.fixture
def parts(monkeypatch):
    """A step takes 2 s, the scoring of an image 0.01 s."""
    monkeypatch.setattr(estimate, "_seconds_of_step", lambda trainer, timed: 2.0)
    monkeypatch.setattr(estimate, "_seconds_of_image", lambda trainer, timed: 0.01)


def test_steps_scoring_after_every_epoch_and_scoring_at_the_end_are_counted(splits, parts):
    steps = -(-len(splits.train) // RECIPE.batch_size)
    images = {name: len(getattr(splits, name)) for name in ("train", "validation", "test")}
    known = measure_time(RECIPE, splits, CPU)
    assert known.epoch == pytest.approx(2.0 * steps + 0.01 * images["validation"])
    assert known.rest - 0.01 * sum(images.values()) == pytest.approx(RECORDING, abs=1.0)  # and building and describing
    watched = measure_time(dataclasses.replace(RECIPE, watch_test=True), splits, CPU)
    assert watched.epoch - known.epoch == pytest.approx(0.01 * images["test"])
    assert run_seconds(RECIPE, splits, CPU) == pytest.approx(known.of(RECIPE.epochs), abs=1.0)


def test_another_seed_on_this_hardware_is_the_best_estimate(splits, parts):
    like = run(RECIPE, seconds=123.0, environment=environment(CPU))
    assert run_seconds(RECIPE, splits, CPU, like=like) == like.outcome.cost.total_seconds + RECORDING
    elsewhere = run(RECIPE, seconds=123.0)
    assert run_seconds(RECIPE, splits, CPU, like=elsewhere) < 100


def test_timing_leaves_the_random_generator_as_it_was_and_trains_nothing(splits):
    before = torch.get_rng_state()
    assert measure_time(Recipe(model="lenet", batch_size=256), splits, CPU, timed_seconds=0.01).epoch > 0
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_records_all_of_its_time_the_final_scoring_included(splits, monkeypatch):
    from convarium.training import recording

    now = [0.0]
    monkeypatch.setattr("convarium.training.timing.time.perf_counter", lambda: now[0])
    score = recording.scores

    def slow(*given):
        now[0] += 100.0
        return score(*given)

    monkeypatch.setattr(recording, "scores", slow)
    cost = fit(dataclasses.replace(RECIPE, epochs=1), splits, device="cpu").cost
    assert (cost.train_seconds, cost.total_seconds) == (0.0, 300.0)


def test_what_follows_the_runs_grows_with_the_page_and_counts_the_start_of_workers():
    few = afterwards_seconds(networks=1, runs=1, workers=1)
    assert 1 < few < afterwards_seconds(networks=12, runs=60, workers=1) < 20
    assert afterwards_seconds(networks=1, runs=1, workers=2) > few
