"""Images in .npz files, under the names and in the layouts that people use."""

import io
import zipfile

import numpy as np
import pytest

from convarium.data import load_data, npz_files
from convarium.errors import DataError
from convarium.records import ImageSpec

RNG = np.random.default_rng(0)


def arrays(n=20, shape=(5, 6), dtype=np.uint8, classes=2):
    high = 256 if np.dtype(dtype).kind in "iu" else 1
    images = RNG.integers(0, high, (n, *shape)).astype(dtype) if high > 1 else RNG.random((n, *shape)).astype(dtype)
    return images, np.arange(n) % classes


def save(path, **named):
    np.savez(path / "a.npz", **named)
    return f"npz:{path}/a.npz"


def sizes(splits):
    return [len(part) for part in (splits.train, splits.validation, splits.test)]


@pytest.mark.parametrize("names", [("x", "y", "test"), ("images", "labels", "")])
@pytest.mark.parametrize("validation", [False, True])
def test_the_names_of_keras_and_medmnist(tmp_path, names, validation):
    def name(kind, split):
        return f"{kind}_{split}" if names[2] else f"{split}_{kind}"

    named = {}
    for split, n in (("train", 20), ("test", 6), *([("val", 4)] if validation else [])):
        named[name(names[0], split)], named[name(names[1], split)] = arrays(n)
    splits = load_data(save(tmp_path, **named))
    assert sizes(splits) == ([20, 4, 6] if validation else [18, 2, 6])
    for part, split in ((splits.test, "test"), *([(splits.validation, "val")] if validation else [])):
        assert (part.images.numpy()[:, 0] == named[name(names[0], split)]).all()
        assert part.labels.tolist() == named[name(names[1], split)].tolist()
    assert splits.train.class_names == ("0", "1")


def test_undivided_arrays_are_divided_by_class(tmp_path):
    images, labels = arrays(100, classes=5)
    splits = load_data(save(tmp_path, images=images, labels=labels[:, None]))  # MedMNIST's labels are (n, 1)
    assert sizes(splits) == [72, 8, 20]
    assert splits.test.labels.bincount().tolist() == [4] * 5


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (1, 5, 6), (5, 6, 3), (3, 5, 6)])
def test_every_layout_becomes_channels_first(tmp_path, shape):
    images, labels = arrays(20, shape)
    splits = load_data(save(tmp_path, x_train=images, y_train=labels, x_test=images[::-1], y_test=labels[::-1]))
    channels = 3 if 3 in shape else 1
    assert splits.train.spec == ImageSpec(channels, 5, 6, 2)
    last = images[-1].reshape(5, 6, -1) if shape[0] not in (1, 3) else images[-1].transpose(1, 2, 0)
    assert (splits.test.images[0].permute(1, 2, 0).numpy() == last).all()


def test_values_of_more_than_8_bits_have_the_range_of_all_splits(tmp_path):
    images, labels = arrays(20, dtype=np.float32)
    splits = load_data(save(tmp_path, x=images, y=labels), validation=0)
    assert splits.notes == ("pixels are read with 1 as white",)
    assert set(splits.train.images.flatten().tolist()) <= set(np.rint(images * 255).astype(int).flatten().tolist())
    with pytest.raises(DataError, match=r"have values from -0.4"):
        load_data(save(tmp_path, x=images - 0.5, y=labels))
    with pytest.raises(DataError, match=r"has pixels that are not finite"):
        load_data(save(tmp_path, x=images * np.nan, y=labels))


def test_labels_may_be_texts_and_classes_may_be_named(tmp_path):
    images, labels = arrays(20)
    texts = np.array(["dog", "cat"])[labels]
    assert load_data(save(tmp_path, x=images, y=texts)).train.class_names == ("cat", "dog")
    named = load_data(save(tmp_path, x=images, y=labels, class_names=np.array(["dog", "cat"])))
    assert named.train.class_names == ("dog", "cat")


IMAGES, LABELS = arrays()


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (LABELS.astype(np.float32), ("0", "1")),
        (LABELS.astype(bool), ("0", "1")),
        (LABELS[:, None], ("0", "1")),
        (LABELS.astype(">i2"), ("0", "1")),
        (np.eye(2)[LABELS], ("0", "1")),
        (np.eye(2, dtype=bool)[LABELS], ("0", "1")),
        (np.array(["a", "b"])[LABELS], ("a", "b")),
        (np.array([b"a", b"b"])[LABELS], ("a", "b")),
        (LABELS + 1, ("1", "2")),
        (LABELS * 5, ("0", "5")),
        (LABELS * 9 + 1, ("1", "10")),
    ],
    ids=lambda value: f"{value.dtype}-{value.shape}-{value[-1]}" if isinstance(value, np.ndarray) else "",
)
def test_labels_in_every_form_that_people_save(tmp_path, labels, names):
    splits = load_data(save(tmp_path, x=IMAGES, y=labels), validation=0)
    assert splits.train.class_names == names
    of_pixels = {image.tobytes(): label for image, label in zip(IMAGES, LABELS.tolist(), strict=True)}
    for part in (splits.train, splits.test):
        assert [of_pixels[image.numpy().tobytes()] for image in part.images] == part.labels.tolist()


