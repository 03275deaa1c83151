"""model.json: what using a trained network takes, beside the weights and in their metadata."""

import dataclasses
import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from scipy.stats import binomtest

import convarium
from convarium.cli import main
from convarium.errors import DamageError, StoreError
from convarium.intervals import accuracy_interval
from convarium.recipes.recipe import Recipe
from convarium.runs.checked_values import UnknownFieldError
from convarium.runs.model_facts import facts_of_weights, parse_model_facts, preprocessing_from_json, without_paths
from convarium.runs.quick_look import _is_at_chance
from convarium.runs.stored_run import StoredRun
from seals import mend_seal

FLAGS = ("--dataset", "folder:photos", "--resize", "28", "--fit", "pad", "--ground", "gray", "--epochs", "1",
         "--batch-size", "8")  # fmt: skip
"""Of the command that trains the run below."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A run on images of 16 bits in three classes, with a relative path and a ground of its own."""
    folder = tmp_path_factory.mktemp("own")
    generator = np.random.default_rng(0)
    for label, name in enumerate(("zebra", "ant", "cow")):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(10):
            pixels = generator.integers(4095, size=(9, 12 + label), dtype=np.uint16)
            pixels[0, 0] = 4095
            Image.fromarray(pixels).save(folder / "photos" / name / f"{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        recipe = Recipe(
            model="lenet", dataset="folder:photos", resize=28, fit="pad", ground="gray", epochs=1, batch_size=8
        )
        return convarium.train(recipe, store=folder / "store")


def facts_of(run: StoredRun) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((run.path / "model.json").read_text("utf-8"))
    return facts


def test_a_run_says_how_images_become_its_input(trained: StoredRun) -> None:
    facts = facts_of(trained)
    assert (facts["model"], facts["run"], facts["dataset"]) == ("lenet", trained.key, "folder:photos")
    assert facts["data_path"] == str(trained.path.parent.parent.parent / "photos")
    assert facts["data_license"] is None
    expected = {
        "class_names": ["ant", "cow", "zebra"], "channels": 1, "height": 28, "width": 28, "fit": "pad",
        "ground": [128, 128, 128], "white": 4095, "resize": None, "filter": "BILINEAR",
    }  # fmt: skip
    assert {name: facts["preprocessing"][name] for name in expected} == expected
    splits = convarium.load_data(
        f"folder:{trained.path.parent.parent.parent / 'photos'}", resize=28, fit="pad", ground="gray"
    )
    assert (tuple(facts["preprocessing"]["mean"]), tuple(facts["preprocessing"]["std"])) == (splits.mean, splits.std)
    assert trained.preprocessing().image == splits.train.spec


def test_the_accuracy_comes_with_its_interval(trained: StoredRun) -> None:
    test, accuracy = trained.outcome.test, facts_of(trained)["accuracy"]
    interval = accuracy_interval(test.accuracy, test.n)
    assert accuracy == {
        "split": "test", "value": test.accuracy, "low": interval.low, "high": interval.high, "n": test.n,
        "at_chance": True,
    }  # fmt: skip
    assert interval.low <= test.accuracy <= interval.high


