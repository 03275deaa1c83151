"""Pages whose figures are measured: their tables are those of the records, and every measurement can be made."""

import importlib
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from convarium.records import Preprocessing

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
measured_page = importlib.import_module("measured_page")
PAGES = [importlib.import_module(name).PAGE for name in ("method", "own_images", "play", "scale")]


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request):
    return request.param


def test_the_tables_are_those_of_the_records(page):
    text = page.page.read_text("utf-8")
    assert measured_page.with_tables(page, text, measured_page.read_figures(page)) == text


def test_every_table_has_been_measured_and_every_measurement_can_be_made(page):
    shown = re.findall(r"<!-- figures: ([\w-]+) -->", page.page.read_text("utf-8"))
    assert len(set(shown)) == len(shown)
    assert set(shown) == set(page.measurements) == set(measured_page.read_figures(page))
    for place in page.measurements.values():
        module, _, function = place.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_a_table_replaces_what_stands_between_its_markers(page):
    text = f"above\n{measured_page.begin('a')}\nold\n{measured_page.END}\nbelow\n"
    row = {"images": 20_000, "seconds": 0.51234, "network": "lenet", "accuracy": None}
    written = measured_page.with_tables(page, text, {"a": {"rows": [row], "where": "a machine"}})
    assert "old" not in written
    assert "| 20,000 | 0.512 | lenet | – |" in written
    assert written.startswith("above\n")
    assert written.endswith(f"`python benchmarks/{page.name}.py a`: a machine.\n\n{measured_page.END}\nbelow\n")
    with pytest.raises(SystemExit, match="no line"):
        measured_page.with_tables(page, written, {"b": {"rows": [row], "where": ""}})


def test_answers_of_the_play_page_are_kept_while_only_the_page_around_them_changes(tmp_path, monkeypatch):
    answers = importlib.import_module("play_answers")
    scripts = tmp_path / "page"
    scripts.mkdir()
    for name in ("interpreter.js", "preprocess.js", "play.js", "play.css"):
        (scripts / name).write_text("before")
    monkeypatch.setattr(answers.resources, "files", lambda _: tmp_path)
    trained = SimpleNamespace(
        preprocessing=Preprocessing(("0", "1"), 1, 28, 28, "stretch", (0, 0, 0), None, None, (0.5,), (0.25,))
    )
    key = answers._key("a network", trained)
    (scripts / "play.js").write_text("after")
    (scripts / "play.css").write_text("after")
    assert answers._key("a network", trained) == key
    assert answers._key("another network", trained) != key
    (scripts / "interpreter.js").write_text("after")
    assert answers._key("a network", trained) != key
