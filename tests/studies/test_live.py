"""A study's page while the study runs: what it says, how often it is written, and that it rests when the study does."""

import json
import os
import re
import shutil
import time
from dataclasses import replace
from itertools import pairwise

import pytest

from convarium.cli import main
from convarium.disk import write_text
from convarium.errors import ConvariumError, StoreError
from convarium.pages import write_report
from convarium.pages.curves import curve_points
from convarium.pages.page import render
from convarium.pages.study_status import RunInProgress, StudyStatus, status_sentence, stopped_status
from convarium.recipes.recipe import Recipe
from convarium.records import Epoch
from convarium.runs.store import Store
from convarium.studies import live
from convarium.studies.compare import compare_finished
from convarium.studies.events import StudyEvent
from convarium.studies.extension import extended_record
from convarium.studies.live import live_report
from convarium.studies.resources import Resources
from convarium.studies.run import run_study
from convarium.studies.study import Study, grid
from convarium.training import TrainingEvent
from html_page import Reader, data_of
from made_studies import made_run, made_study, save_study

EPOCHS = 2
RECIPES = grid(Recipe(epochs=EPOCHS, batch_size=500, validation=40), seed=[0, 1], model=["memory_mlp", "residual_mlp"])
STUDY = Study(name="small", question="Which one?", recipes=RECIPES)


def epoch(number: int) -> Epoch:
    return Epoch(number, 10 * number, 0.1, 1 / number, 0.5, 1 / number, 0.5, None, None, 1.0)


def follows(text: str) -> bool:
    """Whether an open page looks for news, with a script or without."""
    return "location.reload()" in text or 'http-equiv="refresh"' in text


@pytest.fixture
def no_page_is_too_many(monkeypatch):
    monkeypatch.setattr(live, "SHARE", 1e9)
    monkeypatch.setattr(live, "PAUSE", 0.0)


@pytest.fixture
def written(monkeypatch):
    """Every text that a page had, in order; made quickly where nobody reads it."""
    texts = []

    def keep(comparison, path, *, status=None, **_):
        texts.append((comparison, status))
        return path

    monkeypatch.setattr(live, "write_report", keep)
    return texts


# ---- what the page says ----------------------------------------------------------------------------------------------


def test_the_standing_names_every_run_that_trains_and_counts_those_that_ended(tmp_path):
    study = made_study(tmp_path, {"lenet": 0.9}, seeds=3)
    under = tuple(RunInProgress(Recipe(model="residual_cnn", seed=s, epochs=20), (epoch(1),) * 4) for s in (0, 2))
    status = StudyStatus(3, 10, (*under, RunInProgress(Recipe(seed=3, epochs=20))), reload_seconds=5)
    assert status_sentence(status, study) == (
        "3 of 10 runs finished; residual_cnn, seeds 0 and 2: epoch 4 of 20; lenet, seed 3: starting."
    )
    assert stopped_status(study, 3) is None
    assert (
        status_sentence(stopped_status(study, 10), study)
        == "3 of 10 runs finished; the same command continues from here."
    )


def test_an_unfinished_page_says_so_far_and_a_finished_one_does_not(tmp_path):
    study = made_study(tmp_path, {"lenet": 0.9, "residual_cnn": 0.97}, seeds=3)
    unfinished = render(study, status=StudyStatus(6, 10, reload_seconds=7))
    words = Reader(unfinished).visible
    assert "6 of 10 runs finished." in words
    assert "Results so far" in words
    assert all(f"So far, {row.verdict}" in words for row in study.rows)
    assert follows(unfinished)
    assert ("meta", {"http-equiv": "refresh", "content": "7"}) in Reader(unfinished).tags
    finished = render(study)
    assert "so far" not in Reader(finished).visible.lower()
    assert not follows(finished)
    assert not follows(render(study, status=stopped_status(study, 10)))


def test_a_page_before_the_first_run_has_ended_has_its_question_and_the_curves_so_far(tmp_path):
    none = compare_finished(Store(tmp_path).study(saved(tmp_path)), [])
    text = render(none, status=StudyStatus(0, 4, (RunInProgress(RECIPES[0], (epoch(1), epoch(2))),), reload_seconds=5))
    assert "Which one?" in Reader(text).visible
    assert "Results" not in Reader(text).visible
    assert "memory_mlp, seed 0: epoch 2 of 2" in Reader(text).visible
    assert data_of(text)["tables"]["epoch"]["label"] == ["memory_mlp"] * 8
    assert render(none, status=StudyStatus(0, 4, reload_seconds=5))


def test_curves_of_a_training_run_are_its_history_and_leave_the_others_alone(tmp_path):
    study = made_study(tmp_path, {"lenet": 0.9}, seeds=2)
    before = curve_points(study)
    after = curve_points(study, "epoch", [RunInProgress(Recipe(seed=2), (epoch(1), epoch(2), epoch(3)))])
    new = after[after["run"] == "seed 2, training"]
    assert after[after["run"] == ""].equals(before)
    assert new[(new["split"] == "train") & (new["quantity"] == "loss")]["mean"].tolist() == [1, 1 / 2, 1 / 3]
    assert set(new["label"]) == {"lenet"}
    by_step = curve_points(study, "step", [RunInProgress(Recipe(seed=2), (epoch(1),))])
    assert by_step[by_step["run"] == ""].equals(curve_points(study, "step"))
    assert set(by_step.loc[by_step["run"] == "seed 2, training", "x"]) == {epoch(1).steps}


