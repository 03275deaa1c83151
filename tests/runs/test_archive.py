"""A records file gives back the runs that were put in, is read only as a store, and notices every changed line."""

import dataclasses
import errno
import json
import math

import pytest

from convarium.errors import StoreError
from convarium.recipes.recipe import Recipe
from convarium.runs import archive
from convarium.runs.archive import RECORDS, add_records, read_records
from convarium.runs.files import write_predicted
from convarium.runs.store import Store, StudyRecord
from made_studies import made_run, save_study

RECIPES = tuple(Recipe(model="lenet", epochs=4, seed=seed) for seed in range(3))


@pytest.fixture
def store(tmp_path):
    """Two trained runs, the second of which watched the test split, and one that diverged."""
    for recipe in RECIPES:
        path = Store(tmp_path / "store").begin(recipe, recipe.key("0" * 64))
        if recipe.seed == 1:
            write_predicted(path, [(2, 1), (3, 0), (2, 1), (3, 0)])
        made_run(tmp_path / "store", recipe, 0.9, diverges_at=2 if recipe.seed == 2 else None, watched=recipe.seed == 1)
    return Store(tmp_path / "store")


@pytest.fixture
def records(store, tmp_path):
    add_records(tmp_path / "records" / RECORDS, store.runs())
    return Store(tmp_path / "records")


def test_runs_come_back_as_they_were_without_arrays(store, records):
    assert [run.key for run in records.runs()] == [run.key for run in store.runs()]
    for run, recorded in zip(store.runs(), records.runs(), strict=True):
        assert recorded.recipe == run.recipe
        assert recorded.outcome == run.outcome
        assert recorded.predicted() == run.predicted()
        assert recorded.path.name == run.path.name
        assert (recorded.predictions(), recorded.weights(), recorded.steps()) == (None, None, None)
    assert [run.predicted() for run in records.runs() if run.recipe.seed == 1] == [((2, 1), (3, 0), (2, 1), (3, 0))]


def test_a_loss_that_is_not_a_number_stays_one(store, tmp_path):
    (run,) = [run for run in store.runs() if run.recipe.seed == 0]
    history = (dataclasses.replace(run.outcome.history[0], train_loss=math.nan),)
    diverged = dataclasses.replace(run.outcome, status="diverged", selected_epoch=None, history=history)
    wild = dataclasses.replace(run, outcome=diverged)
    add_records(tmp_path / RECORDS, [wild])
    assert math.isnan(read_records(tmp_path / RECORDS)[run.key].outcome.history[0].train_loss)


def test_a_run_is_found_by_its_recipe_its_key_and_its_folders_name(records):
    run = records.runs()[0]
    assert records.find(run.recipe, run.key) == run
    for name in (run.key, run.key[:8], run.path.name, run.path.name.rpartition("-")[0], str(run.path)):
        assert records.run(name) == run
    assert records.find(RECIPES[0], "f" * 64) is None
    with pytest.raises(StoreError, match="no finished run 'lenet-s9'"):
        records.run("lenet-s9")


def test_a_study_lies_in_one_file_and_has_its_runs_in_the_plans_order(records):
    keys = tuple(run.key for run in reversed(records.runs()))
    study = StudyRecord("small", "?", "model", "lenet", {}, (*keys, "f" * 64), 4)
    (records.root / "studies").mkdir()
    (records.root / "studies" / "small.json").write_text(json.dumps(dataclasses.asdict(study)))
    assert records.study_names() == ["small"]
    assert records.study("small") == study
    assert tuple(run.key for run in records.runs_of(study)) == keys


def test_a_folder_of_records_is_read_only(records):
    study = StudyRecord("small", "?", "model", "lenet", {}, (), 0)
    for write in (lambda: records.begin(RECIPES[0], "0" * 64), lambda: save_study(records, study)):
        with pytest.raises(StoreError, match="is a folder of records, which is read only; choose another --store"):
            write()
    assert [path.name for path in records.root.iterdir()] == [RECORDS]


def test_adding_replaces_a_run_and_leaves_every_other_line_as_it_is(store, records):
    path = records.root / RECORDS
    lines = path.read_text("utf-8").splitlines()
    older = json.loads(lines[0])
    first = store.runs()[0]
    changed = dataclasses.replace(first, outcome=dataclasses.replace(first.outcome, message="again"))
    add_records(path, [changed])
    after = path.read_text("utf-8").splitlines()
    assert after[1:] == lines[1:]
    assert json.loads(after[0])["outcome"]["message"] == "again"
    assert older["outcome"]["message"] is None
    add_records(path, [first])
    assert path.read_text("utf-8").splitlines() == lines


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: line.replace('"seed": 1', '"seed": 7'), "line 2 of .* is damaged: it does not have its digest"),
        (lambda line: line[:-20], "line 2 of .* is damaged; get it again"),
        (lambda line: "[]", "line 2 of .* is damaged; get it again"),
        (lambda line: "[" * 200_000, "line 2 of .* is damaged; get it again"),
        (lambda line: line.replace('"seed": 1', '"seed": NaN'), "line 2 of .* is damaged; get it again"),
    ],
)
def test_a_damaged_line_is_named(records, change, message):
    path = records.root / RECORDS
    lines = path.read_text("utf-8").splitlines()
    lines[1] = change(lines[1])
    path.write_text("\n".join(lines) + "\n", "utf-8")
    with pytest.raises(StoreError, match=message):
        Store(records.root).runs()


def test_a_records_file_that_is_no_text_or_may_not_be_read_is_named(records, monkeypatch):
    path = records.root / RECORDS
    path.write_bytes(path.read_bytes() + b"\xff\n")
    with pytest.raises(StoreError, match=r"runs\.jsonl is not text in UTF-8; get it again"):
        Store(records.root).runs()

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(archive, "read_text", refuse)
    with pytest.raises(StoreError, match=r"runs\.jsonl cannot be read: Permission denied; check its permissions"):
        Store(records.root).runs()
