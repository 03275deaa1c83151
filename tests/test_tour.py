"""The notebook of the documents runs from its first cell to its last, in a kernel of its own, as a reader runs it."""

import re

import nbformat
import pytest

from tour import TOUR, executed


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    return executed(tmp_path_factory.mktemp("tour"))


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell):
    return [(output.output_type, output.get("name"), sorted(output.get("data", ()))) for output in cell.outputs]


def test_every_cell_shows_what_is_stored_of_it_and_nothing_on_standard_error(ran):
    stored = nbformat.read(TOUR, as_version=4)
    nbformat.validate(stored)
    for cell, before in zip(code_cells(ran[0]), code_cells(stored), strict=True):
        assert kinds(cell) == kinds(before), cell.source
        assert ("stream", "stderr", []) not in kinds(cell)


def test_training_is_shown_while_it_goes_on_by_one_display_that_is_replaced(ran):
    notebook, messages = ran
    (cell,) = (cell for cell in code_cells(notebook) if "work.compare" in cell.source)
    progress, result = cell.outputs
    assert "9 of 9 runs finished" in progress["data"]["text/html"]
    assert "<table" in result["data"]["text/html"]
    assert messages.count("display_data") == 1
    assert 2 <= messages.count("update_display_data") < 500


def test_what_is_stored_is_small_and_tells_nothing_of_the_machine():
    text = TOUR.read_text("utf-8")
    assert len(text) < 250_000
    assert not re.search(r"iopub|/tmp|/home|/root|/work", text)


def test_its_links_lead_to_files():
    for target in re.findall(r"\]\(([\w.-]+)\)", TOUR.read_text("utf-8")):
        assert (TOUR.parent / target).is_file(), target
