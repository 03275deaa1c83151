"""The store: written whole or not at all, read back equal, and every damage named."""

import contextlib
import dataclasses
import errno
import gc
import json
import math
import os
import re
import shutil
import threading
import time

import numpy as np
import pytest
import torch

from convarium.disk import write_json
from convarium.errors import DamageError, LockedError, StoreError
from convarium.metrics import scores
from convarium.models.describe import describe
from convarium.models.index import resolve
from convarium.recipes.recipe import Recipe
from convarium.records import Cost, Environment, Epoch, ImageSpec, Outcome, Preprocessing
from convarium.runs.files import write_history
from convarium.runs.reading import garbage_collection_paused
from convarium.runs.store import Store, StudyRecord
from convarium.runs.stored_run import read_run
from convarium.runs.tensorboard import event_log
from convarium.training import fit
from made_studies import save_study
from seals import age_seal, mend_seal
from small_networks import few

RECIPE = Recipe(model="lenet@d2l", epochs=1)
KEY = RECIPE.key()
ENVIRONMENT = Environment("0.1.0", "3.11", "2.13", "Linux", "a processor", "cpu", 2, ("a", "b"), "abc", "2026-01-01")
LOGITS, LABELS = np.array([[2, 1], [3, 4]], np.float32), np.array([0, 0])
SCORES = scores(LOGITS, LABELS, ["a", "<script>"])
ROW = Epoch(1, 3, 0.1, 2.0, 0.5, 1.0, 0.75, None, None, 0.25)
NETWORK = describe("lenet@d2l", ImageSpec(1, 28, 28, 10))
OUTCOME = Outcome(
    status="finished",
    history=(ROW,),
    environment=ENVIRONMENT,
    cost=Cost(10, 20, 1.0, 2.0, 3.0, 4),
    selected_epoch=1,
    validation=SCORES,
    test=SCORES,
    image=ImageSpec(1, 8, 8, 2),
    network=NETWORK,
    preprocessing=Preprocessing(("a", "<script>"), 1, 8, 8, "stretch", (255, 255, 255), None, None, (0.5,), (0.25,)),
    step_loss=np.array([1, 2, 3], np.float32),
    step_accuracy=np.array([0, 0.5, 1], np.float32),
    logits=LOGITS,
    labels=LABELS,
    weights={"w": torch.arange(6.0).reshape(2, 3).T},
)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture
def run(store):
    path = store.begin(RECIPE, KEY)
    (path / "last.ckpt").write_bytes(b"unfinished")
    return store.finish(path, OUTCOME)


def test_what_is_read_is_what_was_written(store, run):
    found = store.find(RECIPE, KEY)
    assert found.recipe == RECIPE
    assert found.key == KEY
    arrays = dict.fromkeys(("network", "step_loss", "step_accuracy", "logits", "labels", "weights"))
    assert found.outcome == dataclasses.replace(OUTCOME, **arrays)
    assert np.array_equal(found.predictions()[0], OUTCOME.logits)
    assert np.array_equal(found.predictions()[1], OUTCOME.labels)
    assert np.array_equal(found.steps()[1], OUTCOME.step_accuracy)
    assert torch.equal(found.weights()["w"], OUTCOME.weights["w"])
    assert found.network() == NETWORK
    assert found.preprocessing() == OUTCOME.preprocessing


def test_a_run_from_before_its_images_were_recorded_reads_as_ever(run):
    age_seal(run.path)
    seal = json.loads((run.path / "outcome.json").read_text())
    del seal["image"]
    write_json(run.path / "outcome.json", seal)
    assert read_run(run.path).outcome == dataclasses.replace(run.outcome, image=None)


def test_a_run_from_before_its_network_was_recorded_has_none(store):
    path = store.begin(RECIPE, KEY)
    assert store.finish(path, dataclasses.replace(OUTCOME, network=None)).network() is None


def test_training_records_the_network_that_it_trained():
    recipe = Recipe(model="mnist_resnet", epochs=1, batch_size=10)
    splits = few(30)
    assert fit(recipe, splits).network == describe("mnist_resnet", splits.train.spec)


