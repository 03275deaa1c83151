"""Pages whose figures are measured: their tables are those of the records, and every measurement can be made."""

import importlib
import re
import sys
from pathlib import Path

import pytest

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
