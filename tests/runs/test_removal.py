"""What a store holds is listed whatever its state, and only what was named and is not in use is removed."""

import dataclasses
import json
from pathlib import Path

import pytest

from convarium.cli import main
from convarium.cli.store import run_lines
from convarium.errors import LockedError, StoreError
from convarium.recipes.recipe import Recipe
from convarium.records import Outcome
from convarium.runs.archive import RECORDS, add_records
from convarium.runs.listing import list_runs
from convarium.runs.removal import plan_removal, remove
from convarium.runs.store import Store, StudyRecord
from convarium.workspace import Workspace
from made_runs import HERE
from made_studies import made_run, save_study


def recipe(seed):
    return Recipe(model="lenet", epochs=1, seed=seed)


@pytest.fixture
def runs(tmp_path):
    """Four finished runs; the study "first" has those of seeds 0 to 2, and "second" those of seeds 2 and 3."""
    found = [made_run(tmp_path, recipe(seed), 0.9) for seed in range(4)]
    for name, seeds in {"first": (0, 1, 2), "second": (2, 3)}.items():
        keys = tuple(found[seed].key for seed in seeds)
        save_study(Store(tmp_path), StudyRecord(name, "Why?", "model", "lenet", {"epochs": 1}, keys, len(keys)))
    return found


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def seeds_left(store):
    return sorted(run.recipe.seed for run in Store(store.root).runs())


