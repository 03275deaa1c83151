"""What the terminal shows fits 80 columns, and no number is cut."""

import io
import logging
import os
import re
import time

import pytest
from rich.cells import cell_len
from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from convarium.cli import main, progress, terminal
from convarium.recipes.recipe import Recipe
from convarium.records import Epoch
from convarium.studies.events import StudyEvent
from convarium.training import TrainingEvent
from made_runs import run
from terminals import in_terminal, needs_terminal, shown_lines

LONG = Recipe(model="resnet(depth=56, shortcut='A', activation='leaky_relu')", dataset="cifar10", epochs=200, seed=12)
WIDE = Recipe(model="网络:网" + "络" * 40, dataset="cifar10", epochs=200, seed=3)
WIDTHS = (80, 60, 40)
ROW = Epoch(123, 48_093, 0.1, 0.0123, 0.9, 0.02, 0.9876, None, None, 10.0)


@pytest.fixture
def screen(monkeypatch):
    """A terminal of 80 columns; calling it gives the lines as they stood at some time, with their widths."""
    shown = io.StringIO()
    monkeypatch.setattr(progress, "can_redraw", lambda _: True)
    for module in (terminal, progress):
        monkeypatch.setattr(
            module, "console_on", lambda _: Console(file=shown, width=80, force_terminal=True, highlight=False)
        )

    def lines():
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())
        return [line for line in re.split(r"[\r\n]", text) if line.strip()]

    return lines


def test_progress_bars_fit_80_columns_and_cut_no_number(screen):
    with progress.study_progress() as on_event:
        on_event(StudyEvent(1, 1_200, LONG, begins=(LONG,)))
        on_event(StudyEvent(17, 1_200, LONG, training=TrainingEvent(122, 200, 391, 391, history=(ROW,))))
    last = screen()[-2:]
    assert max(map(cell_len, screen())) <= 80
    assert "16/1200" in last[0]
    assert "48093/78200" in last[1]
    assert "resnet(depth=56" in last[1]
    assert "loss 0.012, val 98.8 %" in last[1]


def show_bars():
    with progress.study_progress() as on_event:
        for recipe in (LONG, WIDE):
            on_event(StudyEvent(17, 1_200, recipe, begins=(recipe,)))
            for step in (0, 391):
                time.sleep(0.05)
                on_event(StudyEvent(17, 1_200, recipe, training=TrainingEvent(122, 200, step, 391, history=(ROW,))))
        time.sleep(0.3)  # until it is drawn
    with progress.download_progress() as on_download:
        on_download("cifar-10-python-with-a-name-that-is-much-too-long-for-the-window.tar.gz", 12_300_000, 170_498_071)
        time.sleep(0.3)


@needs_terminal
@pytest.mark.parametrize("columns", WIDTHS)
def test_bars_fit_a_terminal_and_cut_neither_count_nor_time_nor_seed(columns):
    code, written = in_terminal(show_bars, columns=columns)
    lines, last = shown_lines(written), {}
    assert code == 0, written
    assert max(map(cell_len, lines)) <= columns
    for line in lines:
        if "/" in line:
            last[line.split()[0][:4]] = line
    assert re.search(r"^runs .* 17/1200 +\d+:\d\d:\d\d", last["runs"]), lines
    assert re.search(r"^resnet\S.*… ?seed 12 .*48093/78200 +\d+:\d\d:\d\d", last["resn"]), lines
    assert re.search(r"^网络.*… ?seed 3 .*48093/78200 +\d+:\d\d:\d\d", last["网络:网"]), lines
    assert re.search(r"^cifar.*….*tar.gz .*12.3/170.5 MB", last["cifa"]), lines
    assert ("loss 0.012" in last["resn"]) == (columns > 40)


@needs_terminal
def test_a_terminal_that_cannot_move_its_cursor_gets_lines():
    code, written = in_terminal(show_bars, columns=80, term="dumb")
    assert code == 0, written
    assert "\x1b" not in written
    assert "━" not in written
    (line,) = [" ".join(part) for part in [written.split()]]  # it is folded
    assert line.startswith(
        "resnet(depth=56, shortcut='A', activation='leaky_relu') seed 12 epoch 122/200 loss 0.012 validation 98.8 %"
    )
    assert max(map(cell_len, written.splitlines())) <= 80


def test_lines_reach_a_pipe_at_once(monkeypatch):
    """Also where it asks for colors, as many services for continuous integration do."""
    behind = io.BytesIO()
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(behind, "utf-8"))
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress.study_progress("[reduced] ") as on_event:
        on_event(StudyEvent(17, 1_200, LONG, training=TrainingEvent(122, 200, 0, 391, history=(ROW,))))
        assert behind.getvalue().decode() == (
            "[reduced] resnet(depth=56, shortcut='A', activation='leaky_relu') seed 12  epoch 122/200  loss 0.012  "
            "validation 98.8 %\n"
        )


