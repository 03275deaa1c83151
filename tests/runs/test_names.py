"""Names that a store makes are accepted by Linux, macOS and Windows, whatever they are made from."""

import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convarium.errors import StoreError
from convarium.recipes.recipe import Recipe
from convarium.runs.names import check_path, file_name, is_file_name, same_file
from convarium.runs.store import Store


@given(st.text(st.characters(), max_size=300))
@example("con")
@example("NUL.tar.gz")
@example("com¹")
@example("...")
@example('a<b>:"c|d?*.')
@example("\udcff\x1b[0m")
@example("網" * 100)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_every_text_makes_a_name_that_every_system_accepts(text):
    name = file_name(text, longest=40)
    assert is_file_name(name)
    assert len(name.encode()) <= 40


@pytest.mark.parametrize("text", ["lenet", "resnet-depth-56", "fashion_mnist", "v1.0", "數字"])
def test_a_name_that_is_fine_stays_as_it_is(text):
    assert file_name(text) == text
    assert is_file_name(text)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "a:b", "con", "Aux.txt", "LPT9", "x.", "x ", "a\nb", "\udcff", "x" * 201]
)
def test_what_some_system_refuses_is_no_file_name(name):
    assert not is_file_name(name)


def test_names_that_differ_in_case_or_in_the_way_an_accent_is_written_are_one_file():
    assert same_file("Straße", "STRASSE")
    assert same_file("caf\u00e9", "cafe\u0301")
    assert not same_file("a", "b")


def test_the_folder_of_a_run_is_at_most_150_characters_below_its_store():
    model = "preact_resnet(activated_ends=True, activation='leaky_relu', bottleneck=True, depth=1001)"
    recipe = Recipe(model=model, dataset=f"folder:/photos/{'x' * 100}", seed=2**63 - 1)
    assert len(str(Store().folder(recipe, "0" * 64))) <= 150


def test_a_path_that_is_too_long_for_windows_is_refused_there(monkeypatch, tmp_path):
    folder = tmp_path / ("x" * 250)
    check_path(folder)  # here any length will do
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(StoreError, match=r"characters long, too long for its files on Windows.*shorter path"):
        check_path(folder)
    check_path(Path("C:/study"))
