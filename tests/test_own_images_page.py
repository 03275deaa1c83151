"""docs/own-images.md: its commands run as printed, in their order, and its tables are those of the records."""

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "own-images.md").read_text("utf-8")


@pytest.fixture(scope="module")
def benchmarks():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module("own_images")
    sys.path.remove(str(ROOT / "benchmarks"))


def test_the_tables_are_those_of_the_records(benchmarks):
    assert benchmarks.with_tables(PAGE, benchmarks.read_figures()) == PAGE


def test_every_table_has_been_measured_and_every_measurement_can_be_made(benchmarks):
    shown = re.findall(r"<!-- figures: (\w+) -->", PAGE)
    assert len(set(shown)) == len(shown)
    assert set(shown) == set(benchmarks.read_figures()) == set(benchmarks.MEASUREMENTS)
    for place in benchmarks.MEASUREMENTS.values():
        module, _, function = place.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_a_table_replaces_what_stands_between_its_markers(benchmarks):
    text = f"above\n{benchmarks.begin('a')}\nold\n{benchmarks.END}\nbelow\n"
    row = {"images": 20_000, "seconds": 0.51234, "network": "lenet", "accuracy": None}
    page = benchmarks.with_tables(text, {"a": {"rows": [row], "where": "a machine"}})
    assert "old" not in page
    assert "| 20,000 | 0.512 | lenet | – |" in page
    assert page.startswith("above\n")
    assert page.endswith(f"`python benchmarks/own_images.py a`: a machine.\n\n{benchmarks.END}\nbelow\n")
    with pytest.raises(SystemExit, match="no line"):
        benchmarks.with_tables(page, {"b": {"rows": [row], "where": ""}})
