"""Other images than a run's own are scored with the run's preprocessing, and their classes are matched by name."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import convarium
from convarium.data.image_files import ImageForm
from convarium.data.new_images import find_new_images
from convarium.diagnostics import Diagnosis, diagnose
from convarium.errors import ConvariumError, DataError, SpecError, WeightsError
from convarium.inference.new_data import class_numbers
from convarium.runs.store import Store
from convarium.runs.stored_run import StoredRun
from convarium.studies.resources import Resources

LEVELS = {"dark": 40, "gray": 120, "light": 200}
"""The mean level of each class: a network that does not see the true levels mistakes one class for another."""


def draw(folder: Path, levels: dict[str, int], *, n: int, seed: int = 0, side: int = 28) -> Path:
    """Images of noise around a level, a folder for each class."""
    generator = np.random.default_rng(seed)
    for name, level in levels.items():
        (folder / name).mkdir(parents=True)
        for number in range(n):
            pixels = generator.integers(level - 30, level + 30, size=(side, side), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("new")


@pytest.fixture(scope="module")
def run(root: Path) -> StoredRun:
    """It tells the levels apart on images that are unlike those of any other folder here: a third is dark."""
    draw(root / "own", LEVELS, n=40)
    trained = convarium.train(
        "lenet", dataset=f"folder:{root / 'own'}", epochs=12, batch_size=16, learning_rate=0.05, store=root / "store"
    )
    assert trained.outcome.test is not None
    assert trained.outcome.test.accuracy == 1.0
    return trained


def evaluate(run: StoredRun, dataset: str, **options: Any) -> tuple[Any, list[str]]:
    notes: list[str] = []
    scores = convarium.evaluate(
        str(run.path), dataset=dataset, on_note=notes.append, store=run.path.parent.parent, **options
    )
    return scores, notes


def test_new_images_are_normalized_by_the_runs_statistics(run: StoredRun, root: Path) -> None:
    # By its own mean and deviation a folder of dark images alone would look like one of all levels.
    folder = draw(root / "dark", {"dark": 40}, n=25, seed=1)
    scores, notes = evaluate(run, f"folder:{folder}")
    assert (scores.accuracy, scores.n) == (1.0, 25)
    assert list(scores.per_class.items()) == [("dark", 1.0), ("gray", None), ("light", None)]
    assert notes == [
        f"the images are preprocessed as in the training of {run.path.name}: its size, mean, deviation and order of "
        "classes",
        f"folder:{folder} is not divided into splits: all of its images are scored",
    ]


def test_new_images_are_brought_to_the_runs_size(run: StoredRun, root: Path) -> None:
    folder = draw(root / "large", LEVELS, n=5, seed=2, side=50)
    scores, _ = evaluate(run, f"folder:{folder}")
    assert (scores.accuracy, scores.n) == (1.0, 15)


def test_classes_are_matched_by_name_whatever_their_order(run: StoredRun, root: Path) -> None:
    folder = draw(root / "two", {"light": 200, "dark": 40}, n=5, seed=3)
    (folder / "dark").rename(folder / "zzz")
    with pytest.raises(DataError) as raised:
        evaluate(run, f"folder:{folder}")
    assert str(raised.value) == (
        f"folder:{folder} has the class 'zzz', which the network does not know, and no images of 'dark', 'gray'; "
        "classes are matched by name; the network knows 'dark', 'gray', 'light'"
    )
    (folder / "zzz").rename(folder / "dark")
    assert evaluate(run, f"folder:{folder}")[0].accuracy == 1.0
    rows = [f"{name}/{number:03}.png,{name}" for name in ("light", "dark") for number in range(5)]
    (folder / "a.csv").write_text("path,label\n" + "\n".join(rows))
    assert evaluate(run, f"csv:{folder / 'a.csv'}")[0].accuracy == 1.0


def test_of_divided_images_one_split_is_scored(run: StoredRun, root: Path) -> None:
    folder = root / "divided"
    for number, (split, n) in enumerate({"Train": 4, "valid": 2, "test": 1}.items()):
        draw(folder / split, LEVELS, n=n, seed=number)
    for split, n in (("train", 12), ("validation", 6), ("test", 3)):
        scores, notes = evaluate(run, f"folder:{folder}", split=split)
        assert (scores.accuracy, scores.n) == (1.0, n)
        assert len(notes) == 1
    shutil.rmtree(folder / "test")
    with pytest.raises(DataError, match=r"has no test images: expected train, validation; use --split train"):
        evaluate(run, f"folder:{folder}")
    rows = [f"Train/{name}/000.png,{name},train\nTrain/{name}/001.png,{name},test" for name in LEVELS]
    (folder / "a.csv").write_text("path,label,split\n" + "\n".join(rows))
    assert evaluate(run, f"csv:{folder / 'a.csv'}")[0].n == 3
    with pytest.raises(DataError, match=r"has no validation images"):
        evaluate(run, f"csv:{folder / 'a.csv'}", split="validation")


def test_arrays_are_scored_too(run: StoredRun, root: Path) -> None:
    generator = np.random.default_rng(5)
    labels = np.array(["dark", "light"] * 300)
    images = np.array([[40, 200][number % 2] for number in range(600)])[:, None, None, None]
    images = (images + generator.integers(-30, 30, size=(600, 30, 30, 3))).astype(np.uint8)
    np.savez(root / "a.npz", x=images, y=labels)
    scores, notes = evaluate(run, f"npz:{root / 'a.npz'}")
    assert (scores.accuracy, scores.n) == (1.0, 600)
    assert len(notes) == 2
    np.savez(root / "b.npz", x_train=images, y_train=labels, x_test=images[:7] / 255, y_test=labels[:7])
    scores, notes = evaluate(run, f"npz:{root / 'b.npz'}")
    assert (scores.accuracy, scores.n) == (1.0, 7)
    np.savez(root / "test.npz", x_test=images[:5], y_test=labels[:5])
    assert evaluate(run, f"npz:{root / 'test.npz'}")[0].n == 5
    np.savez(root / "c.npz", x=images[:7] / 255, y=labels[:7])
    scores, notes = evaluate(run, f"npz:{root / 'c.npz'}")
    assert scores.accuracy == 1.0
    assert "pixels are read with 1 as white" in notes


def test_a_csv_file_of_pixels_and_published_images_have_digits_as_classes(tmp_path: Path) -> None:
    run = convarium.train("lenet", epochs=1, store=tmp_path)
    test = convarium.load_data("digits").test
    header = "label," + ",".join(f"pixel{i}" for i in range(784))
    rows = [f"{label},{','.join(map(str, image.flatten().tolist()))}" for image, label in zip(*_few(test), strict=True)]
    (tmp_path / "a.csv").write_text("\n".join([header, *rows]))
    scores, _ = evaluate(run, f"csv:{tmp_path / 'a.csv'}")
    logits, labels = run.predictions() or pytest.fail("no predictions")
    assert scores.n == 20
    assert scores.accuracy == float((logits[:20].argmax(1) == labels[:20]).mean())
    assert evaluate(run, "digits")[0] == run.outcome.test
    assert evaluate(run, "digits", split="validation")[0] == run.outcome.validation


def _few(data: Any) -> tuple[Any, Any]:
    return data.images[:20], data.labels[:20].tolist()


def test_a_folder_that_has_grown_is_refused_with_the_way_to_score_it(run: StoredRun, root: Path) -> None:
    folder = Path(run.recipe.dataset.removeprefix("folder:"))
    draw(root / "more", {"dark": 40}, n=3, seed=9)
    for number in range(3):
        shutil.copy(root / "more/dark" / f"{number:03}.png", folder / "dark" / f"more{number}.png")
    try:
        with pytest.raises(DataError, match=f"as new data: convarium evaluate {run.key[:8]} --dataset folder:"):
            convarium.evaluate(str(run.path), store=root / "store")
        scores, notes = evaluate(run, run.recipe.dataset)
        assert scores.n == 123
        assert "these are the run's own files: images that it has learned from may be among" in notes[1]
    finally:
        for number in range(3):
            (folder / "dark" / f"more{number}.png").unlink()


def test_the_runs_own_images_in_another_place_are_known(run: StoredRun, root: Path) -> None:
    shutil.copytree(run.recipe.dataset.removeprefix("folder:"), root / "moved")
    _, notes = evaluate(run, f"folder:{root / 'moved'}")
    assert "these are the images that the run was made with, in another place: it has learned from some" in notes[-1]
    (root / "moved" / "dark" / "000.png").unlink()
    assert "learned from" not in " ".join(evaluate(run, f"folder:{root / 'moved'}")[1])


def test_images_that_may_be_the_runs_own_are_named_where_they_were_moved_and_changed(
    run: StoredRun, root: Path
) -> None:
    place = Path(run.recipe.dataset.removeprefix("folder:"))
    draw(root / "elsewhere" / "own", LEVELS, n=2, seed=5)
    draw(root / "other", LEVELS, n=2, seed=6)
    may_be = f"the images that the run was made with lay in {place}: if these are from there, it has learned from some"
    assert may_be in evaluate(run, f"folder:{root / 'elsewhere' / 'own'}")[1][-1]
    assert "learned from" not in " ".join(evaluate(run, f"folder:{root / 'other'}")[1])
    place.rename(root / "gone")
    try:
        assert may_be in evaluate(run, f"folder:{root / 'other'}")[1][-1]
    finally:
        (root / "gone").rename(place)
    for name, is_named in (("elsewhere/own", True), ("other", False)):
        notes: list[str] = []
        weights = run.path / "weights.safetensors"
        convarium.evaluate(weights=weights, dataset=f"folder:{root / name}", on_note=notes.append)
        assert ("the weights were trained on images in 'own': if these are from there" in " ".join(notes)) is is_named


def test_unreadable_images_are_all_named_or_left_out_and_counted(run: StoredRun, root: Path) -> None:
    folder = draw(root / "broken", LEVELS, n=3, seed=4)
    for name in ("dark", "light"):
        (folder / name / "001.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"cannot read 2 of 9 images: .*dark/001.png .*light/001.png .*--skip-broken"):
        evaluate(run, f"folder:{folder}")
    scores, notes = evaluate(run, f"folder:{folder}", skip_broken=True)
    assert scores.n == 7
    assert notes[-1].startswith("left out since they cannot be read: 2 of 9 images")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no folder"),
        (lambda path: path.mkdir(), "has no classes"),
        (lambda path: (path / "empty").mkdir(parents=True), "has no classes: .*convarium predict RUN"),
    ],
)
def test_a_folder_without_labeled_images_is_one_sentence(tmp_path: Path, make: Any, message: str) -> None:
    make(tmp_path / "new")
    with pytest.raises(DataError, match=message):
        find_new_images(f"folder:{tmp_path / 'new'}", ImageForm(1, 28, 28))


def test_values_beyond_the_runs_white_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.full((3, 8, 8), 5000, np.uint16), y=np.arange(3))
    with pytest.raises(DataError, match="values from 5000 to 5000, where white is 4,095"):
        find_new_images(f"npz:{tmp_path / 'a.npz'}", ImageForm(1, 8, 8, white=4095))
    found = find_new_images(f"npz:{tmp_path / 'a.npz'}", ImageForm(1, 8, 8, white=65535))
    assert found.notes == ()
    assert next(found.batches())[0].max() == 5000 * 256 // 65536


def test_many_unknown_classes_are_counted() -> None:
    theirs = [f"class {number}" for number in range(20)]
    with pytest.raises(DataError, match=r"the classes 'class 0', .* \(20 in all\), which the network does not know"):
        class_numbers("folder:x", theirs, ["a", "b"])


def test_weights_are_scored_with_the_preprocessing_in_their_metadata(run: StoredRun, root: Path) -> None:
    folder = draw(root / "dark again", {"dark": 40}, n=5, seed=6)
    file = root / "elsewhere.safetensors"
    shutil.copy(run.path / "weights.safetensors", file)
    notes: list[str] = []
    scores = convarium.evaluate(weights=file, dataset=f"folder:{folder}", on_note=notes.append)
    assert (scores.accuracy, scores.n) == (1.0, 5)
    assert "as in the training of new" in notes[0] or "elsewhere.safetensors: its size" in notes[0]
    assert convarium.evaluate(weights=file, model="lenet", dataset=f"folder:{folder}") == scores
    with pytest.raises(
        SpecError, match=r"elsewhere.safetensors belongs to lenet, not to memory_mlp; leave out --model"
    ):
        convarium.evaluate(weights=file, model="memory_mlp", dataset=f"folder:{folder}")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", WeightsError, "metadata of .*bad.safetensors cannot be read: .*not JSON"),
        ("[" * 100_000, WeightsError, "metadata of .*bad.safetensors cannot be read"),
        ("[]", WeightsError, "it does not describe a trained network"),
        ('{"mood": 1}', WeightsError, "unknown field 'mood'"),
        (None, ConvariumError, "evaluate needs model and dataset beside weights"),
    ],
)
def test_metadata_that_cannot_be_believed_are_one_sentence(
    run: StoredRun, tmp_path: Path, text: str | None, error: type[Exception], message: str
) -> None:
    metadata = {} if text is None else {"convarium": text}
    save_file(load_file(run.path / "weights.safetensors"), tmp_path / "bad.safetensors", metadata)
    with pytest.raises(error, match=message):
        convarium.evaluate(weights=tmp_path / "bad.safetensors", dataset="digits")


def test_metadata_that_name_code_run_none_of_it(run: StoredRun, tmp_path: Path, monkeypatch: Any) -> None:
    facts = run.model_facts() or {}
    facts["model"] = "evil_module:net"
    (tmp_path / "evil_module.py").write_text("raise SystemExit('it was run')")
    monkeypatch.chdir(tmp_path)
    import json

    tensors = load_file(run.path / "weights.safetensors")
    save_file(tensors, tmp_path / "evil.safetensors", {"convarium": json.dumps(facts)})
    with pytest.raises(SpecError, match="belongs to evil_module:net, code of which none was run; add --model"):
        convarium.evaluate(weights=tmp_path / "evil.safetensors", dataset="digits")


def test_weights_without_metadata_say_whose_preprocessing_is_used(tmp_path: Path) -> None:
    run = convarium.train("lenet", epochs=1, store=tmp_path)
    torch.save(run.weights(), tmp_path / "w.pt")
    notes: list[str] = []
    convarium.evaluate(weights=tmp_path / "w.pt", model="lenet", dataset="digits", on_note=notes.append)
    assert notes == [
        "the images are preprocessed with mean and deviation of digits: the weights do not say with which they were "
        "trained"
    ]


def test_a_runs_own_images_are_found_from_another_folder_by_their_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "here" / "photos", LEVELS, n=10)
    monkeypatch.chdir(tmp_path / "here")
    run = convarium.train("lenet", dataset="folder:photos", epochs=1, batch_size=8, store=tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert convarium.evaluate(run.key, store=tmp_path) == run.outcome.test
    exported = convarium.export(run.key, store=tmp_path, format="torch-export", out="lenet.pt2")
    assert exported.checked_on.startswith("test images of ")
    resources = Resources(Store(tmp_path))
    shown = resources.test_images(run)  # by the predictions of a page
    assert shown is not None
    assert len(shown[1]) == run.outcome.test.n
    assert isinstance(*diagnose({"lenet": [run]}, resources.splits, size=3), Diagnosis)
    (tmp_path / "here" / "photos").rename(tmp_path / "gone")
    with pytest.raises(DataError, match="there is no folder photos"):
        convarium.evaluate(run.key, store=tmp_path)
