"""Stores are pooled: nothing is overwritten, everything is verified before, and thirty stores are one study."""

import dataclasses
import json

import pytest

from convarium.cli import main
from convarium.disk import write_file
from convarium.errors import LockedError, StoreError
from convarium.recipes.recipe import Recipe
from convarium.runs import merging
from convarium.runs.merging import merge
from convarium.runs.store import Store, StudyRecord
from convarium.studies.compare import compare_study
from made_studies import HERE, made_run, save_study

MODELS = ("lenet", "residual_cnn")


def recipe(model="lenet", seed=0):
    return Recipe(model=model, seed=seed, epochs=2)


def made_store(folder, seeds, *, models=MODELS, **fields):
    """A store with a study of made runs, models × seeds."""
    runs = [
        made_run(folder, recipe(model, seed), 0.9, images=50, steps_an_epoch=3, **fields)
        for model in models
        for seed in seeds
    ]
    record = StudyRecord(
        "class", "Which one?", "model", models[0], {"dataset": "digits", "epochs": 2}, tuple(r.key for r in runs),
        len(runs), "convarium run class.py",
    )  # fmt: skip
    save_study(Store(folder), record)
    return Store(folder)


def files_of(root):
    return {
        path.relative_to(root): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.endswith(".lock")
    }


def test_thirty_stores_are_one_study_of_thirty_seeds(tmp_path):
    others = [made_store(tmp_path / f"student-{seed}", [seed]) for seed in range(30)]
    whole = made_store(tmp_path / "whole", range(30))
    store = Store(tmp_path / "all")
    done = merge(store, others[::-1])
    assert len(done.copied) == 60
    assert (done.present, done.studies, done.notes) == (0, ("class",), ())
    ours, theirs = (dataclasses.replace(each.study("class"), keys=()) for each in (store, whole))
    assert ours == theirs
    assert store.study("class").keys == whole.study("class").keys
    one, other = (compare_study(each.study("class"), each) for each in (store, whole))
    assert [row.label for row in one.rows] == [row.label for row in other.rows]
    assert one.notes == other.notes
    assert one.frame("rows").equals(other.frame("rows"))
    runs = {path: content for path, content in files_of(store.root).items() if path.parts[0] == "runs"}
    assert runs == {path: content for path, content in files_of(whole.root).items() if path.parts[0] == "runs"}


def test_a_second_merge_changes_nothing(tmp_path):
    others = [made_store(tmp_path / name, [seed]) for seed, name in enumerate("ab")]
    store = made_store(tmp_path / "all", [0])
    first = merge(store, others)
    assert (len(first.copied), first.present) == (2, 2)
    before = files_of(store.root)
    again = merge(Store(store.root), others)
    assert (again.copied, again.present, again.studies) == ((), 4, ())
    assert files_of(store.root) == before


def test_a_recommendation_stays_where_no_run_is_added(tmp_path):
    store, same, more = (made_store(tmp_path / name, seeds) for name, seeds in (("a", [0]), ("b", [0]), ("c", [1])))
    same.update_study("class", lambda mine: dataclasses.replace(mine, recommended=("Use lenet.",)))
    merge(store, [same])
    assert store.study("class").recommended == ("Use lenet.",)
    merge(store, [more])
    assert store.study("class").recommended == ()


def test_other_results_of_one_recipe_are_named_and_ours_stay(tmp_path):
    other = made_store(tmp_path / "other", [0, 1], models=("lenet",))
    store = Store(tmp_path / "all")
    theirs = made_run(other.root / "again", recipe(), 0.7, images=50, steps_an_epoch=3)
    elsewhere = dataclasses.replace(HERE, processor="Another CPU", threads=8)
    ours = made_run(store.root, recipe(), 0.7, images=50, steps_an_epoch=3, environment=elsewhere)
    kept = files_of(ours.path)
    done = merge(store, [other, Store(other.root / "again")])
    assert [run.recipe.seed for run in done.copied] == [1]
    assert files_of(ours.path) == kept
    first, environments = done.notes
    assert first == (
        f"lenet seed 0 has other results in {other.run(ours.key).path} than in {ours.path} "
        "(processor Another CPU, then Some CPU; threads 8, then 2); the latter are kept"
    )
    assert environments == (
        "the runs were made with 2 processors (Another CPU, Some CPU) and 2 numbers of threads (8, 2): their times are "
        "not comparable"
    )
    assert theirs.key == ours.key
    alike = merge(Store(tmp_path / "third"), [other, Store(other.root / "again")])
    assert "although both name the same environment" in alike.notes[0]