# ---- how it is written -----------------------------------------------------------------------------------------------


def test_a_page_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    study = made_study(tmp_path, {"lenet": 0.9}, seeds=1)
    path = write_report(study, tmp_path / "page" / "report.html")
    before = path.read_text("utf-8")
    with path.open(encoding="utf-8") as reader:
        write_report(study, path, status=StudyStatus(1, 2, reload_seconds=5))
        assert reader.read() == before  # the old file, to its end
    assert path.read_text("utf-8") != before
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]

    def full(*_):
        raise OSError("no space left on device")

    before = path.read_text("utf-8")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_text(path, "half a page")
    assert path.read_text("utf-8") == before
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def saved(root) -> str:
    """A study that the store knows, with no run yet."""
    save_study(Store(root), extended_record(STUDY, [recipe.key("0" * 64) for recipe in RECIPES], None))
    return STUDY.name


class Clock:
    """A time of one's own: pages take `cost` seconds."""

    def __init__(self, monkeypatch, cost: float):
        self.now, self.pages = 0.0, []
        monkeypatch.setattr(live.time, "monotonic", lambda: self.now)

        def write(comparison, path, *, status=None):
            self.pages.append(self.now)
            self.now += cost

        monkeypatch.setattr(live, "write_report", write)


def test_pages_wait_for_one_another_and_cost_a_small_share_of_the_time(tmp_path, monkeypatch):
    clock = Clock(monkeypatch, cost=1.0)
    with live_report(saved(tmp_path), Store(tmp_path)) as heard:
        at = StudyEvent(1, 4, RECIPES[0])
        heard(replace(at, begins=RECIPES[:1]))
        began = clock.now
        for n in range(2000):
            clock.now += 0.5
            heard(replace(at, training=TrainingEvent(n, 2000, 1, 10)))  # a step: never a page
            heard(replace(at, training=TrainingEvent(n, 2000, 0, 10, (epoch(1),))))
    pages = clock.pages[1:-1]  # the first begins the study, and the last ends it
    assert len(pages) > 10
    assert min(b - a for a, b in pairwise(pages)) >= live.PAUSE
    assert len(pages) - 1 <= live.SHARE * (pages[-1] - began)


def test_the_end_of_a_run_is_written_when_the_next_one_begins(tmp_path, monkeypatch):
    clock = Clock(monkeypatch, cost=0.01)
    done = made_run(tmp_path, RECIPES[0], 0.9)
    with live_report(saved(tmp_path), Store(tmp_path)) as heard:
        at = StudyEvent(1, 4, RECIPES[0])
        heard(replace(at, begins=RECIPES[:1]))
        clock.now += 100
        heard(replace(at, training=TrainingEvent(1, 2, 0, 10, (epoch(1),))))
        clock.now += 0.5
        heard(replace(at, training=TrainingEvent(2, 2, 0, 10, (epoch(1), epoch(2)))))
        assert len(clock.pages) == 2
        heard(replace(at, finished=done))
        assert len(clock.pages) == 2
        heard(StudyEvent(2, 4, RECIPES[1], begins=RECIPES[1:2]))
        assert len(clock.pages) == 3


@pytest.mark.usefixtures("no_page_is_too_many")
def test_a_study_is_followed_from_its_first_run_to_its_last(tmp_path, written):
    store, told_of = Store(tmp_path), []
    with live_report(STUDY.name, store, on_start=told_of.append) as progress:
        comparison = run_study(STUDY, Resources(store, device="cpu"), on_event=progress)
    assert told_of == [tmp_path / "studies" / "small" / "report.html"]
    statuses = [status for _, status in written]
    assert (statuses[0].finished, statuses[0].planned) == (0, 4)
    assert statuses[0].in_progress == (RunInProgress(RECIPES[0]),)
    assert [len(s.in_progress[0].history) for s in statuses[:3]] == [0, 1, 2]
    counted = [status.finished for status in statuses[:-1]]
    assert counted == sorted(counted)
    assert set(counted) == {0, 1, 2, 3}
    assert all(status.in_progress for status in statuses[:-1])
    assert statuses[-1] is None
    assert [row.label for row in written[-1][0].rows] == [row.label for row in comparison.rows]
    assert [row.measured for row in written[-1][0].rows] == [row.measured for row in comparison.rows]
    written.clear()
    with live_report(STUDY.name, store, on_start=told_of.append) as progress:
        run_study(STUDY, Resources(store, device="cpu"), on_event=progress)
    assert not written  # nothing is trained: nothing to follow
    assert len(told_of) == 1