def test_more_labels_than_there_are_classes_anywhere_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("convarium.data.labels.MOST", 5)
    with pytest.raises(DataError, match=r"a.npz has 20 different labels: expected at most 5"):
        load_data(save(tmp_path, x=IMAGES, y=np.arange(20)))


def test_images_of_one_bit_are_black_and_white(tmp_path):
    images = RNG.random((20, 4, 4)) < 0.5
    splits = load_data(save(tmp_path, x=images, y=LABELS), validation=0)
    assert sorted(splits.train.images.unique().tolist()) == [0, 255]
    assert splits.notes == ("pixels are read with 1 as white",)


def test_arrays_that_are_not_used_are_named(tmp_path):
    splits = load_data(save(tmp_path, X_Train=IMAGES, Y_train=LABELS, x_test=IMAGES, weights=LABELS))
    assert "arrays of a.npz that are not used: x_test, weights" in splits.notes
    assert sizes(splits) == [15, 1, 4]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({}, "holds nothing: expected x_train and y_train"),
        ({"a": IMAGES, "b": LABELS}, "holds a, b: expected x_train and y_train"),
        ({"x": IMAGES, "y": LABELS[:3]}, r"the train labels of .* have the wrong form: expected whole numbers"),
        ({"x": IMAGES, "y": LABELS / 2}, r"the train labels of .* received 'float64"),
        ({"x": IMAGES[0], "y": LABELS[:5]}, r"the train images of .* have the wrong form: expected numbers of shape"),
        ({"x": IMAGES.reshape(20, 5, 3, 2), "y": LABELS}, "the train images of .* have the wrong form"),
        ({"x": np.array([[["a"]]] * 20), "y": LABELS}, "the train images of .* have the wrong form"),
        ({"x": IMAGES, "y": np.eye(3)[LABELS] + 1}, "the train labels of .* have the wrong form"),
        ({"x": IMAGES, "y": np.ones((20, 2))}, "the train labels of .* have the wrong form"),
        ({"x": IMAGES, "y": LABELS * np.nan}, "the train labels of .* have the wrong form"),
        ({"x": IMAGES, "y": LABELS.astype(complex)}, "the train labels of .* have the wrong form"),
        ({"x": IMAGES, "y": LABELS, "class_names": np.array(["cat"])}, "has labels from 0 to 1: expected 0 to 0"),
        ({"x": IMAGES, "y": LABELS * 0}, "has 1 class: expected two or more"),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:, 1:], "y_test": LABELS},
            "the splits of .* have images of different shapes",
        ),
        ({"x": np.array([object()] * 20), "y": LABELS}, "cannot read .*a.npz: Object arrays cannot be loaded"),
    ],
)
def test_what_is_no_set_of_images_is_refused(tmp_path, named, message):
    with pytest.raises(DataError, match=message):
        load_data(save(tmp_path, **named))


@pytest.mark.parametrize("content", [b"", b"PK", b"rubbish" * 100, b"PK\x05\x06" + bytes(18), b"\x93NUMPY\x01\x00"])
def test_an_npz_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a.npz"):
        load_data(f"npz:{tmp_path}/a.npz")
    with pytest.raises(DataError, match=r"there is no file .*b.npz; write npz:FILE"):
        load_data(f"npz:{tmp_path}/b.npz")


def test_a_truncated_npz_is_refused(tmp_path):
    dataset = save(tmp_path, x=IMAGES, y=LABELS)
    whole = (tmp_path / "a.npz").read_bytes()
    for length in range(0, len(whole) - 1, 97):
        (tmp_path / "a.npz").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a.npz"):
            load_data(dataset)


def test_an_npz_that_unpacks_to_too_much_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(npz_files, "LARGEST", 2**20)
    packed = io.BytesIO()
    np.save(packed, np.zeros((2000, 30, 30), np.uint8))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", packed.getvalue())
    with pytest.raises(DataError, match=r"a.npz unpacks to 0.0 GiB: expected at most"):
        load_data(f"npz:{tmp_path}/a.npz")


def test_splits_of_8_bits_and_of_fractions_are_read_each_in_its_own_range(tmp_path):
    levels = np.arange(256, dtype=np.uint8).reshape(4, 1, 64)
    np.savez(tmp_path / "a.npz", x_train=levels, y_train=np.arange(4) % 2, x_test=levels / 255, y_test=np.arange(4) % 2)
    found = npz_files.read_npz(tmp_path / "a.npz")
    assert found.white == 1
    assert (found.parts["train"][0][:, 0] == levels).all()
    assert (found.parts["test"][0][:, 0] == levels).all()
