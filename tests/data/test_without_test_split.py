"""Images of one's own without a test split: none is drawn, and one that they come with is not read."""

import numpy as np
import pytest
from PIL import Image

from convarium.data import load_data
from convarium.errors import DataError, RecipeError
from convarium.recipes.recipe import Recipe


def make(root, tree):
    """Images of one pixel each: {"train/cat": 3} makes three in that folder; all images differ."""
    for number, (folder, count) in enumerate(tree.items()):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.new("RGB", (2, 2), (number, i, 7 * i)).save(root / folder / f"{i}.png")
    return f"folder:{root}"


def sizes(splits):
    return [len(part) for part in (splits.train, splits.validation, splits.test)]


NONE = "no images are held out for a test: all results are those of the validation images"


def test_no_test_split_is_drawn(tmp_path):
    dataset = make(tmp_path, {"a": 30, "b": 20})
    with_test, without = load_data(dataset), load_data(dataset, test="none")
    assert sizes(with_test) == [36, 4, 10]
    assert sizes(without) == [45, 5, 0]
    assert without.validation.labels.tolist() == [0, 0, 0, 1, 1]
    assert without.test.spec == without.train.spec
    assert without.digest != with_test.digest
    assert NONE in without.notes
    assert sizes(load_data(dataset, test="none", validation=20)) == [30, 20, 0]


def test_train_and_validation_alone_are_used_whole(tmp_path):
    dataset = make(tmp_path, {"train/a": 10, "train/b": 10, "valid/a": 3, "valid/b": 4})
    splits = load_data(dataset, test="none")
    assert sizes(splits) == [20, 7, 0]
    assert splits.notes == (NONE,)


def test_a_test_split_that_is_there_is_not_read(tmp_path):
    dataset = make(tmp_path, {"train/a": 20, "train/b": 20, "test/a": 3, "test/b": 4})
    (tmp_path / "test" / "a" / "0.png").write_bytes(b"broken")
    splits = load_data(dataset, test="none")
    assert sizes(splits) == [36, 4, 0]
    assert splits.notes == (f"{NONE}, and test is not read",)
    with pytest.raises(DataError, match="read"):
        load_data(dataset)


def test_groups_stay_whole(tmp_path):
    dataset = make(tmp_path, {f"{name}/{name}{v}": 5 for name in "ab" for v in range(6)})
    assert sizes(load_data(dataset, test="none", groups=r"[ab]\d", validation=10)) == [50, 10, 0]


def test_every_class_needs_a_validation_image(tmp_path):
    dataset = make(tmp_path, {"a": 30, "b": 2})
    with pytest.raises(DataError, match="class 'b' has no validation image") as error:
        load_data(dataset, test="none")
    assert "hold more out: --validation" in str(error.value)
    assert sizes(load_data(dataset, test="none", validation=16)) == [16, 16, 0]


def test_csv_files_and_arrays(tmp_path):
    make(tmp_path, {"a": 20, "b": 20})
    rows = [f"{name}/{i}.png,{name},{'test' if i > 15 else 'train'}" for name in "ab" for i in range(20)]
    (tmp_path / "list.csv").write_text("path,label,split\n" + "\n".join(rows))
    splits = load_data(f"csv:{tmp_path / 'list.csv'}", test="none")
    assert sizes(splits) == [29, 3, 0]
    assert splits.notes == (f"{NONE}, and its test split is not read",)
    images = np.arange(40 * 16, dtype=np.uint16).astype(np.uint8).reshape(40, 4, 4)
    labels = np.arange(40) % 2
    arrays = {"x_train": images, "y_train": labels, "x_test": images[:10], "y_test": labels[:10]}
    for name, kept, unread in (
        ("all", arrays, ", and its test split is not read"),
        ("part", dict(list(arrays.items())[:2]), ""),
    ):
        np.savez(tmp_path / f"{name}.npz", **kept)
        splits = load_data(f"npz:{tmp_path / name}.npz", test="none")
        assert sizes(splits) == [36, 4, 0]
        assert f"{NONE}{unread}" in splits.notes


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dataset": "mnist"}, "test is for images of your own, not for mnist"),
        ({"dataset": "folder:x", "validation": 0}, "without test images there must be validation images"),
        ({"dataset": "folder:x", "watch_test": True}, "watch_test needs test images"),
        ({"dataset": "folder:x", "watch_test": True, "select": "best_test"}, "watch_test needs test images"),
    ],
)
def test_recipes_that_would_have_nothing_to_score_are_refused(fields, message):
    with pytest.raises(RecipeError, match=message):
        Recipe(test="none", **fields)