def test_a_run_that_did_not_fail_is_taken_before_one_that_did(tmp_path):
    stores = [Store(tmp_path / name) for name in ("bad", "good")]
    run = made_run(stores[1].root, recipe(), 0.9, images=50, steps_an_epoch=3)
    failed = dataclasses.replace(run.outcome, status="failed", message="no memory", test=None, selected_epoch=None)
    stores[0].finish(stores[0].begin(recipe(), run.key), failed)
    for order in (stores, stores[::-1]):
        store = Store(tmp_path / f"all-{order[0].root.name}")
        merge(store, order)
        assert store.run(run.key).outcome.status == "finished"


@pytest.mark.parametrize("name", ["predictions.npz", "outcome.json", "recipe.json", "steps.npz", "study.json"])
def test_a_damaged_file_stops_the_merge_before_anything_is_copied(tmp_path, name):
    others = [made_store(tmp_path / "good", [0]), made_store(tmp_path / "bad", [1])]
    path = next(others[1].root.rglob(name))
    path.write_bytes(path.read_bytes()[:-9] + b"?" * 9)
    store = Store(tmp_path / "all")
    with pytest.raises(StoreError, match=f"{path.name} is "):
        merge(store, others)
    assert files_of(tmp_path / "all") == {}


def test_a_disk_that_is_full_leaves_the_store_as_it_was(tmp_path, monkeypatch):
    other, store = made_store(tmp_path / "other", range(3)), made_store(tmp_path / "all", [9])
    before, copies = files_of(store.root), []

    def full(path, fill):
        copies.append(path)
        if len(copies) == 20:
            raise OSError(28, "No space left on device", str(path))
        write_file(path, fill)

    monkeypatch.setattr(merging, "write_file", full)
    with pytest.raises(OSError, match="No space left"):
        merge(store, [other])
    assert files_of(store.root) == before
    monkeypatch.undo()
    place = Store(store.root).lock_path(other.study("class").keys[-1])
    with Store(store.root).lock([place.name[1:9]]), pytest.raises(LockedError):
        merge(store, [other])
    assert files_of(store.root) == before


def test_a_study_that_is_extended_meanwhile_keeps_what_it_gained(tmp_path, monkeypatch):
    store, other = made_store(tmp_path / "all", [0]), made_store(tmp_path / "other", [1])
    copy = merging._copy

    def extend_and_copy(*args):
        run = made_run(store.root, recipe(seed=2), 0.9, images=50, steps_an_epoch=3)
        Store(store.root).update_study("class", lambda mine: dataclasses.replace(mine, keys=(*mine.keys, run.key)))
        return copy(*args)

    monkeypatch.setattr(merging, "_copy", extend_and_copy)
    merge(store, [other])
    seeds = {store.run(key).recipe.seed for key in store.study("class").keys}
    assert seeds == {0, 1, 2}


def test_what_a_killed_merge_has_left_goes_and_unfinished_runs_are_told(tmp_path):
    other, store = made_store(tmp_path / "other", [0]), Store(tmp_path / "all")
    other.begin(recipe(seed=5), recipe(seed=5).key("0" * 64))
    (store.root / "runs" / ".merging-7").mkdir(parents=True)
    done = merge(store, [other])
    assert done.notes == (f"1 run of {other.root} was not copied, because unfinished or set aside",)
    assert not list(store.root.glob("runs/.merging-*"))


def test_stores_that_cannot_be_merged_are_refused(tmp_path):
    other = made_store(tmp_path / "other", [0])
    record = other.study("class")
    store = Store(tmp_path / "all")
    save_study(store, dataclasses.replace(record, base={"dataset": "digits", "epochs": 9}))
    with pytest.raises(StoreError, match="have different studies 'class': epochs is 9 in one and 2 in another"):
        merge(store, [other])
    with pytest.raises(StoreError, match="cannot be merged into itself"):
        merge(other, [other])
    with pytest.raises(StoreError, match=r"is no store: it has no folder runs/; name the folder"):
        merge(other, [Store(tmp_path / "nowhere")])
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "runs.jsonl").write_text("")
    with pytest.raises(StoreError, match="is a folder of records without weights, which cannot be merged"):
        merge(other, [Store(tmp_path / "records")])


def test_the_command_line_merges(tmp_path, capsys):
    others = [str(made_store(tmp_path / name, [seed]).root) for seed, name in enumerate("ab")]
    assert main(["merge", *others, "--store", str(tmp_path / "all")]) == 0
    assert capsys.readouterr().out == f"4 runs copied into {tmp_path / 'all'}\nstudies: class\n"
    assert main(["merge", *others, "--store", str(tmp_path / "all"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"copied": [], "present": 4, "studies": [], "notes": []}
    assert main(["results", "class", "--store", str(tmp_path / "all")]) == 0
    assert main(["merge", str(tmp_path / "nowhere"), "--store", str(tmp_path / "all")]) == 2
    assert "is no store" in " ".join(capsys.readouterr().err.split())
