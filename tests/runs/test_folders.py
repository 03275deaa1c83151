"""The folders of runs are found without a reading of all names for each of them, and no change of others is missed."""

import os

import pytest

from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store
from convarium.studies.plan import prepare_study
from convarium.studies.resources import Resources
from convarium.studies.study import Study, grid

BASE = Recipe(epochs=1)


@pytest.fixture
def readings(monkeypatch):
    """The folders whose names have been read."""
    read, listdir = [], os.listdir

    def listing(path="."):
        read.append(path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", listing)
    return read


def test_looking_up_the_runs_of_a_study_reads_the_names_once(tmp_path, readings):
    store = Store(tmp_path)
    recipes = grid(BASE, seed=range(40))
    store.begin(recipes[0], recipes[0].key())  # just now, when the time of last change tells nothing yet
    readings.clear()
    prepare_study(Study(name="many", question="?", recipes=recipes), Resources(store, device="cpu"))
    assert readings.count(tmp_path / "runs") == 1


def test_a_process_that_holds_a_runs_lock_reads_the_names_once(tmp_path, readings):
    store, key = Store(tmp_path), BASE.key()
    with store.lock([key]):
        place = store.begin(BASE, key)
        assert store.find(BASE, key) is None
        assert store.folder(BASE, key) == place
        aside = store.set_aside(place)
        assert store.folder(BASE, key) == place  # free again
        assert aside.name == f"{place.name}.damaged-1"
        again = store.begin(BASE, key)
    assert again == place
    assert readings.count(tmp_path / "runs") == 1


def test_what_others_did_before_a_lock_shows_under_it(tmp_path):
    ours, theirs = Store(tmp_path), Store(tmp_path)
    others = [Recipe(epochs=1, seed=seed) for seed in (1, 2)]
    with ours.lock([BASE.key()]):
        ours.begin(BASE, BASE.key())
    made = [theirs.begin(recipe, recipe.key()) for recipe in others]
    renamed = made[0].rename(made[0].with_name(f"mine-{others[0].key()[:8]}"))
    with ours.lock([recipe.key() for recipe in others]):
        assert [ours.folder(recipe, recipe.key()) for recipe in others] == [renamed, made[1]]
    made[1].rename(tmp_path / "elsewhere")
    with ours.lock([others[1].key()]):
        assert ours.folder(others[1], others[1].key()) == made[1]
        assert not made[1].exists()
