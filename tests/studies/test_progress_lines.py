"""A log gets a line an epoch, never two within ten seconds, and the end of every run."""

import dataclasses
import itertools

import pytest

from convarium.recipes.recipe import Recipe
from convarium.studies.events import Expected, StudyEvent
from convarium.studies.progress_lines import ProgressLines
from convarium.studies.time_left import TimeLeft
from convarium.training import TrainingEvent
from made_runs import epoch, run

EPOCHS, STEPS = 3, 10


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def trained(number, recipe, clock, *, seconds, total=1, validation=0.31):
    """The events of a run that takes so many seconds an epoch, as the clock goes on."""
    yield StudyEvent(number, total, recipe, begins=(recipe,))
    history = ()
    for index in range(recipe.epochs):
        for step in range(STEPS):
            clock.now += seconds / STEPS
            yield StudyEvent(number, total, recipe, training=TrainingEvent(index, recipe.epochs, step + 1, STEPS))
        history += (dataclasses.replace(epoch(index + 1, validation=validation), train_loss=1.923),)
        done = TrainingEvent(index + 1, recipe.epochs, 0, STEPS, history=history)
        yield StudyEvent(number, total, recipe, training=done)
    yield StudyEvent(number, total, recipe, finished=run(recipe, 0.79, history=history))


def lines_of(events, clock, **settings):
    lines = []
    progress = ProgressLines(lambda line: lines.append((clock.now, line)), clock=clock, **settings)
    for event in events:
        progress.on_event(event)
    return lines


@pytest.mark.parametrize("seconds", [0.1, 1.0, 4.0, 9.0, 20.0])
def test_a_line_an_epoch_but_not_two_within_ten_seconds_and_always_the_last(seconds):
    clock, recipe = Clock(), Recipe(model="resnet", epochs=8)
    lines = lines_of(trained(1, recipe, clock, seconds=seconds), clock)
    *before, (_, last) = lines
    assert last == "resnet seed 0  epoch 8/8  loss 1.92  validation 31.0 %  test 79.0 %"
    times = [time for time, _ in before]
    assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(times))
    assert len(before) == {0.1: 1, 1.0: 1, 4.0: 3, 9.0: 4, 20.0: 7}[seconds]
    left = (recipe.epochs - 1) * seconds
    if left < 90:
        assert before[0][1] == (
            f"resnet seed 0  epoch 1/8  loss 1.92  validation 31.0 %  about {max(left, 1):.0f} s left"
        )


def test_a_run_at_chance_says_so():
    recipe = Recipe()
    assert lines_of([StudyEvent(1, 1, recipe, finished=run(recipe, 0.5))], Clock()) == [
        (0.0, "lenet seed 0  test 50.0 %  at chance")
    ]


def test_an_epoch_that_takes_minutes_is_told_step_by_step():
    clock, recipe = Clock(), Recipe(epochs=1)
    lines = lines_of(trained(1, recipe, clock, seconds=300.0), clock)
    assert [line for _, line in lines[:2]] == [
        "lenet seed 0  epoch 1/1  step 2/10  about 4 min left",
        "lenet seed 0  epoch 1/1  step 4/10  about 3 min left",
    ]
    assert all(later[0] - earlier[0] >= 60 for earlier, later in itertools.pairwise(lines[:-1]))


def test_the_runs_of_a_study_are_counted_and_those_that_the_store_has_need_no_line():
    clock, recipes = Clock(), [Recipe(seed=seed, epochs=1) for seed in range(3)]
    stored = StudyEvent(1, 3, recipes[0], finished=run(recipes[0]), trained_now=False)
    events = [stored, *trained(2, recipes[1], clock, seconds=30.0, total=3)]
    events += trained(3, recipes[2], clock, seconds=30.0, total=3)
    ends = [line for _, line in lines_of(events, Clock()) if "run" in line]
    assert [end.partition("%  run ")[2].partition(" ")[0] for end in ends] == ["2/3", "3/3"]