def test_a_run_at_chance_says_so_wherever_its_score_stands(
    trained: StoredRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pixels are noise, and its three classes are equally large."""
    folder = trained.path.parent.parent
    monkeypatch.chdir(folder.parent)
    workspace = convarium.Workspace(folder)
    assert repr(trained).endswith(f"of {trained.outcome.test.n} images, at chance)")
    assert [entry.state for entry in workspace.list_runs()] == ["at chance"]
    assert workspace.predictor(trained.key).notes == (f"{trained.path.name} ended at chance: its answers are guesses",)
    sentence = "at chance: it does no better than always naming the largest class"
    for words in (["evaluate", trained.key, "--split", "train"], ["train", "lenet", *FLAGS]):
        main([*words, "--store", str(folder)])
        assert sentence in capsys.readouterr().out
        main([*words, "--store", str(folder), "--json"])
        assert json.loads(capsys.readouterr().out)["at_chance"] is True


def test_an_accuracy_of_an_older_file_does_not_say_whether_it_is_at_chance(trained: StoredRun) -> None:
    facts = facts_of(trained)
    del facts["accuracy"]["at_chance"]
    assert parse_model_facts(json.dumps(facts), "it") == facts
    with pytest.raises(UnknownFieldError, match="its accuracy has an unknown field 'mood'"):
        parse_model_facts(json.dumps(facts | {"accuracy": {"mood": "good"}}), "it")


def test_the_weights_hold_the_same_as_metadata_without_naming_a_folder_of_this_machine(trained: StoredRun) -> None:
    with safe_open(trained.path / "weights.safetensors", "pt") as file:
        found = json.loads(file.metadata()["convarium"])
    assert found == facts_of(trained) | {"data_path": None}
    for dataset, expected in (
        ("folder:/home/somebody/photos/", "folder:photos"), ("csv:../a/b.csv", "csv:b.csv"), ("mnist", "mnist"),
    ):  # fmt: skip
        passed_on = without_paths(facts_of(trained) | {"dataset": dataset})
        assert (passed_on["dataset"], passed_on["data_path"]) == (expected, None)


def test_published_images_are_stretched_onto_white_and_have_terms_of_use(tmp_path: Path) -> None:
    run = convarium.train("lenet", epochs=1, resize=16, normalize="mean=0.5, std=0.25", store=tmp_path)
    facts, read = facts_of(run), run.preprocessing()
    assert facts["data_license"] == "CC BY 4.0"
    assert facts["data_path"] is None
    assert (read.fit, read.ground, read.white) == ("stretch", (255, 255, 255), None)
    assert (read.height, read.width, read.resize) == (28, 28, 16)
    assert (read.mean, read.std) == ((0.5,), (0.25,))
    assert read.image == run.outcome.image


def test_images_that_have_the_size_already_are_not_resized(tmp_path: Path) -> None:
    recipe = Recipe(model="lenet", epochs=1, resize=28)
    outcome = convarium.fit(recipe, convarium.load_data("digits", resize=28))
    assert outcome.preprocessing.resize is None


def test_pixels_of_more_than_8_bits_in_arrays_have_their_white_too(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    images = generator.random((40, 12, 12))
    np.savez(tmp_path / "a.npz", x=images, y=np.arange(40) % 2)
    run = convarium.train(
        "lenet", dataset=f"npz:{tmp_path / 'a.npz'}", resize=28, epochs=1, batch_size=8, store=tmp_path
    )
    read = run.preprocessing()
    assert (read.white, read.height, read.width, read.resize) == (1, 12, 12, 28)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no umask of files")
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_files_of_a_run_have_the_mode_that_the_umask_gives(trained: StoredRun, tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        run = convarium.train("lenet", epochs=1, store=tmp_path)
    finally:
        os.umask(before)
    for name in ("weights.safetensors", "model.json", "outcome.json", "predictions.npz"):
        assert stat.S_IMODE((run.path / name).stat().st_mode) == 0o666 & ~mask, name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("class_names", []), ("class_names", "ab"), ("class_names", [1]), ("channels", 2), ("channels", True),
        ("height", 0), ("height", 28.0), ("width", 2**40), ("fit", 7), ("fit", "sideways"), ("filter", "LANCZOS"),
        ("ground", [255, 255]), ("ground", [256, 0, 0]), ("ground", None), ("white", 0), ("white", "1"),
        ("resize", 0), ("mean", []), ("mean", [0.1, 0.1]), ("mean", ["x"]), ("mean", [10**400]), ("mean", 0.5),
        ("std", [0.0]), ("std", [-1.0]), ("std", [True]),
    ],
)  # fmt: skip
def test_what_preprocessing_cannot_be_is_not_believed_with_any_digest(
    trained: StoredRun, tmp_path: Path, field: str, value: object
) -> None:
    values = facts_of(trained)["preprocessing"]
    preprocessing_from_json(values)
    with pytest.raises(ValueError, match=field):
        preprocessing_from_json(values | {field: value})
    with pytest.raises(ValueError, match=f"no {field}"):
        preprocessing_from_json({name: old for name, old in values.items() if name != field})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": 1}, "model is not a text"),
        ({"data_path": 1}, "data_path is not a text"),
        ({"accuracy": {"value": 2}}, "accuracy is not one with its interval"),
        ({"accuracy": 0.5}, "accuracy is not one with its interval"),
        ({"preprocessing": []}, "preprocessing is not a record"),
    ],
)
def test_facts_are_checked_field_by_field(trained: StoredRun, change: dict[str, object], message: str) -> None:
    facts = facts_of(trained)
    assert parse_model_facts(json.dumps(facts), "it") == facts
    with pytest.raises(ValueError, match=message):
        parse_model_facts(json.dumps(facts | change), "it")
    with pytest.raises(ValueError, match="does not describe"):
        parse_model_facts("[]", "it")
    with pytest.raises(ValueError, match="it has no run"):
        parse_model_facts(json.dumps({name: value for name, value in facts.items() if name != "run"}), "it")


def test_a_newer_description_is_not_damaged(trained: StoredRun) -> None:
    content, seal = (trained.path / "model.json").read_bytes(), (trained.path / "outcome.json").read_bytes()
    again = dataclasses.replace(trained, files={})
    assert again.preprocessing() is None
    for change, kind in (({"mood": "good"}, StoreError), ({"accuracy": 7}, DamageError)):
        (trained.path / "model.json").write_text(json.dumps(facts_of(trained) | change))
        mend_seal(trained.path)
        with pytest.raises(kind, match=r"model\.json") as raised:
            convarium.Store(trained.path.parent.parent).run(trained.key).preprocessing()
        assert type(raised.value) is kind
        (trained.path / "model.json").write_bytes(content)
    (trained.path / "outcome.json").write_bytes(seal)


@pytest.mark.parametrize(("right", "n"), [(120, 120), (119, 120), (60, 120), (0, 120), (9_873, 10_000)])
def test_an_accuracy_has_the_exact_binomial_interval(right: int, n: int) -> None:
    found, expected = accuracy_interval(right / n, n), binomtest(right, n).proportion_ci(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_facts_of_weights_of_others_can_be_read_too(trained: StoredRun) -> None:
    facts = facts_of_weights(Recipe(model="lenet", dataset="mnist"), trained.preprocessing())
    assert (facts["run"], facts["accuracy"]) == (None, None)
    again = parse_model_facts(json.dumps(facts), "it")
    assert preprocessing_from_json(again["preprocessing"]) == trained.preprocessing()


def test_what_was_noted_of_the_images_stands_in_the_record_and_in_every_table(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for number in range(10):
            image = Image.fromarray(generator.integers(256, size=(12, 12, 4), dtype=np.uint8))
            image.save(tmp_path / "own" / name / f"{number}.png")
        (tmp_path / "own" / name / "notes.txt").write_text("no image")
    (tmp_path / "own" / "a" / "3.png").write_bytes(b"broken")
    result = convarium.compare(
        ["lenet"], seeds=1, dataset=f"folder:{tmp_path / 'own'}", resize=28, skip_broken=True, epochs=1, batch_size=4,
        store=tmp_path, name="study",
    )  # fmt: skip
    (run,) = result.runs
    outcome = convarium.find_run(run.key, store=tmp_path).outcome
    assert (outcome.unreadable_images, outcome.passed_over_files) == (1, 2)
    results = convarium.results("study", store=tmp_path)
    notes = (*results.warnings, *results.notes)
    dataset = run.recipe.dataset
    assert f"1 image of {dataset} could not be read and was left out." in notes
    assert any(note.startswith(f"About the images of {dataset}: files passed over: 2 TXT") for note in notes)
    assert any("with transparent pixels, which lie on white" in note for note in notes)
    assert not any("3.png" in note for note in notes)


def test_a_list_of_runs_passes_over_scores_of_no_images() -> None:
    none = {"n": 0, "confusion": [[0]], "per_class": {"0": 0.0}}
    some = {"n": 60, "confusion": [[30, 0], [30, 0]], "per_class": {"0": 1.0, "1": 0.0}}
    assert _is_at_chance({"test": none, "train": None}) is False
    assert _is_at_chance({"test": none, "validation": some}) is True
