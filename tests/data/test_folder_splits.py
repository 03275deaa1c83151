"""The folders of splits and classes are told apart as people name them; where they cannot be, nothing is guessed."""

import unicodedata

import pytest
import torch
from PIL import Image

from convarium.data import load_data
from convarium.data.folder_splits import split_of
from convarium.errors import DataError


def make(root, tree):
    """Images of one pixel each: {"train/cat": 3} makes three in that folder; all images differ."""
    for number, (folder, count) in enumerate(tree.items()):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.new("RGB", (2, 2), (number, i, 7 * i)).save(root / folder / f"{i}.png")
    return f"folder:{root}"


def sizes(splits):
    return [len(part) for part in (splits.train, splits.validation, splits.test)]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *((name, "train") for name in ("train", "Train", "TRAIN", "training", "train_set", "trainset", "Training Set")),
        ("train2017", "train"),
        ("train_1", "train"),
        ("val2017", "validation"),
        ("test1", "test"),
        *((name, "validation") for name in ("val", "valid", "Validation", "eval", "dev", "val_set", "valid-images")),
        *((name, "test") for name in ("test", "Testing", "TEST", "test_set", "test_data")),
        *((name, None) for name in ("trains", "cat", "images", "set", "", "value", "tests", "evaluations", "device")),
    ],
)
def test_the_names_that_people_give_to_splits(name, split):
    assert split_of(name) == split


@pytest.mark.parametrize("train", ["train", "Train", "training", "train_set"])
@pytest.mark.parametrize("test", ["test", "TEST", "testing"])
def test_train_and_test_in_any_spelling(tmp_path, train, test):
    splits = load_data(
        make(tmp_path, {f"{train}/cat": 10, f"{train}/dog": 10, f"{test}/cat": 3, f"{test}/dog": 2}), validation=4
    )
    assert sizes(splits) == [16, 4, 5]
    assert splits.train.class_names == ("cat", "dog")


@pytest.mark.parametrize("validation", ["val", "valid", "Validation", "eval", "dev"])
def test_a_validation_split_in_any_spelling_is_used(tmp_path, validation):
    tree = {f"{split}/{name}": n for split, n in (("train", 5), (validation, 3), ("test", 2)) for name in "ab"}
    assert sizes(load_data(make(tmp_path, tree))) == [10, 6, 4]


def test_train_and_validation_alone_draw_the_test_split_from_train_and_say_so(tmp_path):
    dataset = make(tmp_path, {"train/a": 10, "train/b": 10, "valid/a": 3, "valid/b": 4})
    splits = load_data(dataset)
    assert sizes(splits) == [16, 7, 4]
    assert splits.test.labels.tolist() == [0, 0, 1, 1]
    assert splits.notes == (
        "there is no folder test: a fixed fifth of every class of train is the test split, and is not trained on",
    )
    pixels = torch.cat([part.images for part in (splits.train, splits.validation, splits.test)]).flatten(1)
    assert len(pixels.unique(dim=0)) == 27


def test_another_folder_with_images_beside_the_splits_is_an_error_that_names_it(tmp_path):
    tree = {"train/a": 2, "train/b": 2, "test/a": 1, "test/b": 1}
    dataset = make(tmp_path, tree | {"extra/a": 1, "unlabeled": 1})
    with pytest.raises(
        DataError, match=r"has the splits test, train, and beside them images in extra, unlabeled; move"
    ):
        load_data(dataset)
    (tmp_path / "extra").rename(tmp_path / ".extra")
    (tmp_path / "unlabeled").rename(tmp_path / ".unlabeled")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").touch()
    assert load_data(dataset, validation=0).notes == ("files passed over: 1 TXT in labels",)


def test_two_folders_of_one_split_are_an_error(tmp_path):
    dataset = make(tmp_path, {f"{split}/{name}": 2 for split in ("train", "val", "valid") for name in "ab"})
    with pytest.raises(DataError, match=r"has two folders for the validation split: val and valid; put their images"):
        load_data(dataset)


def test_a_class_may_be_called_train(tmp_path):
    splits = load_data(make(tmp_path, {"bus": 5, "car": 5, "train": 5}))
    assert splits.train.class_names == ("bus", "car", "train")


def test_splits_without_classes_are_no_classes(tmp_path):
    with pytest.raises(
        DataError, match=r"test and train in .* hold images, but no folders of classes; put the images of"
    ):
        load_data(make(tmp_path, {"train": 5, "test": 5}))


@pytest.mark.parametrize("names", [("train", "test1"), ("train2017", "val2017")])
def test_splits_that_are_numbered_are_no_classes_either(tmp_path, names):
    """As Kaggle's cats and dogs and COCO come."""
    with pytest.raises(DataError, match=f"{names[1]} .*hold images, but no folders of classes"):
        load_data(make(tmp_path, dict.fromkeys(names, 5)))


def test_test_images_without_classes_are_named(tmp_path):
    with pytest.raises(DataError, match=r"has the splits train, valid, and beside them images in test"):
        load_data(make(tmp_path, {"train/a": 5, "train/b": 5, "valid/a": 1, "valid/b": 1, "test": 3}))