def names_in(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_every_run_is_listed_with_its_state_its_size_and_its_studies(store, runs):
    (runs[1].path / "history.jsonl").write_text("")
    store.finish(store.begin(recipe(4), "4" * 64), Outcome("failed", (), HERE, message="out of luck"))
    store.finish(store.begin(recipe(5), "5" * 64), Outcome("diverged", (), HERE, message="not finite"))
    store.begin(recipe(6), "6" * 64)
    store.begin(recipe(7), "7" * 64)
    store.set_aside(store.folder(recipe(7), "7" * 64))
    store.begin(recipe(8), "8" * 64)
    runs[3].path.rename(store.folder(recipe(9), "9" * 64))
    with Store(store.root).lock(["8" * 64]):
        entries = {entry.name.split("-s")[-1]: entry for entry in list_runs(store)}
    assert {name[:1]: (entry.state, entry.studies) for name, entry in entries.items()} == {
        "0": ("finished", ("first",)),
        "1": ("damaged", ("first",)),
        "2": ("finished", ("first", "second")),
        "4": ("failed", ()),
        "5": ("diverged", ()),
        "6": ("unfinished", ()),
        "7": ("damaged", ()),
        "8": ("in training", ()),
        "9": ("damaged", ("second",)),
    }
    reasons = [entry.reason for entry in entries.values() if entry.reason]
    assert [words in " ".join(reasons) for words in ("history.jsonl", "set aside", "copied or renamed")] == [True] * 3
    size = sum(file.stat().st_size for file in runs[0].path.iterdir())
    assert next(entry.size_bytes for name, entry in entries.items() if name[0] == "0") == size


def test_a_failed_run_that_is_tried_again_is_in_training_and_then_failed(store):
    store.finish(store.begin(recipe(4), "4" * 64), Outcome("failed", (), HERE, message="out of luck"))
    store.begin(recipe(4), "4" * 64)
    assert [entry.state for entry in list_runs(store)] == ["failed"]
    with Store(store.root).lock(["4" * 64]):
        assert [entry.state for entry in list_runs(store)] == ["in training"]


def test_runs_in_a_records_file_are_listed_and_never_removed(store, runs, tmp_path):
    add_records(tmp_path / "records" / RECORDS, runs)
    records = Store(tmp_path / "records")
    assert [(entry.state, entry.key) for entry in list_runs(records)] == [("finished", run.key) for run in runs]
    with pytest.raises(StoreError, match="is a folder of records, which is read only"):
        plan_removal(records, [runs[0].key])


def test_a_study_takes_its_runs_along_but_for_those_of_other_studies(store, runs):
    going = plan_removal(store, ["first"])
    assert [entry.key for entry in going.runs] == [run.key for run in runs[:2]]
    assert going.kept == {runs[2].path.name: ("second",)}
    assert going.size_bytes > sum(entry.size_bytes for entry in going.runs) > 0
    assert seeds_left(store) == [0, 1, 2, 3]
    assert remove(store, ["first"], agreed=going) == going
    assert seeds_left(store) == [2, 3]
    assert store.study_names() == ["second"]
    assert names_in(store.root / "studies") == ["second"]


@pytest.mark.parametrize("spell", ["name", "path", "key", "in store"])
def test_a_run_that_is_named_goes_though_a_study_uses_it(store, runs, spell):
    run = runs[3]
    name = {"name": run.path.name, "path": str(run.path), "key": run.key[:9], "in store": f"runs/{run.path.name}"}
    assert plan_removal(store, [name[spell]]).used == {run.path.name: ("second",)}
    remove(store, [name[spell]])
    assert seeds_left(store) == [0, 1, 2]
    assert store.study_names() == ["first", "second"]


def test_what_is_unfinished_damaged_or_set_aside_can_be_removed(store, runs):
    (runs[0].path / "outcome.json").write_text("{")
    aside = store.set_aside(runs[1].path)
    unfinished = store.begin(recipe(6), "6" * 64)
    (store.root / "runs" / ".removed-0").mkdir()  # of a removal that was killed
    remove(store, [runs[0].path.name, aside.name, unfinished.name])
    assert names_in(store.root / "runs") == [runs[2].path.name, runs[3].path.name]


def test_a_run_in_training_is_not_removed_and_nor_is_anything_else(store, runs):
    with Store(store.root).lock([runs[1].key]), pytest.raises(LockedError, match="in use by another process"):
        remove(store, ["first"])
    assert seeds_left(store) == [0, 1, 2, 3]
    assert store.study_names() == ["first", "second"]


def test_more_runs_are_removed_than_a_process_may_have_open_files(store):
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    for number in range(60):
        store.begin(recipe(number), f"{number:08}" + "0" * 56)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = sum(1 for _ in Path("/dev/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 30, limits[1]))
    try:
        remove(store, [entry.name for entry in list_runs(store)])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert not list_runs(store)


def test_nothing_goes_that_was_not_agreed_to(store, runs):
    going = plan_removal(store, ["first"])
    record = store.study("second")
    save_study(store, dataclasses.replace(record, keys=(runs[3].key,)))
    with pytest.raises(StoreError, match="changed meanwhile; give the same command again"):
        remove(store, ["first"], agreed=going)
    assert seeds_left(store) == [0, 1, 2, 3]


def test_what_links_lead_to_stays(store, runs, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    runs[0].path.rename(elsewhere)
    runs[0].path.symlink_to(elsewhere)
    (runs[1].path / "more").symlink_to(elsewhere)
    (store.root / "studies" / "first").rename(tmp_path / "study")
    (store.root / "studies" / "first").symlink_to(tmp_path / "study")
    before = {file: file.read_bytes() for folder in ("elsewhere", "study") for file in (tmp_path / folder).iterdir()}
    going = remove(store, ["first"])
    assert going.runs[0].size_bytes == 0
    assert seeds_left(store) == [2, 3]
    assert {file: file.read_bytes() for file in before} == before
    (store.root / "runs").rename(tmp_path / "far")
    (store.root / "runs").symlink_to(tmp_path / "far")
    with pytest.raises(
        StoreError, match=r"runs is a link, and nothing is removed through one; remove it where it lies"
    ):
        remove(store, [runs[2].key])


@pytest.mark.parametrize(
    "name", ["nothing", "", ".", "..", "../elsewhere", "/", "\0", "abc", "runs", "studies/../first"]
)
def test_a_name_that_is_nothing_in_the_store_is_told(store, runs, name):
    with pytest.raises(StoreError, match=r"no study and no run .*; see convarium list studies and list runs"):
        plan_removal(store, [name])


def test_a_name_that_is_several_things_is_told(store, runs):
    other = store.begin(recipe(6), runs[0].key[:6] + "0" * 58)
    with pytest.raises(StoreError, match=rf"2 runs match '{runs[0].key[:5]}'; say which: .*{other.name}"):
        plan_removal(store, [runs[0].key[:5]])
    record = store.study("first")
    save_study(store, dataclasses.replace(record, name=runs[0].path.name))
    with pytest.raises(StoreError, match=rf"is a study and a run; write runs/{runs[0].path.name} for the run"):
        plan_removal(store, [runs[0].path.name])


def test_workspace_lists_and_removes(store, runs):
    workspace = Workspace(store.root)
    assert len(workspace.list_runs()) == 4
    assert workspace.plan_removal("second") == workspace.remove("second")
    assert len(workspace.list_runs()) == 3


def test_the_command_shows_what_goes_asks_and_removes(store, runs, capsys, monkeypatch):
    call = ["remove", "first", runs[3].path.name, "--store", str(store.root)]
    assert main(call) == 2
    shown = capsys.readouterr()
    assert f"runs/{runs[0].path.name}" in shown.out
    assert f"{runs[2].path.name} stays, because it belongs to second too" in shown.err
    assert f"warning: {runs[3].path.name} belongs to second, which will be without it" in shown.err
    assert "remove asks first, and nobody can answer here; add --yes to remove it all" in shown.err
    for answer, left in (("n", 4), ("y", 1)):
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("click.confirm", lambda *given, answer=answer, **options: answer == "y")
        assert main(call) == 0
        assert len(Store(store.root).runs()) == left
    assert "removed 1 study and 3 runs, " in capsys.readouterr().out


@pytest.mark.parametrize("answer", [EOFError, KeyboardInterrupt])
def test_no_answer_removes_nothing(store, runs, capsys, monkeypatch, answer):
    def ask(prompt=""):
        raise answer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", ask)
    assert main(["remove", "first", "--store", str(store.root)]) == 0
    assert "nothing was removed" in capsys.readouterr().err
    assert len(Store(store.root).runs()) == len(runs)


def test_the_command_removes_without_asking_and_prints_json(store, runs, capsys):
    assert main(["remove", "first", "--yes", "--json", "--store", str(store.root)]) == 0
    gone = json.loads(capsys.readouterr().out)
    assert [run["run"] for run in gone["runs"]] == [run.path.name for run in runs[:2]]
    assert gone["kept"] == {runs[2].path.name: ["second"]}


def test_the_command_lists_runs(store, runs, capsys):
    (runs[1].path / "history.jsonl").write_text("")
    assert main(["list", "runs", "--store", str(store.root)]) == 0
    shown = capsys.readouterr()
    assert all(run.path.name in shown.out for run in runs)
    assert "first, second" in shown.out
    assert f"{runs[1].path.name}: " in shown.err
    assert main(["list", "runs", "--json", "--store", str(store.root)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in rows] == ["finished", "damaged", "finished", "finished"]
    assert main(["list", "runs", "--store", str(store.root / "empty")]) == 0
    assert "holds no run; make one with convarium train" in capsys.readouterr().out


def test_a_list_has_a_line_for_each_run_and_another_for_a_name_that_is_too_long():
    def row(name, studies=()):
        return {"run": name, "state": "finished", "bytes": 273_200, "studies": list(studies), "reason": None}

    long = "photos-of-my-garden-resnet-depth-20-activation-leaky-relu-s0-0a1b2c3d"
    many = [f"study-{number}" for number in range(30)]
    rows = [row("digits-lenet-s0-12345678", ["one"]), row(long, ["one", "two"]), row("图像-lenet-s0-12345679", many)]
    head, rule, first, name, second, third = run_lines(rows, 80)
    assert head == "run                       state         size  studies"
    assert set(rule) == {"─"}
    assert first == "digits-lenet-s0-12345678  finished  273.2 kB  one"
    assert name == long
    assert second == "                          finished  273.2 kB  one, two"
    assert third == "图像-lenet-s0-12345679    finished  273.2 kB  study-0, study-1 and 28 more"
    assert len(list(run_lines(rows, 200))) == 5


def test_a_list_does_not_look_into_runs_that_are_whole(store, runs, monkeypatch):
    (runs[1].path / "history.jsonl").write_text("")
    runs[2].path.rename(store.folder(recipe(10), "9" * 64))
    looked = []
    monkeypatch.setattr(type(store.reader), "read", lambda reader, path: looked.append(path.name))
    list_runs(store)
    assert [name.partition("-s")[2][:2] for name in looked] == ["1-", "10"]


def test_the_runs_of_a_study_are_counted_and_the_damaged_ones_named(store, runs):
    (runs[1].path / "history.jsonl").write_text("")
    store.finish(store.begin(recipe(4), "4" * 64), Outcome("failed", (), HERE, message="out of luck"))
    store.begin(recipe(5), "5" * 64)
    keys = (*(run.key for run in runs[:3]), "4" * 64, "5" * 64, "6" * 64)
    damaged = []
    assert store.count_ended(dataclasses.replace(store.study("first"), keys=keys), damaged=damaged) == 3
    assert ["history.jsonl" in str(error) for error in damaged] == [True]


def test_a_list_has_seeds_in_their_order(store):
    for seed in (10, 9, 2):
        store.begin(recipe(seed), f"{seed:08d}{'0' * 56}")
    assert [entry.name for entry in list_runs(store)] == [f"digits-lenet-s{seed}-{seed:08d}" for seed in (2, 9, 10)]


def test_a_damaged_study_hides_none_of_the_others(store, runs, capsys):
    (store.root / "studies" / "first" / "study.json").write_text("[]")
    assert main(["list", "studies", "--store", str(store.root)]) == 0
    shown = capsys.readouterr()
    assert "second" in shown.out
    assert "left out: " in shown.err
    assert [entry.studies for entry in list_runs(store)] == [(), (), ("second",), ("second",)]