def test_a_finished_folder_has_the_documented_files_and_nothing_else(run):
    assert sorted(p.name for p in run.path.iterdir()) == [
        "history.jsonl", "model.json", "network.json", "outcome.json", "predictions.npz", "recipe.json", "steps.npz",
        "weights.safetensors",
    ]  # fmt: skip
    assert run.path.name == f"digits-lenet-d2l-s0-{KEY[:8]}"


def test_history_has_the_documented_columns(run):
    row = json.loads((run.path / "history.jsonl").read_text())
    assert list(row) == [
        "epoch", "steps", "learning_rate", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy",
        "test_loss", "test_accuracy", "seconds",
    ]  # fmt: skip
    assert row["test_loss"] is None


def test_a_diverged_run_is_kept_as_legal_json(store):
    diverged = dataclasses.replace(OUTCOME, status="diverged", history=(dataclasses.replace(ROW, train_loss=math.nan),))
    run = store.finish(store.begin(RECIPE, KEY), dataclasses.replace(diverged, test=None, logits=None))
    assert "NaN" not in (run.path / "history.jsonl").read_text()
    assert math.isnan(run.outcome.history[0].train_loss)
    assert run.outcome.test is None


def test_an_unfinished_run_is_not_found(store):
    store.begin(RECIPE, KEY)
    assert store.find(RECIPE, KEY) is None
    assert store.runs() == []


@pytest.mark.parametrize(
    "name",
    [
        "predictions.npz",
        "steps.npz",
        "weights.safetensors",
        "history.jsonl",
        "network.json",
        "model.json",
        "recipe.json",
    ],
)
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_every_damaged_file_is_named(store, run, name, damage):
    path = run.path / name
    path.unlink() if damage == "gone" else path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match=name):
        store.find(RECIPE, KEY)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": {}}'])
def test_a_damaged_seal_is_named(store, run, text):
    (run.path / "outcome.json").write_text(text)
    with pytest.raises(
        StoreError,
        match=r"outcome.json (is not JSON|does not hold|is damaged: it names no recipe).*; delete the folder",
    ):
        read_run(run.path)


def test_a_recipe_of_a_newer_version_is_told(store, run):
    values = json.loads((run.path / "recipe.json").read_text()) | {"speed": "warp"}
    write_json(run.path / "recipe.json", values)
    mend_seal(run.path)
    with pytest.raises(
        StoreError, match=r"recipe.json cannot be read: .* unknown field 'speed'; update Convar"
    ) as raised:
        read_run(run.path)
    assert not isinstance(raised.value, DamageError)  # so that it is not set aside


def test_what_is_set_aside_is_kept_and_no_longer_found(store, run):
    aside = store.set_aside(run.path)
    assert (aside / "weights.safetensors").exists()
    assert store.find(RECIPE, KEY) is None
    assert store.runs() == []
    again = store.finish(store.begin(RECIPE, KEY), OUTCOME)
    assert store.set_aside(again.path).name.endswith(".damaged-2")


