"""A recommendation ends within its time and a little more, however wrong the expected times were."""

import dataclasses
import heapq
import random
from collections import deque
from types import SimpleNamespace

import pytest
import torch

import made_runs
from convarium.analysis.recommendation import Recommendation
from convarium.errors import RunError, TimeLimitError
from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store
from convarium.studies import recommending, rungs
from convarium.studies.events import StudyEvent
from convarium.studies.plan import PlannedRun
from convarium.studies.recommending import recommend_network
from convarium.studies.resources import Resources
from convarium.studies.time_budget import GRACE, TimeBudget, run_time
from made_images import drawn, splits_of

NETWORKS = [f"resnet(depth={6 * n + 2})" for n in range(1, 12)]


class FakeClock:
    """A clock that only training moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def search(tmp_path, monkeypatch):
    """Calls `recommend_network` where nothing is trained, and every epoch takes the time that is given.

    Each of the workers takes the next run as soon as it is free, and a step is a twentieth of an epoch.
    """
    images = drawn(256)
    splits = dataclasses.replace(splits_of(images), validation=images)
    stored = {}
    clock = FakeClock()

    def call(budget, expected, true, *, workers=1, **options):
        def run_prepared(prepared, resources, *, on_event):
            waiting, training, enough = deque(planned.recipe for planned in prepared.runs), [], True
            while waiting or training:
                while waiting and len(training) < workers:
                    recipe = waiting.popleft()
                    if recipe in stored:
                        on_event(StudyEvent(1, 1, recipe, finished=stored[recipe], trained_now=False))
                    elif resources.may_begin([recipe]):
                        on_event(StudyEvent(1, 1, recipe, begins=(recipe,)))
                        end = clock.now + true[recipe.model] * recipe.epochs
                        heapq.heappush(training, (end, recipe.model, recipe.seed, recipe))
                    else:
                        waiting.clear()
                        enough = False
                if training:
                    end, *_, recipe = heapq.heappop(training)
                    if end > resources.deadline:
                        steps = [true[each.model] / 20 for *_, each in [(recipe,), *training]]
                        clock.now = max(clock.now, resources.deadline) + max(steps)
                        raise TimeLimitError("the time is over")
                    clock.now = max(clock.now, end) + 0.3
                    history = [made_runs.epoch(number + 1) for number in range(recipe.epochs)]
                    seconds = true[recipe.model] * recipe.epochs
                    stored[recipe] = made_runs.run(recipe, 0.9, history=history, seconds=seconds)
                    on_event(StudyEvent(1, 1, recipe, finished=stored[recipe], trained_now=True))
            if not enough:
                raise TimeLimitError("the time is over")

        def prepare(study, resources):
            return SimpleNamespace(runs=[look_up(recipe, splits, None) for recipe in study.recipes])

        def look_up(recipe, splits, store):
            return PlannedRun(recipe, str(recipe), splits, stored=stored.get(recipe))

        def time_of(recipe, *arguments, **settings):
            seconds = expected[recipe.model]
            return None if seconds is None else run_time(seconds)

        monkeypatch.setattr(Resources, "splits", lambda *arguments, **settings: splits)
        for name, fake in {
            "run_prepared": run_prepared,
            "prepare_study": prepare,
            "planned_run": look_up,
            "measure_time": time_of,
        }.items():
            monkeypatch.setattr(rungs, name, fake)
        monkeypatch.setattr(recommending, "check_recipe", lambda recipe, splits: None)
        monkeypatch.setattr(recommending, "scoring_speeds", lambda runs, device: dict.fromkeys(runs, 1.0))
        bases = [Recipe(model=name, dataset="mnist", epochs=40, batch_size=8) for name in expected]
        executor = SimpleNamespace(workers=workers, threads=torch.get_num_threads())
        resources = Resources(Store(tmp_path), device="cpu", executor=executor)
        return recommend_network(bases, resources, time=TimeBudget(budget, clock), **options)

    call.clock = clock
    return call


@pytest.mark.parametrize("seed", range(12))
def test_it_ends_within_the_time_and_a_little_more(search, seed):
    draw = random.Random(seed)
    networks = draw.sample(NETWORKS, draw.randint(1, 11))
    expected = {name: draw.uniform(0.1, 20) for name in networks}
    true = {name: seconds * draw.uniform(0.3, 3) for name, seconds in expected.items()}
    budget, workers = draw.choice([20, 100, 600, 3600]), draw.choice([1, 1, 2, 4])
    try:
        found = search(budget, expected, true, workers=workers)
    except RunError:
        assert budget < 600  # a run of seven epochs takes at most 420 seconds
        found = None
    # The longest step is a twentieth of an epoch, after which the clock is looked at again.
    assert search.clock.now <= budget * (1 + GRACE) + max(true.values()) / 20 + 0.3 * workers
    if found is not None:
        assert isinstance(found, Recommendation)
        assert found.seconds == search.clock.now
        assert found.choices[0].roles[0] == "most accurate"


def test_with_right_expectations_most_of_the_time_is_used_and_every_rung_is_finished(search):
    times = {name: 1.0 + number for number, name in enumerate(NETWORKS[:8])}
    found = search(1000, times, times)
    assert [len(rung.validation) for rung in found.rungs] == [8, 4]
    assert 500 < found.seconds < 1000
    assert not any("in time" in text for text in found.notes)


def test_with_workers_the_networks_train_longer_in_the_same_time(search):
    times = {name: 1.0 + number for number, name in enumerate(NETWORKS[:8])}
    found = search(1000, times, times, workers=4)
    assert [len(rung.validation) for rung in found.rungs] == [8, 4]
    assert [rung.epochs for rung in found.rungs] == [20, 40]
    assert not any("in time" in text for text in found.notes)
    assert found.seconds < 1000


def test_with_much_time_the_finalists_get_several_seeds(search):
    times = dict.fromkeys(NETWORKS[:6], 0.1)
    found = search(3600, times, times, seeds=3)
    assert [rung.seeds for rung in found.rungs] == [1, 3]
    assert [rung.epochs for rung in found.rungs] == [20, 40]
    assert found.choices[0].seeds == 3


def test_networks_that_are_too_slow_are_left_out_and_named(search):
    times = {NETWORKS[0]: 0.5, NETWORKS[1]: 500.0}
    found = search(100, times, times)
    assert [choice.network for choice in found.choices] == [NETWORKS[0]]
    assert f"Left out, since the time does not suffice for them: {NETWORKS[1]}." in found.notes


def test_where_no_run_fits_nothing_is_trained(search):
    times = {NETWORKS[0]: 50.0}
    with pytest.raises(
        RunError, match=r"no run fits into 20 s: the shortest of 7 epochs takes about .*; give a longer"
    ):
        search(20, times, times)
    assert search.clock.now == 0


def test_a_run_that_takes_far_longer_than_expected_is_ended(search):
    with pytest.raises(RunError, match=r"no run ended within 60 s; the same command goes on"):
        search(60, {NETWORKS[0]: 0.1}, {NETWORKS[0]: 100.0})
    assert search.clock.now <= 60 * (1 + GRACE) + 5


def test_a_network_that_fails_in_training_is_left_out_and_named(search):
    found = search(100, {NETWORKS[0]: 0.1, NETWORKS[1]: None}, {NETWORKS[0]: 0.1})
    assert f"Left out, since it fails in training: {NETWORKS[1]}." in found.notes