def test_a_run_that_fails_says_so_and_one_without_test_images_tells_its_validation():
    clock, recipe = Clock(), Recipe(epochs=2)
    failed = StudyEvent(1, 2, recipe, finished=run(recipe, status="failed"))
    assert [line for _, line in lines_of([failed], clock)] == ["lenet seed 0  failed  run 1/2"]
    history = (epoch(1, validation=0.7), epoch(2, validation=0.8))
    ended = StudyEvent(2, 2, recipe, finished=run(recipe, 0.9, validation=0.75, history=history))
    (line,) = [line for _, line in lines_of([ended], clock, split="validation")]
    assert "test" not in line
    assert line.endswith("validation 75.0 %  run 2/2")


def test_reading_is_told_every_ten_seconds():
    clock, lines = Clock(), []
    progress = ProgressLines(lines.append, clock=clock)
    for done in range(1, 101):
        clock.now += 0.25
        progress.on_event(StudyEvent(0, 1, Recipe(), reading=("images", 100 * done, 10_000)))
    assert lines == ["reading images  100/10,000", "reading images  4,100/10,000", "reading images  8,100/10,000"]


def test_a_plan_of_networks_that_differ_in_cost_gives_the_time_that_is_left():
    """A cheap network first does not promise an early end."""
    clock = Clock()
    cheap, dear = Recipe(model="lenet", epochs=EPOCHS), Recipe(model="resnet", epochs=EPOCHS)
    left = TimeLeft(clock)
    left.on_event(StudyEvent(0, 2, cheap, message="the plan", expected=Expected({cheap: 6.0, dear: 60.0}, 4.0)))
    assert left.seconds() is None  # nothing has begun
    for event in trained(1, cheap, clock, seconds=2.0, total=2):
        left.on_event(event)
        assert left.seconds() == pytest.approx(70 - clock.now)
    for event in trained(2, dear, clock, seconds=40.0, total=2):  # twice as slow as it was thought
        left.on_event(event)
        if clock.now == pytest.approx(6 + 60):
            assert 50 < left.seconds() < 64
    assert left.seconds() == pytest.approx(4.0)


def test_workers_share_the_time_that_is_left():
    clock = Clock()
    recipes = [Recipe(seed=seed, epochs=EPOCHS) for seed in range(4)]
    left = TimeLeft(clock)
    left.on_event(StudyEvent(0, 4, recipes[0], expected=Expected(dict.fromkeys(recipes, 30.0), workers=2)))
    finished = 0
    for pair in (recipes[:2], recipes[2:]):
        started = clock.now
        together = (trained(1, recipe, Clock(), seconds=10.0, total=4) for recipe in pair)
        for events in zip(*together, strict=True):
            for event in events:
                if event.training:
                    clock.now = started + 10.0 * (event.training.epoch + event.training.step / STEPS)
                finished += event.finished is not None
                left.on_event(dataclasses.replace(event, number=finished + (event.finished is None)))
            assert left.seconds() == pytest.approx(60 - clock.now, abs=3)
    assert left.seconds() == pytest.approx(0)


def test_what_was_trained_before_an_interruption_does_not_count_as_speed():
    clock, recipe = Clock(), Recipe(epochs=100)
    left = TimeLeft(clock)
    left.on_event(StudyEvent(1, 1, recipe, begins=(recipe,)))
    history = tuple(epoch(number) for number in range(1, 91))
    left.on_event(StudyEvent(1, 1, recipe, training=TrainingEvent(90, 100, 0, STEPS, history=history)))
    assert left.seconds() is None
    clock.now = 2.0
    left.on_event(StudyEvent(1, 1, recipe, training=TrainingEvent(91, 100, 0, STEPS, history=(*history, epoch(91)))))
    assert left.seconds() == pytest.approx(9 * 2.0)


def test_the_next_study_begins_anew():
    clock = Clock()
    left = TimeLeft(clock)
    for event in trained(1, Recipe(epochs=1), clock, seconds=1000.0):
        left.on_event(event)
    for event in trained(1, Recipe(epochs=2), clock, seconds=1.0):
        left.on_event(event)
        if event.training and event.training.epoch == 1:
            assert left.seconds() <= 1.01
            break
