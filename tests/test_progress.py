"""How training is shown by itself in a notebook, and elsewhere where it is asked for."""

import sys
from types import SimpleNamespace

import pytest

import convarium
from convarium import Recipe
from convarium.notebook import UpdatedDisplay, counting_display, sentence_display
from convarium.records import Epoch
from convarium.studies.events import StudyEvent
from convarium.studies.notebook_progress import NotebookProgress
from convarium.training import TrainingEvent
from convarium.workspace.progress import with_progress

RECIPE = Recipe(epochs=2)
ROW = Epoch(1, 10, 0.1, 1.92, 0.3, 1.9, 0.31, None, None, 1.0)


class Shown:
    """A display that keeps what it is given; it is due again after `every` questions."""

    def __init__(self, every=1):
        self.all, self.every, self.asked = [], every, 0

    def is_due(self):
        self.asked += 1
        return self.asked % self.every == 0

    def show(self, lines, share=None):
        self.all.append((list(lines), share))


@pytest.fixture
def notebook(monkeypatch):
    """A kernel as IPython has it, with all that is displayed in it."""
    shown = []

    def display(bundle, **_):
        shown.append(bundle)
        return SimpleNamespace(update=lambda bundle, **_: shown.append(bundle))

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return shown


def during(step, epoch=0, **more):
    return StudyEvent(2, 5, RECIPE, training=TrainingEvent(epoch, 2, step, 10, **more))


def test_the_bar_tells_run_epoch_scores_and_what_happened():
    shown = Shown()
    progress = NotebookProgress(shown)
    progress.on_event(StudyEvent(0, 5, RECIPE, message="5 runs"))
    progress.on_event(during(5))
    progress.on_event(during(0, epoch=1, history=(ROW,)))
    progress.on_event(during(5, epoch=1))
    (first, _), _, (middle, share), (_, later), (last, _) = shown.all
    assert first == ["preparing …"]
    assert middle[0] == "5 runs"
    assert middle[1].startswith("run 2/5  lenet seed 0  epoch 1/2")
    assert share == pytest.approx((1 + 5 / 20) / 5)
    assert later == pytest.approx((1 + 10 / 20) / 5)
    assert "epoch 2/2  loss 1.92  validation 31.0 %" in last[1]


def test_scores_of_an_epoch_that_was_not_shown_are_shown_later():
    shown = Shown(every=2)
    progress = NotebookProgress(shown)
    progress.on_event(during(0, epoch=1, history=(ROW,)))
    assert len(shown.all) == 1  # not yet
    for step in (1, 2, 3):
        progress.on_event(during(step, epoch=1))
    assert "epoch 2/2  loss 1.92" in shown.all[-1][0][-1]


def test_the_bar_counts_all_runs_in_training():
    shown = Shown()
    progress = NotebookProgress(shown)
    for seed in (0, 1):
        recipe = Recipe(epochs=2, seed=seed)
        progress.on_event(StudyEvent(3, 4, recipe, training=TrainingEvent(1, 2, 0, 10)))
    assert shown.all[-1][1] == pytest.approx((2 + 0.5 + 0.5) / 4)


def test_thousands_of_steps_do_not_flood_and_the_last_is_never_missed():
    shown = Shown(every=500)
    progress = NotebookProgress(shown)
    for step in range(2000):
        progress.on_event(StudyEvent(1, 1, RECIPE, training=TrainingEvent(0, 1, step, 2000)))
    progress.on_event(StudyEvent(1, 1, RECIPE, training=TrainingEvent(1, 1, 0, 2000, history=(ROW,))))
    assert len(shown.all) <= 6
    assert shown.all[-1][1] == 1
    assert "left" not in shown.all[-1][0][-1]


def test_a_display_is_replaced_and_due_only_after_its_time(notebook):
    display = UpdatedDisplay(seconds=1000)
    assert display.is_due()
    display.show(["<b>\x1b[31m"], 0.5)
    assert not display.is_due()
    assert "&lt;b&gt;" in notebook[0]["text/html"]
    assert "\x1b" not in notebook[0]["text/html"] + notebook[0]["text/plain"]


def test_progress_is_shown_by_itself_in_a_notebook_alone(notebook, monkeypatch):
    heard = []
    assert with_progress(None, None) is not None
    assert with_progress(heard.append, None) == heard.append
    assert with_progress(None, False) is None
    event = StudyEvent(0, 1, RECIPE, message="hello")
    with_progress(heard.append, True)(event)
    assert heard == [event]
    assert "hello" in notebook[-1]["text/plain"]
    counting_display()("cifar-10.tar.gz", 10, 10)
    assert notebook[-1]["text/plain"] == "cifar-10.tar.gz  100 %"
    say = sentence_display()
    for number in range(20):
        say(f"{number}.")
    assert notebook[-1]["text/plain"].split("\n") == [f"{number}." for number in range(14, 20)]
    monkeypatch.delitem(sys.modules, "IPython")
    assert with_progress(None, None) is None
    assert counting_display() is None
    assert sentence_display() is None


def test_a_script_shows_lines_where_it_asks_for_them(capsys):
    data = convarium.load_data("digits")
    convarium.fit(Recipe(epochs=1, batch_size=512), data)
    assert capsys.readouterr() == ("", "")
    convarium.fit(Recipe(epochs=1, batch_size=512), data, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "lenet seed 0  epoch 1/1  loss" in err


def test_fit_tells_its_own_listener_too(notebook):
    events = []
    outcome = convarium.fit(
        Recipe(epochs=1, batch_size=512), convarium.load_data("digits"), on_event=events.append, progress=True
    )
    assert outcome.status == "finished"
    assert events[-1].history
    assert notebook[-1]["text/plain"] == f"lenet seed 0  {outcome.sentence}"