@pytest.mark.usefixtures("no_page_is_too_many")
def test_all_runs_of_a_stack_are_under_way_at_once(tmp_path, written):
    store = Store(tmp_path)
    with live_report(STUDY.name, store) as progress:
        run_study(STUDY, Resources(store, device="cpu"), stack=True, on_event=progress)
    assert all({run.recipe.seed for run in status.in_progress} == {0, 1} for _, status in written[:-1])
    assert {len({run.recipe.model for run in status.in_progress}) for _, status in written[:-1]} == {1}


@pytest.mark.parametrize("stopped_by", [KeyboardInterrupt, ConvariumError("another process")])
def test_a_study_that_is_stopped_leaves_a_page_at_rest(tmp_path, monkeypatch, stopped_by):
    monkeypatch.setattr(live, "SHARE", 1e9)
    store = Store(tmp_path)
    path = tmp_path / "studies" / "small" / "report.html"

    def stop(progress):
        write(progress)
        if progress.number == 2 and progress.training:
            assert follows(path.read_text("utf-8"))
            raise stopped_by

    with (
        pytest.raises(stopped_by if isinstance(stopped_by, type) else ConvariumError),
        live_report(STUDY.name, store) as write,
    ):
        run_study(STUDY, Resources(store, device="cpu"), on_event=stop)
    text = path.read_text("utf-8")
    assert not follows(text)
    assert "1 of 4 runs finished; the same command continues from here." in Reader(text).visible
    assert "memory_mlp" in Reader(text).visible
    assert main(["report", "small", "--store", str(tmp_path)]) == 0
    assert Reader(path.read_text("utf-8")).visible == Reader(text).visible  # with the images, which are no text


def test_a_damaged_run_whose_turn_comes_later_stops_no_training(tmp_path):
    store = Store(tmp_path)
    run_study(STUDY, Resources(store, device="cpu"))
    first, last = (store.run(recipe.key()) for recipe in (RECIPES[0], RECIPES[-1]))
    shutil.rmtree(first.path)
    predictions = last.path / "predictions.npz"
    predictions.write_bytes(predictions.read_bytes()[:-1] + b"?")
    again = Store(tmp_path)
    with live_report(STUDY.name, again) as progress:
        comparison = run_study(STUDY, Resources(again, device="cpu"), on_event=progress)
    assert sum(len(row.runs) for row in comparison.rows) == len(RECIPES)


@pytest.mark.parametrize("error", [OSError("no space left on device"), StoreError("steps.npz is missing")])
def test_a_page_that_cannot_be_written_stops_no_training(error, tmp_path, monkeypatch):
    def full(*_, **__):
        raise error

    monkeypatch.setattr(live, "write_report", full)
    store = Store(tmp_path)
    with live_report(STUDY.name, store) as progress:
        comparison = run_study(STUDY, Resources(store, device="cpu"), only=["memory_mlp"], on_event=progress)
    assert [len(row.runs) for row in comparison.rows] == [2]


def test_compare_live_tells_its_page_once_and_ends_with_the_page_of_report(tmp_path, capsys):
    quick = ["--epochs", "1", "--batch-size", "500", "--device", "cpu", "--store", str(tmp_path), "--name", "small"]
    assert main(["compare", "memory_mlp", "residual_mlp", "--seeds", "2", "--live", "--json", *quick]) == 0
    shown = capsys.readouterr()
    path = json.loads(shown.out)["report"]
    assert re.findall(r"live report: (.*)\n", shown.err) == [path]
    text = (tmp_path / "studies" / "small" / "report.html").read_text("utf-8")
    assert not follows(text)
    assert main(["report", "small", "--store", str(tmp_path)]) == 0
    assert (tmp_path / "studies" / "small" / "report.html").read_text("utf-8") == text


def test_run_live_follows_a_study_of_ones_own(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        "from convarium import Recipe, Study, grid\n"
        "recipes = grid(Recipe(model='memory_mlp', epochs=1, batch_size=500), seed=range(2))\n"
        "study = Study(name='mine', question='Well?', recipes=recipes)\n"
    )
    assert main(["run", str(tmp_path / "mine.py"), "--live", "--device", "cpu", "--store", str(tmp_path)]) == 0
    assert capsys.readouterr().err.count("live report: ") == 1
    assert not follows((tmp_path / "studies" / "mine" / "report.html").read_text("utf-8"))


def test_the_clock_of_training_does_not_run_while_a_page_is_written(tmp_path, monkeypatch):
    def slow(*_, **__):
        time.sleep(1.5)

    monkeypatch.setattr(live, "write_report", slow)
    monkeypatch.setattr(live, "SHARE", 1e9)
    monkeypatch.setattr(live, "PAUSE", 0.0)
    one, store = replace(STUDY, recipes=RECIPES[:1]), Store(tmp_path)
    with live_report(STUDY.name, store) as progress:
        comparison = run_study(one, Resources(store, device="cpu"), on_event=progress)
    assert comparison.rows[0].runs[0].outcome.cost.train_seconds < 1.5
