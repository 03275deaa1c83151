"""Images are held out in equal shares of every class, and groups as a whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convarium.data import load_data
from convarium.data.divisions import stratified, stratified_groups
from convarium.errors import DataError

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=200)


@given(LABELS, st.floats(0, 1))
def test_a_held_out_share_is_that_of_every_class_but_for_rounding(labels, share):
    count = int(share * len(labels))
    held = stratified(labels, count)
    assert len(held) == len(set(held)) == count
    assert held == sorted(held) == stratified(labels, count)
    for label in set(labels):
        exact = labels.count(label) * count / len(labels)
        assert abs([labels[i] for i in held].count(label) - exact) < 1


@given(LABELS, st.integers(1, 20), st.floats(0, 0.5))
def test_no_group_is_divided(labels, groups, share):
    names = [number * 7 % groups for number in range(len(labels))]
    held = stratified_groups(labels, names, int(share * len(labels)))
    assert held == sorted(set(held))
    outside = set(range(len(labels))) - set(held)
    assert not {names[i] for i in held} & {names[i] for i in outside}


def test_small_groups_come_near_to_the_wanted_share():
    labels = [i % 3 for i in range(600)]
    held = stratified_groups(labels, [i // 6 for i in range(600)], 120)
    assert len(held) == 120
    assert [sum(labels[i] == label for i in held) for label in range(3)] == [40, 40, 40]


def test_three_balanced_classes_are_balanced_in_validation(tmp_path):
    for label, name in enumerate("abc"):
        (tmp_path / name).mkdir()
        for i in range(150):
            Image.new("L", (1, 1), 80 * label + i % 60).save(tmp_path / name / f"{i:03}.bmp")
    splits = load_data(f"folder:{tmp_path}")
    assert splits.validation.labels.bincount().tolist() == [12, 12, 12]
    assert splits.test.labels.bincount().tolist() == [30, 30, 30]


def videos(root):
    """Ten videos of five frames in each class; the class, the video and the frame can be read off the pixels."""
    for label, name in enumerate("ab"):
        (root / name).mkdir(parents=True)
        for video in range(10):
            for frame in range(5):
                Image.new("RGB", (1, 1), (label, video, frame)).save(root / name / f"video{video}_{frame}.png")
    return f"folder:{root}"


def test_all_images_of_an_object_stay_in_one_split(tmp_path):
    splits = load_data(videos(tmp_path), groups=r"./video\d+")
    parts = [part.images[:, :2, 0, 0].tolist() for part in (splits.train, splits.validation, splits.test)]
    seen = [{tuple(image) for image in part} for part in parts]
    assert sum(map(len, parts)) == 100
    assert sum(map(len, seen)) == len(set().union(*seen)) == 20
    assert [len(part) for part in parts] == [70, 10, 20]
    assert splits.test.labels.bincount().tolist() == [10, 10]
    assert load_data(f"folder:{tmp_path}", groups=r"./video\d+").digest != load_data(f"folder:{tmp_path}").digest


def test_a_group_of_the_pattern_names_the_object(tmp_path):
    """The same person in two classes is one person."""
    splits = load_data(videos(tmp_path), groups=r"(video\d+)_")
    assert {v for _, v in splits.test.images[:, :2, 0, 0].tolist()}.isdisjoint(
        {v for _, v in splits.train.images[:, :2, 0, 0].tolist()}
    )


def test_groups_that_cannot_be_made_are_refused(tmp_path):
    dataset = videos(tmp_path)
    with pytest.raises(DataError, match=r"groups='person' finds nothing in 100 of 100 paths, such as a/video0_0.png;"):
        load_data(dataset, groups="person")
    with pytest.raises(
        DataError, match=r"class 'a' has too few groups to be in both .*: expected images of two groups"
    ):
        load_data(dataset, groups="./")
    with pytest.raises(
        DataError, match=r"the groups of groups='_\(\[01\]\)|.' are too large to hold 1 of .* --validation 0"
    ):
        load_data(dataset, groups=r"_([01]|.)", validation=1)


def test_a_group_in_two_folders_of_splits_is_refused(tmp_path):
    videos(tmp_path / "train")
    videos(tmp_path / "test")
    with pytest.raises(
        DataError, match="images of the group video0 are in train and in test; move them into one split"
    ):
        load_data(f"folder:{tmp_path}", groups=r"video\d+")
