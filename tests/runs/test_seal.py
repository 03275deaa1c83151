"""The seal: every change of a run's files is named, with a digest of its own, or harmless; old seals are told apart."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convarium.disk import write_json
from convarium.errors import DamageError, StoreError
from convarium.metrics import scores
from convarium.models.describe import describe
from convarium.recipes.recipe import Recipe
from convarium.records import Cost, Environment, Epoch, ImageSpec, Outcome, Preprocessing
from convarium.runs.files import write_predicted
from convarium.runs.json_forms import outcome_from_json, outcome_to_json
from convarium.runs.listing import list_runs
from convarium.runs.seal import SEAL, sealed_text
from convarium.runs.store import Store, StudyRecord
from convarium.runs.stored_run import StoredRun, read_run
from convarium.studies.compare import compare_study
from flipped_bits import answers_of, flip_bits
from made_studies import save_study
from seals import age_seal, mend_seal

RECIPE = Recipe(model="lenet@d2l", epochs=2, watch_test=True)
LOGITS = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
LABELS = np.arange(12) % 3
SCORES = scores(LOGITS, LABELS, ["cat", "dog", "bird"])
ROWS = tuple(Epoch(n, 3 * n, 0.1, 2.0, 0.5, 1.0, 0.75, 1.5, 0.25, 0.25) for n in (1, 2))
OUTCOME = Outcome(
    status="finished",
    history=ROWS,
    environment=Environment("0.2.0", "3.11", "2.13", "Linux", "a processor", "cpu", 2, ("a",), "abc", "2026-01-01"),
    cost=Cost(10, 20, 1.0, 2.0, 3.0, 4),
    selected_epoch=2,
    train=SCORES,
    validation=SCORES,
    test=SCORES,
    image=ImageSpec(1, 28, 28, 3),
    network=describe("lenet@d2l", ImageSpec(1, 28, 28, 10)),
    preprocessing=Preprocessing(
        ("cat", "dog", "bird"),
        1,
        28,
        28,
        fit="stretch",
        ground=(255, 255, 255),
        white=None,
        resize=None,
        mean=(0.5,),
        std=(0.25,),
    ),
    step_loss=np.arange(6, dtype=np.float32),
    step_accuracy=np.linspace(0, 1, 6, dtype=np.float32),
    logits=LOGITS,
    labels=LABELS,
    weights={"w": torch.arange(6.0).reshape(2, 3)},
    skipped_steps=2,
    data_notes=("a folder is empty",),
    unreadable_images=3,
    passed_over_files=4,
    retried="its process was killed",
)


def finish(root: Path, outcome: Outcome = OUTCOME, recipe: Recipe = RECIPE) -> StoredRun:
    store, key = Store(root), recipe.key()
    path = store.begin(recipe, key)
    if recipe.watch_test:
        write_predicted(path, [(4, 4, 4), (12, 0, 0)])
    return store.finish(path, outcome)


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    return finish(tmp_path)


def test_every_field_of_an_outcome_comes_back(run: StoredRun) -> None:
    outcome = dataclasses.replace(OUTCOME, earlier=(OUTCOME.environment,))
    read = outcome_from_json(json.loads(json.dumps(outcome_to_json(outcome))), ROWS)
    for field in dataclasses.fields(Outcome):
        if field.compare and field.name != "message":
            assert getattr(read, field.name) == getattr(outcome, field.name) != field.default, field.name


def test_every_flipped_bit_is_named_or_changes_no_answer(run: StoredRun) -> None:
    counts = flip_bits(run.path, 25)
    assert counts["named"] >= 9 * 25 - 5  # bits of a file's line ends, for example, may be without meaning
    assert answers_of(run.path) == answers_of(run.path)


def test_every_flipped_bit_is_named_where_the_runs_of_a_study_are_listed(run: StoredRun) -> None:
    study = StudyRecord("s", "Why?", "model", "lenet@d2l", {}, (run.key,), 1)

    def listed(folder: Path) -> object:
        runs = Store(folder.parent.parent).runs_of(study)
        return [(one.key, one.recipe, one.outcome) for one in runs]

    assert flip_bits(run.path, 40, seed=1, answers=listed)["named"] >= 3 * 40  # recipe, history and seal are listed


def test_a_run_whose_key_was_changed_is_set_aside(run: StoredRun) -> None:
    recipe = values_of(run.path / "recipe.json")
    write_json(run.path / "recipe.json", recipe | {"key": "0" + recipe["key"][1:]})
    store = Store(run.path.parent.parent)
    with pytest.raises(DamageError, match=r"recipe\.json is damaged"):
        store.find(RECIPE, run.key)
    assert store.folder(RECIPE, run.key) == run.path


def values_of(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def single_changes(value: Any) -> Iterator[Any]:
    """The value with one of its parts changed, left out or added, in every place and of every kind."""
    if isinstance(value, dict):
        for name, item in value.items():
            for other in single_changes(item):
                yield value | {name: other}
            yield {n: v for n, v in value.items() if n != name}
        yield value | {"surplus": 1}
        return
    if isinstance(value, list):
        for number, item in enumerate(value):
            for other in single_changes(item):
                yield [*value[:number], other, *value[number + 1 :]]
            yield value[:number] + value[number + 1 :]
        yield [*value, 0]
    others = (None, -1, 0.5, 1e400, "x", [])
    yield from (other for other in others if other != value or type(other) is not type(value))


def test_every_single_change_of_seal_and_recipe_is_named(run: StoredRun) -> None:
    for name in (SEAL, "recipe.json"):
        path = run.path / name
        content = path.read_bytes()
        changes = 0
        for changed in single_changes(values_of(path)):
            path.write_text(json.dumps(changed))
            with pytest.raises(StoreError, match=name):
                read_run(run.path).verify()
            changes += 1
        assert changes > 100
        path.write_bytes(content)
    read_run(run.path).verify()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("accuracy", -1, "accuracy cannot be -1"),
        ("accuracy", 0.999, "accuracy is not that of its confusion matrix"),
        ("accuracy", 1.5, "accuracy cannot be 1.5"),
        ("accuracy", True, "accuracy cannot be True"),
        ("loss", -0.5, "loss cannot be -0.5"),
        ("loss", None, "loss cannot be None"),
        ("loss", 10**400, "loss cannot be 1000"),
        ("n", 13, "n is not the number of images in its confusion matrix"),
        ("n", 12.0, "n cannot be 12.0"),
        ("per_class", {"cat": 0.5, "dog": 0.5, "bird": 0.5}, "per_class is not that of its confusion matrix"),
        ("per_class", {"cat": 2, "dog": 0.5, "bird": 0.5}, "per_class is not a table of shares"),
        ("per_class", [], "per_class is not a table of shares"),
        ("confusion", [[1, 2], [3, 4]], "confusion is not a matrix"),
        ("confusion", [[1.0, 0, 0], [0, 0, 0], [0, 0, 0]], "confusion is not a matrix"),
        ("confusion", [[-1, 0, 0], [0, 0, 0], [0, 0, 0]], "confusion is not a matrix"),
        ("confusion", 7, "confusion is not a matrix"),
    ],
)
def test_what_scores_cannot_be_is_not_believed_with_any_digest(
    run: StoredRun, field: str, value: object, message: str
) -> None:
    mend_seal(run.path, lambda seal: seal["test"].update({field: value}))
    with pytest.raises(DamageError, match=f"{SEAL} is damaged: test: {message}"):
        read_run(run.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "excellent"}, "status cannot be 'excellent'"),
        ({"selected_epoch": 3}, "selected_epoch is not one of 2 epochs"),
        ({"selected_epoch": 0}, "selected_epoch is not one of 2 epochs"),
        ({"message": 1}, "message is not a text"),
        ({"skipped_steps": -1}, "skipped_steps is not a number from 0 to 6"),
        ({"data_notes": "x"}, "data_notes is not a list of texts"),
        ({"data_notes": [1]}, "data_notes is not a list of texts"),
        ({"unreadable_images": -1}, "unreadable_images or passed_over_files is not a number of files"),
        ({"passed_over_files": 0.5}, "unreadable_images or passed_over_files is not a number of files"),
        ({"earlier": {}}, "earlier is not a list"),
        ({"skipped_steps": 10**6}, "skipped_steps is not a number from 0 to"),
        ({"cost": []}, "a list cannot be read as Cost"),
        ({"environment": {}}, "it has no convarium and no device"),
        ({"image": {"channels": 1, "height": 1, "width": 1, "classes": "3"}}, "classes cannot be '3'"),
        ({"kind": "poem"}, "its kind does not exist"),
        ({"files": {}}, "it names no recipe.json and history.jsonl"),
        ({"files": []}, "it has no digests of its files"),
        ({"files": {"recipe.json": "0"}}, "it has no digests of its files"),
    ],
)
def test_what_an_outcome_cannot_be_is_not_believed_with_any_digest(
    run: StoredRun, change: dict[str, object], message: str
) -> None:
    mend_seal(run.path, lambda seal: seal.update(change))
    with pytest.raises(DamageError, match=f"{SEAL} is damaged: .*{message}"):
        read_run(run.path)


@pytest.mark.parametrize(
    ("row", "change", "message"),
    [
        (1, {"epoch": 3}, "epoch 2 is missing, or out of order"),
        (1, {"steps": 2}, "epoch 2 is missing, or out of order"),
        (0, {"train_loss": None}, "a training loss of a finished run is not finite"),
        (0, {"train_accuracy": 2.0}, "epoch 1: train_accuracy cannot be 2.0"),
        (0, {"seconds": -1}, "epoch 1: seconds cannot be -1"),
        (0, {"learning_rate": "0.1"}, "epoch 1: learning_rate cannot be '0.1'"),
    ],
)
def test_what_a_history_cannot_be_is_not_believed_with_any_digest(
    run: StoredRun, row: int, change: dict[str, object], message: str
) -> None:
    path = run.path / "history.jsonl"
    rows = list(map(json.loads, path.read_text("utf-8").splitlines()))
    rows[row].update(change)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    mend_seal(run.path)
    with pytest.raises(DamageError, match=message):
        read_run(run.path)


@pytest.mark.parametrize("name", ["weights.safetensors", "predictions.npz", "predicted.jsonl", "network.json"])
def test_a_list_of_files_that_lacks_one_hides_nothing(run: StoredRun, name: str) -> None:
    mend_seal(run.path, lambda seal: seal["files"].pop(name))
    with pytest.raises(DamageError, match=f"{SEAL} is damaged: {name} is not among its files"):
        read_run(run.path)
    mend_seal(run.path, lambda seal: seal.update(kind="record"))
    with pytest.raises(DamageError, match=f"{name} is not a file of this run"):
        read_run(run.path)


def test_a_whole_run_of_before_has_no_description_of_its_model(run: StoredRun) -> None:
    mend_seal(run.path, lambda seal: seal["files"].pop("model.json"))
    with pytest.raises(DamageError, match=r"model\.json is not a file of this run"):
        read_run(run.path)
    (run.path / "model.json").unlink()
    before = read_run(run.path)
    before.verify()
    assert (before.model_facts(), before.preprocessing()) == (None, None)
    assert before.weights()


def test_a_surplus_file_is_damage(run: StoredRun) -> None:
    mend_seal(run.path, lambda seal: seal["files"].update({"../notes.txt": "0" * 64}))
    with pytest.raises(DamageError, match=r"\.\./notes.txt is not a file of this run"):
        read_run(run.path)


def test_the_predicted_classes_of_a_finished_run_have_a_row_for_every_epoch(run: StoredRun) -> None:
    lines = (run.path / "predicted.jsonl").read_text().splitlines(keepends=True)
    for kept in (lines[:1], []):
        (run.path / "predicted.jsonl").write_text("".join(kept))
        mend_seal(run.path)
        with pytest.raises(DamageError, match=r"predicted\.jsonl is damaged: it has not a row for every epoch"):
            read_run(run.path).predicted()


def test_scores_that_are_not_those_of_the_predictions_are_not_believed(run: StoredRun) -> None:
    other = scores(LOGITS, (LABELS + 1) % 3, ["cat", "dog", "bird"])
    made = finish(run.path.parent.parent / "other", dataclasses.replace(OUTCOME, test=other))
    for _ in range(2):  # also when it is asked again
        with pytest.raises(DamageError, match=r"the test scores in .*outcome\.json are not those of predictions\.npz"):
            made.predictions()
    with pytest.raises(DamageError, match=r"not those of predictions\.npz"):
        Store(made.path.parent.parent).find(RECIPE, RECIPE.key())


def test_a_shape_that_the_scores_do_not_have_is_told_before_anything_is_unpacked(run: StoredRun) -> None:
    for arrays in ({"logits": LOGITS[:, :2], "labels": LABELS}, {"logits": LOGITS}, {"logits": LOGITS, "labels": "x"}):
        np.savez_compressed(run.path / "predictions.npz", **arrays)
        mend_seal(run.path)
        with pytest.raises(DamageError, match=r"predictions\.npz is damaged: "):
            read_run(run.path).predictions()
    (run.path / "steps.npz").write_bytes(b"no zip")
    (run.path / "weights.safetensors").write_bytes(b"no tensors")
    (run.path / "network.json").write_text('{"root": ' + "[" * 100_000)
    (run.path / "predicted.jsonl").write_text('{"epoch": 2, "images": [1]}\n')
    mend_seal(run.path)
    for name in ("steps", "weights", "network", "predicted"):
        with pytest.raises(DamageError, match=f"{name}\\.[a-z]+ "):
            getattr(read_run(run.path), name)()


def test_a_record_without_weights_and_predictions_is_one_of_its_own_kind(tmp_path: Path) -> None:
    record = finish(tmp_path, dataclasses.replace(OUTCOME, weights=None, logits=None))
    assert values_of(record.path / SEAL)["kind"] == "record"
    assert (record.weights(), record.predictions()) == (None, None)
    assert record.outcome.test == SCORES
    (record.path / "weights.safetensors").write_bytes(b"somebody else's")
    with pytest.raises(DamageError, match=r"weights\.safetensors is not a file of this run"):
        read_run(record.path)


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_runs_that_did_not_finish_have_known_files_too(tmp_path: Path, status: Any) -> None:
    outcome = dataclasses.replace(OUTCOME, status=status, test=None, logits=None, selected_epoch=None)
    if status == "failed":
        nothing = dict.fromkeys(("network", "step_loss", "step_accuracy", "labels", "weights"))
        outcome = dataclasses.replace(outcome, **nothing)
    made = finish(tmp_path, outcome)
    assert values_of(made.path / SEAL)["kind"] == "run"
    made.verify()
    assert made.predictions() is None


def test_files_of_an_earlier_attempt_are_gone_when_the_run_is_sealed(run: StoredRun) -> None:
    (run.path / SEAL).unlink()
    failed = Outcome("failed", (), OUTCOME.environment, message="out of luck")
    store = Store(run.path.parent.parent)
    made = store.finish(run.path, failed)
    assert not (made.path / "weights.safetensors").exists()
    made.verify()


def test_a_seal_of_an_older_version_is_read_and_told_apart(run: StoredRun) -> None:
    assert run.has_digest
    age_seal(run.path)
    old = read_run(run.path)
    assert not old.has_digest
    assert old.outcome == run.outcome
    old.verify()
    seal = values_of(run.path / SEAL)
    for change in ({"files": {}}, {"files": seal["files"] | {"weights.safetensors": "0" * 64}}, {"surplus": 1}):
        write_json(run.path / SEAL, seal | change)
        with pytest.raises(DamageError):
            read_run(run.path).verify()
    del seal["files"]["weights.safetensors"]
    write_json(run.path / SEAL, seal)
    with pytest.raises(DamageError, match=r"weights\.safetensors is not a file of this run"):
        read_run(run.path)


def test_where_an_old_seal_is_shown_it_is_told(run: StoredRun) -> None:
    store = Store(run.path.parent.parent)
    save_study(store, StudyRecord("s", "Why?", "model", "lenet@d2l", RECIPE.to_json(), (run.key,), 1))
    assert not any("digest" in note for note in compare_study(store.study("s"), store).notes)
    (entry,) = list_runs(store)
    assert entry.reason is None
    age_seal(run.path)
    fresh = Store(store.root)
    (note,) = [note for note in compare_study(fresh.study("s"), fresh).notes if "digest" in note]
    assert note.startswith("The records of 1 of 1 run were made by an older Convarium and have no digest of their own")
    (entry,) = list_runs(fresh)
    assert entry.reason == "no digest of its own"


def test_a_studys_record_has_a_digest_and_one_without_is_read(run: StoredRun) -> None:
    store = Store(run.path.parent.parent)
    study = StudyRecord("s", "Why?", "model", "lenet@d2l", {"epochs": 2}, (run.key,), 1)
    path = save_study(store, study) / "study.json"
    assert store.study("s") == study
    text = path.read_text("utf-8")
    path.write_text(text.replace("Why?", "Who?"))
    with pytest.raises(StoreError, match=r"study\.json is damaged, or was changed by hand"):
        store.study("s")
    path.write_text("".join(line for line in text.splitlines() if "digest" not in line).replace(",}", "}"))
    assert store.study("s") == study


def test_a_newer_versions_record_is_not_damaged(run: StoredRun) -> None:
    for change in ({"mood": "good"}, {"environment": dataclasses.asdict(OUTCOME.environment) | {"mood": "good"}}):
        mend_seal(run.path, lambda seal, change=change: seal.update(change))
        with pytest.raises(StoreError, match="unknown field 'mood'; update Convarium") as raised:
            read_run(run.path)
        assert not isinstance(raised.value, DamageError)
        mend_seal(run.path, lambda seal: seal.pop("mood", None))


def test_nothing_is_nested_too_deeply_to_be_told(run: StoredRun) -> None:
    for name in (SEAL, "recipe.json", "history.jsonl"):
        path = run.path / name
        content = path.read_bytes()
        for text in ("[" * 200_000 + "]" * 200_000, "[]", "7", '"x"', "null"):
            path.write_text(text)
            if name != SEAL:
                mend_seal(run.path)
            with pytest.raises(DamageError, match=name):
                read_run(run.path)
        path.write_bytes(content)
        if name != SEAL:
            mend_seal(run.path)


@pytest.mark.parametrize("classes", [100, 101, 1000])
def test_a_confusion_matrix_of_many_classes_is_stored_without_its_zeros(tmp_path: Path, classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 2000)
    found = scores(rng.normal(size=(2000, classes)).astype(np.float32), labels, map(str, range(classes)))
    outcome = dataclasses.replace(OUTCOME, train=None, validation=None, test=found, logits=None)
    made = finish(tmp_path, outcome)
    assert made.outcome.test == found
    size = (made.path / SEAL).stat().st_size
    assert size < 100_000  # 1,000 dense classes were 7 MB a split
    if classes == 1000:
        dense = found.confusion
        mend_seal(made.path, lambda seal: seal["test"].update(confusion=dense))
        assert read_run(made.path).outcome.test == found
        for wrong in ([[0, 1000, 1]], [[0, 0]], [[0, 0, -1]]):
            mend_seal(made.path, lambda seal, wrong=wrong: seal["test"].update(confusion=wrong))
            with pytest.raises(DamageError, match="confusion is not a matrix"):
                read_run(made.path)


def test_a_sealed_text_says_what_it_was_given_and_notices_any_other_byte() -> None:
    values = {"a": [1.5, None, "é\n"], "digestible": '"digest": ""'}
    text = sealed_text(values)
    assert {name: value for name, value in json.loads(text).items() if name != "digest"} == values
    with pytest.raises(ValueError, match="JSON compliant"):
        sealed_text({"a": float("nan")})