def test_a_split_that_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"has test and val, but no folder train; add train"):
        load_data(make(tmp_path, {f"{split}/{name}": 1 for split in ("val", "test") for name in "ab"}))
    with pytest.raises(
        DataError, match=r"a folder Train, but neither test nor val; add test.* or use folder:.*/Train "
    ):
        load_data(make(tmp_path / "other", {"Train/a": 5, "Train/b": 5}))
    assert sizes(load_data(f"folder:{tmp_path / 'other' / 'Train'}", validation=0)) == [8, 0, 2]


@pytest.mark.parametrize(
    "tree",
    [
        {"cat/images": 3, "cat/masks": 3, "dog/images": 3, "dog/masks": 3},
        {"cat": 3, "cat/masks": 3, "dog": 3, "dog/masks": 3},
        {"fold1/cat": 3, "fold1/dog": 3, "fold2/cat": 3, "fold2/dog": 3},
        {"images/cat": 3, "images/dog": 3, "masks/cat": 3, "masks/dog": 3},
        {"cat/train": 3, "cat/test": 3, "dog/train": 3, "dog/test": 3},
        {"cat/images": 3, "cat/masks": 3, "dog/images": 3},
        {"train/cat/images": 3, "train/cat/masks": 3, "train/dog/images": 3, "test/cat": 3, "test/dog": 3},
    ],
)
def test_folders_of_the_same_names_in_several_classes_are_refused(tmp_path, tree):
    with pytest.raises(DataError, match=r"hold folders of the same names: .*one kind of images in each class; move"):
        load_data(make(tmp_path, tree))


@pytest.mark.parametrize(
    "tree", [{"cat/images": 3, "dog/images": 3}, {"cat/indoors": 3, "cat": 2, "dog/outdoors": 3, "dog/at sea": 3}]
)
def test_folders_inside_a_class_that_leave_no_doubt_belong_to_it(tmp_path, tree):
    splits = load_data(make(tmp_path, tree), validation=0)
    assert splits.train.class_names == ("cat", "dog")
    assert sum(sizes(splits)) == sum(tree.values())


def test_names_that_differ_in_case_or_spaces_alone_are_told_of(tmp_path):
    splits = load_data(make(tmp_path, {"Cat": 5, "cat": 5, "dog ": 5, "dog": 5, "emu": 5}), validation=0)
    assert splits.train.class_names == ("Cat", "cat", "dog", "dog ", "emu")
    assert splits.notes[0] == (
        "names that differ in case or spaces alone are classes of their own: 'Cat' and 'cat', 'dog' and 'dog '"
    )


def test_an_archive_is_no_folder(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"there is no folder .*photos.zip; write folder:PATH .* classes, unpacked$"):
        load_data(f"folder:{tmp_path}/photos.zip")


def test_a_folder_in_a_folder_is_found(tmp_path):
    with pytest.raises(
        DataError, match=r"has 1 class: expected two folders or more.*; did you mean folder:.*/photos\?"
    ):
        load_data(make(tmp_path, {"photos/cat": 3, "photos/dog": 3}))


def test_accents_are_one_character_whatever_the_file_system_writes(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    tree = {f"train/{composed}": 3, "train/bar": 3, f"test/{decomposed}": 3, "test/bar": 3}
    assert load_data(make(tmp_path, tree)).train.class_names == ("bar", composed)
    tree = {f"train/{decomposed}": 3, f"train/{composed}": 3}
    with pytest.raises(DataError, match=r"has two folders 'café', written with different characters; put their images"):
        load_data(make(tmp_path, tree))


def test_large_images_are_refused_before_they_are_decoded(tmp_path):
    """A header is enough: these files hold nothing else that could be decoded."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.new("RGB", (8, 8)).save(tmp_path / name / f"{i}.bmp")
            raw = bytearray((tmp_path / name / f"{i}.bmp").read_bytes())
            raw[18:26] = (20_000).to_bytes(4, "little") + (8_000).to_bytes(4, "little")
            (tmp_path / name / f"{i}.bmp").write_bytes(raw)
    expected = (
        r"10 images of 20,000×8,000 pixels, the median size, would take 4.5 GiB: expected at most 1024.*--resize 224"
    )
    with pytest.raises(DataError, match=expected):
        load_data(f"folder:{tmp_path}")


def test_what_is_unexpected_about_a_folder_is_said_once_before_training(tmp_path, monkeypatch):
    from convarium.recipes.recipe import Recipe
    from convarium.runs.store import Store
    from convarium.studies.resources import Resources
    from convarium.studies.run import train_one

    dataset = make(tmp_path / "photos", {"a": 5, "b": 5})
    (tmp_path / "photos" / "a" / "notes.txt").touch()
    events = []
    recipe = Recipe(model="residual_mlp(hidden=2)", dataset=dataset, epochs=1, batch_size=8, validation=0)
    train_one(recipe, Resources(Store(tmp_path / "store")), on_event=events.append)
    assert [event.notice for event in events if event.notice] == ["files passed over: 1 TXT in a"]
    assert next(event.notice for event in events if not event.reading)
    assert events[0].reading == ("images", 10, 10)