def test_a_pipe_is_written_into_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_json(pipe, [1])
    assert pipe.is_fifo()
    assert json.loads(os.read(reading, 100)) == [1]
    os.close(reading)


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"new": math.nan})
    assert json.loads(path.read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_name_that_no_finished_run_has_comes_with_what_to_try(store, run):
    with pytest.raises(StoreError, match=f"did you mean {re.escape(run.path.name)}[?]"):
        store.run(run.path.name[:3])
    for name in ("", "nix", "x" * 400, "a\0b"):
        with pytest.raises(StoreError, match="see convarium list runs"):
            store.run(name)
    (store.root / "runs" / "begun-s0").mkdir()
    with pytest.raises(StoreError, match=r"no finished run 'begun-s0' .*; it has not finished: give the command"):
        store.run("begun-s0")


def test_a_run_is_found_by_its_name_without_the_digits_if_no_other_is_called_so(store, run):
    name = run.path.name.rpartition("-")[0]
    assert store.run(name).key == KEY
    store.finish(store.begin(dataclasses.replace(RECIPE, learning_rate=0.5), "0123" * 16), OUTCOME)
    with pytest.raises(StoreError, match=rf"2 runs match '{re.escape(name)}'; say which: .*-01230123"):
        store.run(name)
    with pytest.raises(StoreError, match="no finished run"):
        store.run(name[:-1])


def test_a_run_is_found_by_folder_path_name_and_key(store, run):
    for name in (str(run.path), run.path.name, KEY[:8], KEY[:4], KEY):
        assert store.run(name).key == KEY
    with pytest.raises(StoreError, match="no finished run 'nothing'"):
        store.run("nothing")
    other = dataclasses.replace(RECIPE, seed=1)
    twin = KEY[:4] + "0000" + KEY[8:]
    store.finish(store.begin(other, twin), OUTCOME)
    with pytest.raises(StoreError, match="2 runs match"):
        store.run(KEY[:4])


def test_one_process_at_a_time_trains_a_run(store, run):
    other = Store(store.root)
    with store.lock([KEY]), pytest.raises(LockedError, match="in use by another process"), other.lock([KEY]):
        pass
    with store.lock([KEY]):
        pass


def test_runs_whose_keys_begin_alike_share_a_lock_and_are_locked_together(store):
    with store.lock([KEY, KEY[:8] + "0" * 56]), pytest.raises(LockedError), store.lock([KEY]):
        pass


def test_a_lock_that_is_not_had_leaves_none_of_the_others_locked(store):
    first, second = sorted([KEY, "f" * 64])
    with store.lock([second]):
        with pytest.raises(LockedError), store.lock([first, second]):
            pass
        with store.lock([first]):
            pass


def test_a_file_system_without_locks_is_told(store, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.raises(StoreError, match=r"its file system has no locks; use a --store folder on a local disk"):
        save_study(store, STUDY)


STUDY = StudyRecord("s", "Why?", "model", "lenet", {"epochs": 1}, (KEY, "f" * 64), 2, "convarium compare lenet")


def test_studies_are_read_as_written_and_know_their_runs(store, run):
    save_study(store, STUDY)
    assert store.study("s") == STUDY
    assert [r.key for r in store.runs_of(STUDY)] == [KEY]
    with pytest.raises(StoreError, match=r"no study 't' .* there are: s"):
        store.study("t")


def test_a_damaged_study_is_named(store):
    path = save_study(store, STUDY)
    (path / "study.json").write_text("{}")
    with pytest.raises(StoreError, match=r"study.json is damaged; delete it"):
        store.study("s")


def test_no_study_at_all(store):
    with pytest.raises(StoreError, match="make one with convarium compare"):
        store.study("s")


def test_a_failed_run_and_its_checkpoint_stay_until_the_run_is_sealed_again(store):
    path = store.begin(RECIPE, KEY)
    (path / "last.ckpt").write_bytes(b"20 epochs")
    failed = store.finish(path, Outcome("failed", (ROW,), ENVIRONMENT, message="out of luck"))
    for _ in range(2):  # the second time it is as if the process had been killed
        write_history(store.begin(RECIPE, KEY), (ROW, dataclasses.replace(ROW, epoch=2)))
        for reader in (store, Store(store.root)):
            assert reader.find(RECIPE, KEY) == failed
            assert [run.outcome.message for run in reader.runs()] == ["out of luck"]
        assert (path / "last.ckpt").read_bytes() == b"20 epochs"
        assert not (path / "outcome.json").exists()
    assert store.finish(store.begin(RECIPE, KEY), OUTCOME).outcome.status == "finished"
    assert Store(store.root).find(RECIPE, KEY).outcome.status == "finished"
    assert not {"failed", "last.ckpt"} & {file.name for file in path.iterdir()}


@pytest.mark.parametrize("name", ["history.jsonl", "outcome.json", "recipe.json"])
def test_a_failed_record_that_was_only_partly_kept_changes_nothing(store, name):
    path = store.begin(RECIPE, KEY)
    failed = store.finish(path, Outcome("failed", (ROW,), ENVIRONMENT, message="out of luck"))
    (path / "failed").mkdir()
    (path / "failed" / name).write_bytes(b"cut off")
    assert Store(store.root).find(RECIPE, KEY) == failed
    store.begin(RECIPE, KEY)
    assert Store(store.root).find(RECIPE, KEY) == failed


def test_a_finished_run_is_never_begun_again(store, run):
    before = {file: file.read_bytes() for file in run.path.iterdir()}
    with pytest.raises(StoreError, match="is finished and stays as it is; remove it to train it again"):
        store.begin(RECIPE, KEY)
    assert {file: file.read_bytes() for file in run.path.iterdir()} == before


OTHER = dataclasses.replace(RECIPE, seed=1)


def test_two_keys_that_begin_alike_are_two_runs(store, run):
    twin = KEY[:8] + "0" * 56
    assert store.find(OTHER, twin) is None
    other = store.finish(store.begin(OTHER, twin), OUTCOME)
    same_seed = store.finish(store.begin(RECIPE, KEY[:8] + "1" * 56), OUTCOME)
    assert same_seed.path.name == f"digits-lenet-d2l-s0-{KEY[:8]}11111111"
    for reader in (store, Store(store.root)):
        assert [reader.find(RECIPE, KEY).path, reader.find(OTHER, twin).path] == [run.path, other.path]
        assert reader.run(KEY).path == run.path
        assert reader.run(twin[:12]).path == other.path
        with pytest.raises(StoreError, match="3 runs match"):
            reader.run(KEY[:8])


@pytest.mark.parametrize("move", [shutil.copytree, shutil.move])
def test_a_folder_that_was_copied_or_renamed_answers_for_no_other_run(store, run, move):
    place = store.folder(OTHER, OTHER.key())
    move(run.path, place)
    study = dataclasses.replace(STUDY, keys=(KEY, OTHER.key()))
    for reader in (store, Store(store.root)):
        assert reader.find(OTHER, OTHER.key()) is None
        assert [found.key for found in reader.runs_of(study)] == ([KEY] if move is shutil.copytree else [])
        with pytest.raises(StoreError, match=f"holds run {KEY[:8]}, lenet@d2l seed 0: it was copied or renamed"):
            reader.run(place.name)
        with pytest.raises(StoreError, match="no finished run"):
            reader.run(OTHER.key())
    trained = store.finish(store.begin(OTHER, OTHER.key()), OUTCOME)
    assert trained.path != place
    assert [found.key for found in Store(store.root).runs_of(study)][-1] == OTHER.key()


def test_a_recipe_that_is_not_its_keys_is_damage(store, run):
    values = json.loads((run.path / "recipe.json").read_text()) | {"batch_size": 2}
    write_json(run.path / "recipe.json", values)
    mend_seal(run.path)
    with pytest.raises(DamageError, match=r"recipe.json has another recipe than its key stands for"):
        Store(store.root).find(RECIPE, KEY)


def test_other_spellings_of_a_recipe_find_its_run(store, run):
    spelled_out = dataclasses.replace(RECIPE, model=resolve(RECIPE.model).key_spec)
    assert spelled_out.key() == KEY
    assert store.find(spelled_out, KEY) == run


def test_what_may_not_be_read_is_not_damaged(store, run, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("convarium.runs.sealed_files.file_digest", refuse)
    with pytest.raises(StoreError, match=r"cannot be read: Permission denied; check its permissions") as raised:
        Store(store.root).find(RECIPE, KEY)
    assert not isinstance(raised.value, DamageError)


def test_a_damaged_run_hides_none_of_its_study(store, run):
    other = store.finish(store.begin(OTHER, OTHER.key()), OUTCOME)
    (run.path / "history.jsonl").write_bytes(b"")
    study, damaged = dataclasses.replace(STUDY, keys=(KEY, OTHER.key())), []
    assert Store(store.root).runs_of(study, damaged=damaged) == [other]
    assert ["history.jsonl" in str(error) for error in damaged] == [True]
    with pytest.raises(DamageError, match=r"history.jsonl"):
        Store(store.root).runs_of(study)


def test_a_run_is_read_whole_while_another_process_writes_it(store, monkeypatch):
    path = store.begin(RECIPE, KEY)
    failed = store.finish(path, Outcome("failed", (ROW,), ENVIRONMENT, message="out of luck"))
    reads = []

    def begins_meanwhile(folder, **options):
        reads.append(folder)
        if len(reads) == 1:
            write_history(store.begin(RECIPE, KEY), (ROW, ROW))
        return read_run(folder, **options)

    reader = Store(store.root)
    monkeypatch.setattr("convarium.runs.reading.read_run", begins_meanwhile)
    assert reader.find(RECIPE, KEY) == failed
    assert reads == [path]


def test_a_study_is_looked_up_with_one_reading_of_the_folder_while_another_process_adds_runs(store, run, monkeypatch):
    readings, listdir = [], os.listdir

    def reads(path):
        readings.append(path)
        (store.root / "runs" / f"another-{len(readings):08x}").mkdir()  # the folder has just been changed
        return listdir(path)

    monkeypatch.setattr("os.listdir", reads)
    study = dataclasses.replace(STUDY, keys=(KEY, *(f"{number:064x}" for number in range(5))))
    assert Store(store.root).runs_of(study) == [run]
    assert len(readings) == 1


def test_two_processes_that_extend_a_study_at_once_keep_both_extensions(store):
    save_study(store, dataclasses.replace(STUDY, keys=("0" * 64,)))

    def add(key):
        def change(before):
            time.sleep(0.02)  # as long as another process takes to read it too
            return dataclasses.replace(before, keys=(*before.keys, key))

        return change

    writers = [
        threading.Thread(target=Store(store.root).update_study, args=(STUDY.name, add(digit * 64))) for digit in "123"
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {key[0] for key in store.study(STUDY.name).keys} == set("0123")


def test_what_killed_processes_left_in_a_studys_folder_is_removed(store):
    folder = save_study(store, STUDY)
    old, new = folder / ".report.html.0123456789ab.tmp", folder / ".report.html.ba9876543210.tmp"
    for file in (folder / ".study.json.0123456789ab.tmp", old, new):
        file.write_text("half")
    os.utime(old, (0, 0))
    save_study(store, STUDY)
    assert sorted(file.name for file in folder.iterdir()) == [new.name, "study.json"]  # another process may write it


def test_a_full_disk_ends_neither_the_run_nor_anything_with_a_traceback(tmp_path, monkeypatch, capsys):
    from tensorboard.summary.writer import record_writer

    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record_writer.RecordWriter, "write", full)
    with event_log(tmp_path) as log:
        log.graph(torch.nn.Flatten(), ImageSpec(1, 2, 2, 2))
        with contextlib.suppress(OSError):  # the caller tells of it
            for epoch in range(1, 50):
                log.epoch(dataclasses.replace(ROW, epoch=epoch, steps=epoch), [1.0], [0.5])
    assert capsys.readouterr().err == ""


def test_the_event_files_of_a_run_that_begins_anew_are_replaced(tmp_path):
    for first, epochs in [(1, 2), (3, 3), (1, 1)]:  # a run, its continuation, and the run again from its beginning
        before = set(tmp_path.glob("events.*"))
        with event_log(tmp_path) as log:
            for epoch in range(first, epochs + 1):
                log.epoch(dataclasses.replace(ROW, epoch=epoch, steps=epoch), [1.0], [0.5])
        assert before.issubset(tmp_path.glob("events.*")) == (first == 3 or not before)
    assert len(list(tmp_path.glob("events.*"))) == 1


@pytest.mark.parametrize("was_enabled", [True, False])
def test_reading_many_runs_leaves_garbage_collection_as_it_was(was_enabled):
    before = gc.isenabled()
    try:
        (gc.enable if was_enabled else gc.disable)()
        with garbage_collection_paused():
            assert not gc.isenabled()
        assert gc.isenabled() == was_enabled
    finally:
        (gc.enable if before else gc.disable)()