def test_a_download_and_the_reading_of_images_are_told_every_ten_seconds(monkeypatch, capsys):
    now = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with progress.download_progress() as on_download:
        for part in range(1, 4):
            on_download("train.gz", 10_000_000 * part, 50_000_000)
    with progress.image_progress() as on_images:
        for part in range(1, 4):
            on_images("photos", 1_000 * part, 50_000)
    assert capsys.readouterr().err == "train.gz  30.0 MB of 50.0 MB\nphotos  3,000 of 50,000\n"


@pytest.mark.parametrize("width", range(12))
def test_a_name_is_cut_in_its_middle(width):
    """It takes the columns that there are, if its characters are one column wide, and keeps both ends."""
    for encoding, mark in (("utf-8", "…"), ("ascii", "...")):
        text = progress.elided("abcdefghijkl seed 3", width, tail=4, encoding=encoding)
        assert len(text) == width
        if width > len(mark) + 2:
            head, tail = text.split(mark)
            assert "abcdefghijkl".startswith(head)
            assert "abcdefghijkl seed 3".endswith(tail)
            assert len(tail) == min(4, (width - len(mark)) // 2)
        assert cell_len(progress.elided("网" * 20, width, tail=4, encoding="utf-8")) <= width


def test_until_a_run_begins_or_comes_from_the_store_the_study_is_prepared(screen):
    recipe = Recipe(epochs=4)
    events = {
        "begins": StudyEvent(1, 2, recipe, begins=(recipe,)),
        "trains": StudyEvent(1, 2, recipe, training=TrainingEvent(3, 4, 0, 10)),
        "is stored": StudyEvent(1, 2, recipe, finished=run(recipe), trained_now=False),
    }
    for event in events.values():
        with progress.study_progress() as on_event:
            on_event(StudyEvent(0, 2, recipe, message=PLAN))
            time.sleep(0.15)  # until it is drawn
            before = len(screen())
            assert screen()[-1].startswith("preparing")
            on_event(event)
        after = screen()[before:]
        assert any(line.startswith("runs") for line in after)
        assert not after[-1].startswith("preparing")


def test_every_run_in_training_has_a_bar_until_it_ends(screen):
    recipes = [Recipe(seed=seed, epochs=4) for seed in (3, 4, 5)]
    with progress.study_progress() as on_event:
        for recipe in recipes[:2]:
            on_event(StudyEvent(1, 5, recipe, begins=(recipe,)))
            on_event(StudyEvent(1, 5, recipe, training=TrainingEvent(3, 4, 0, 10)))
        time.sleep(0.3)  # until it is drawn
        assert [line.split()[:3] for line in screen()[-2:]] == [["lenet", "seed", "3"], ["lenet", "seed", "4"]]
        assert all("30/40" in line for line in screen()[-2:])
        assert "1/5" in screen()[-3]  # three quarters of two runs
        on_event(StudyEvent(1, 5, recipes[0], finished=run(recipes[0], status="failed")))
        on_event(StudyEvent(2, 5, recipes[2], begins=(recipes[2],)))
        on_event(StudyEvent(2, 5, recipes[2], training=TrainingEvent(0, 4, 1, 10)))
        time.sleep(0.3)
        shown = screen()[-3:]
    assert "1/5" in shown[0]
    assert "1 failed" in shown[0]
    assert ["seed 4" in shown[1], "seed 5" in shown[2]] == [True, True]


def test_download_bars_fit_80_columns_and_cut_no_number(screen):
    with progress.download_progress() as on_event:
        on_event("cifar-10-python-with-a-name-that-is-much-too-long-for-the-window.tar.gz", 12_300_000, 170_498_071)
    assert max(map(cell_len, screen())) <= 80
    assert "12.3/170.5 MB" in screen()[-1]


PLAN = "the plan: " + "3 networks with 5 seeds each, " * 6 + "about 12 min"


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_long_note_is_folded_between_words_at_the_width_of_the_terminal(monkeypatch, columns):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(stream, "fileno", lambda: 2)
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr("os.get_terminal_size", lambda _: os.terminal_size((columns, 24)))
    terminal.note(PLAN)
    lines = stream.getvalue().splitlines()
    assert columns - 12 < max(map(len, lines)) <= columns
    assert " ".join(lines) == PLAN


def test_a_long_note_stays_one_line_in_a_pipe(capsys):
    terminal.note(PLAN)
    terminal.say_line(PLAN)
    assert capsys.readouterr() == (f"{PLAN}\n", f"{PLAN}\n")


@needs_terminal
@pytest.mark.parametrize("say", [terminal.say_line, terminal.say_wrapped, terminal.note])
def test_a_number_stays_beside_its_sign_for_per_cent(say):
    code, written = in_terminal(lambda: say("the validation accuracy of this is 98.2 % of 360 images"), columns=40)
    assert code == 0, written
    assert "98.2 %" in written


@needs_terminal
def test_a_sentence_is_folded_between_words_on_a_narrow_terminal():
    code, written = in_terminal(lambda: terminal.say_line(PLAN), columns=40)
    assert code == 0, written
    assert max(map(cell_len, written.splitlines())) <= 40
    assert " ".join(written.split()) == PLAN


def test_the_plan_of_a_study_is_folded_on_a_terminal_and_stays_one_line_in_a_pipe(screen, capsys, monkeypatch):
    event = StudyEvent(0, 15, LONG, message=PLAN)
    with progress.study_progress() as on_event:
        on_event(event)
    folded = [line for line in screen() if not line.startswith("preparing")]
    assert max(map(cell_len, folded)) <= 80
    assert PLAN in " ".join(line.strip() for line in folded)
    monkeypatch.undo()
    with progress.study_progress() as on_event:
        on_event(event)
    assert capsys.readouterr().err == f"{PLAN}\n"


@pytest.mark.parametrize(
    "words",
    [["list", kind] for kind in ("models", "presets", "datasets", "activations", "recipes", "experiments")]
    + [["data", "list"], ["describe", "googlenet@uva"], ["describe", "--diff", "lenet", "lenet(pool='avg')"]],
    ids=" ".join,
)
def test_what_is_printed_fits_80_columns(words, capsys):
    assert main(words) == 0
    assert max(map(cell_len, capsys.readouterr().out.splitlines())) <= 80


def test_what_the_library_logs_while_a_command_runs_is_a_note(capsys):
    log = logging.getLogger("convarium.kernels")
    with terminal.log_as_notes():
        log.info("compiling the kernels, for certain")
        log.debug("not for everybody")
    log.info("afterwards")
    assert capsys.readouterr() == ("", "compiling the kernels, for certain\n")


def test_images_that_are_decoded_have_a_bar(screen):
    with progress.study_progress() as on_event:
        on_event(StudyEvent(0, 5, LONG, reading=("images", 640, 20_000)))
    assert "reading images" in screen()[-1]
    assert "640/20000" in screen()[-1]


ORDERS = "\x1b]0;owned\x07\x1b[2J\r\x9b2J\u202e"


def test_names_give_no_orders_to_a_terminal(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(progress, "can_redraw", lambda _: True)
    for module in (terminal, progress):
        monkeypatch.setattr(
            module, "console_on", lambda _: Console(file=shown, width=80, force_terminal=True, highlight=False)
        )
    monkeypatch.setattr("sys.stdout", shown)
    monkeypatch.setattr("sys.stderr", shown)
    recipe = Recipe(dataset=f"folder:{ORDERS}")
    with progress.study_progress() as on_event:
        on_event(StudyEvent(1, 2, recipe, begins=(recipe,), message=ORDERS, notice=ORDERS))
        on_event(StudyEvent(1, 2, recipe, training=TrainingEvent(1, 2, 3, 4)))
    with progress.download_progress() as on_download:
        on_download(ORDERS, 1, 2)
    terminal.say(terminal.table([ORDERS], [[ORDERS]]))
    terminal.say(Group(Text(ORDERS), terminal.table(["a"], [[ORDERS]])))
    terminal.say(Panel(ORDERS))
    terminal.say(ORDERS)
    terminal.say_wrapped(ORDERS)
    terminal.note(ORDERS)
    terminal.say_json({"name": ORDERS})
    text = re.sub(r"\x1b\[[0-9;?]*[A-KMhlm]", "", shown.getvalue())  # rich's colors and movements, none of which clears
    assert text.count("owned") >= 9
    assert not re.search("[\x07\x9b\u202e]|\x1b[]]|\x1b\\[2J", shown.getvalue())


def test_a_notice_stays_one_line_whatever_it_names(capsys):
    with progress.study_progress() as on_event:
        on_event(StudyEvent(0, 1, LONG, message="a\nlenet seed 0  epoch 1/1  forged"))
    assert capsys.readouterr().err == "a\\nlenet seed 0  epoch 1/1  forged\n"
