"""Images whose labels stand in a CSV file, and images that are rows of one."""

import os
import sys
import unicodedata

import numpy as np
import pytest
from PIL import Image

from convarium.data import load_data
from convarium.errors import DataError

RNG = np.random.default_rng(0)


def write(file, rows, images=True):
    """A CSV file of these rows, and for each path in the first column an image of its own."""
    file.write_text("\n".join(",".join(map(str, row)) for row in rows), encoding="utf-8")
    for row in rows[1:] if images else ():
        path = file.parent / str(row[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (3, 4, 3), np.uint8)).save(path)
    return f"csv:{file}"


def listed(n, labels=("cat", "dog"), split=None):
    return [(f"{split or 'images'}/{i}.png", labels[i % len(labels)], *([split] if split else [])) for i in range(n)]


def sizes(splits):
    return [len(part) for part in (splits.train, splits.validation, splits.test)]


def test_paths_with_labels_are_divided_by_class(tmp_path):
    splits = load_data(write(tmp_path / "labels.csv", [("path", "label"), *listed(40)]))
    assert sizes(splits) == [29, 3, 8]
    assert splits.train.class_names == ("cat", "dog")
    assert splits.test.labels.bincount().tolist() == [4, 4]
    assert splits.notes == ()


def test_pixels_and_labels_are_those_of_the_files(tmp_path):
    rows = listed(20)
    splits = load_data(write(tmp_path / "labels.csv", [("path", "label"), *rows]), validation=0)
    of_pixels = {np.asarray(Image.open(tmp_path / path)).tobytes(): label for path, label in rows}
    for part in (splits.train, splits.test):
        for image, label in zip(part.images, part.labels.tolist(), strict=True):
            assert of_pixels[image.permute(1, 2, 0).contiguous().numpy().tobytes()] == part.class_names[label]


@pytest.mark.parametrize("header", [("File_Name", "Class", "Split"), (" image ", "target", "SUBSET")])
def test_a_column_names_the_splits(tmp_path, header):
    rows = [*listed(10, split="train"), *listed(4, split="valid"), *listed(6, split="Test")]
    assert sizes(load_data(write(tmp_path / "a.csv", [header, *rows]))) == [10, 4, 6]


def test_without_test_rows_the_test_split_is_drawn_from_train_and_that_is_said(tmp_path):
    rows = [*listed(10, split="train"), *listed(4, split="val")]
    splits = load_data(write(tmp_path / "a.csv", [("path", "label", "split", "width"), *[(*row, 4) for row in rows]]))
    assert sizes(splits) == [8, 4, 2]
    assert splits.notes == (
        "columns of a.csv that are not used: width",
        "a.csv names no test images: a fixed fifth of every class of train is the test split",
    )


def test_a_file_without_a_header(tmp_path):
    write(tmp_path / "a.csv", [("path", "label"), *listed(20)])
    (tmp_path / "a.csv").write_text((tmp_path / "a.csv").read_text().partition("\n")[2])
    assert sum(sizes(load_data(f"csv:{tmp_path}/a.csv"))) == 20


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", "\t", "|", ", "])
def test_other_delimiters_ends_of_lines_and_byte_order_marks(tmp_path, delimiter, encoding):
    dataset = write(tmp_path / "a.csv", [("path", "label"), *listed(20)])
    text = (tmp_path / "a.csv").read_text().replace(",", delimiter).replace("\n", "\r\n")
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    splits = load_data(dataset)
    assert sum(sizes(splits)) == 20
    assert splits.train.class_names == ("cat", "dog")


@pytest.mark.parametrize("delimiter", [",", ", ", ";"])
def test_a_text_between_quotation_marks_may_hold_the_delimiter(tmp_path, delimiter):
    rows = [("path", "label"), *((path, f'"{label}{delimiter}small"') for path, label in listed(20))]
    write(tmp_path / "a.csv", rows)
    (tmp_path / "a.csv").write_text("\n".join(delimiter.join(row) for row in rows))
    assert load_data(f"csv:{tmp_path}/a.csv").train.class_names == (f"cat{delimiter}small", f"dog{delimiter}small")


@pytest.mark.parametrize(
    "written",
    [
        lambda path, folder: path.replace("/", "\\"),
        lambda path, folder: f"{folder}/{path}",
        lambda path, folder: f"./{path}",
        lambda path, folder: unicodedata.normalize("NFD", path),
    ],
)
def test_a_path_may_be_written_as_on_another_system(tmp_path, written):
    rows = [(f"bildér/{i}.png", "ab"[i % 2]) for i in range(20)]
    write(tmp_path / "a.csv", [("path", "label"), *rows])
    lines = ["path,label", *(f"{written(path, tmp_path)},{label}" for path, label in rows)]
    (tmp_path / "a.csv").write_text("\n".join(lines), encoding="utf-8")
    assert sum(sizes(load_data(f"csv:{tmp_path}/a.csv"))) == 20


@pytest.mark.parametrize("header", ["Image Path,Class Name", "image-path,CATEGORY", "File,Target"])
def test_the_columns_may_be_named_in_words(tmp_path, header):
    write(tmp_path / "a.csv", [header.split(","), *listed(20)])
    assert sum(sizes(load_data(f"csv:{tmp_path}/a.csv"))) == 20


def test_without_a_header_the_path_may_be_second(tmp_path):
    write(tmp_path / "a.csv", [("path", "label"), *listed(20)])
    (tmp_path / "a.csv").write_text("\n".join(f"{label},{path}" for path, label in listed(20)))
    assert load_data(f"csv:{tmp_path}/a.csv").train.class_names == ("cat", "dog")


def test_classes_that_are_numbers_are_in_the_order_of_numbers(tmp_path):
    splits = load_data(write(tmp_path / "a.csv", [("path", "label"), *listed(24, labels=(10, 9, 2))]))
    assert splits.train.class_names == ("2", "9", "10")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", "b"), ("x", "y")], "has the columns a, b: expected path and label, and perhaps split; name them in"),
        ([], "has the columns none: expected path and label"),
        ([("path", "label"), ("1.png",)], "row 2 of .* has 1 columns: expected 2"),
        ([("path", "label"), ("1.png", "")], "row 2 of .* has no label: expected a path that no other row has"),
        ([("path", "label"), ("", "cat")], "row 2 of .* has no path"),
        ([("path", "label"), ("1.png", "cat"), ("1.png", "dog")], "row 3 of .* has the file 1.png a second time"),
        ([("path", "label"), ("1.png", "cat"), ("./1.png", "dog")], "row 3 of .* has the file ./1.png a second time"),
        ([("path", "label"), ("1.png", "cat, small")], "row 2 of .* has 3 columns: expected 2; put texts that hold"),
        (
            [("path", "label", "split"), ("1.png", "cat", "later")],
            "row 2 of .* has the split 'later'.*train, val or test",
        ),
        ([("path", "label"), ("1.png", "cat")], "has 1 class: expected 2 or more"),
        (
            [("path", "label", "split"), ("1.png", "a", "test"), ("2.png", "b", "test")],
            "has no training images; add rows",
        ),
        (
            [("path", "label", "split"), ("1.png", "a", "train"), ("2.png", "b", "test")],
            "class 'b' has no image in the train split",
        ),
        ([("path", "label"), ("1.png", '"cat')], "cannot read .*a.csv: unexpected end of data; name a CSV file"),
    ],
)
def test_what_is_no_list_of_images_is_refused(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        load_data(write(tmp_path / "a.csv", rows, images=False))


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*a.csv: No such file or directory; name a CSV file"):
        load_data(f"csv:{tmp_path}/a.csv")
    with pytest.raises(DataError, match=r"is not a file; name a CSV file"):
        load_data(f"csv:{tmp_path}")
    (tmp_path / "a.csv").write_bytes(b"path,label\n\xff\xfe.png,cat\n")
    with pytest.raises(DataError, match=r"cannot read .*a.csv: .*utf-8"):
        load_data(f"csv:{tmp_path}/a.csv")
    with pytest.raises(DataError, match=r"'csv:' names nothing; write folder:PATH, csv:FILE or npz:FILE"):
        load_data("csv:")


def test_images_that_are_missing_are_all_named_or_left_out(tmp_path):
    dataset = write(tmp_path / "a.csv", [("path", "label"), *listed(40)])
    for i in (3, 8):
        (tmp_path / "images" / f"{i}.png").unlink()
    with pytest.raises(DataError, match=r"cannot read 2 of 40 images: .*images/\d.png \(.*No such file"):
        load_data(dataset)
    assert sum(sizes(load_data(dataset, skip_broken=True))) == 38


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes are POSIX's")
def test_a_pipe_is_no_image(tmp_path):
    dataset = write(tmp_path / "a.csv", [("path", "label"), *listed(10)])
    (tmp_path / "images" / "3.png").unlink()
    os.mkfifo(tmp_path / "images" / "3.png")
    with pytest.raises(DataError, match=r"3.png is a folder, a device or a pipe: expected an image file"):
        load_data(dataset)


def test_groups_are_found_in_the_paths(tmp_path):
    rows = [(f"{person}/{i}.png", "ab"[i % 2]) for person in range(20) for i in range(4)]
    splits = load_data(write(tmp_path / "a.csv", [("path", "label"), *rows]), groups=r"^\d+/")
    assert sizes(splits) == [60, 4, 16]  # 4 is as near to a tenth as 8 is


def kaggle(file, n, names, first=0):
    """As Kaggle has MNIST: n images of 28×28, each a row behind its label."""
    pixels = RNG.integers(0, 256, (n, 784), np.uint8)
    labels = (np.arange(n) + first) % 10
    rows = ["label," + ",".join(names), *(f"{y}," + ",".join(map(str, x)) for y, x in zip(labels, pixels, strict=True))]
    file.write_text("\n".join(rows))
    return pixels.reshape(n, 1, 28, 28), labels


@pytest.mark.parametrize("first", [0, 1])
def test_kaggles_mnist_is_read_as_it_is(tmp_path, first):
    pixels, labels = kaggle(tmp_path / "train.csv", 50, [f"pixel{i + first}" for i in range(784)])
    (tmp_path / "test.csv").write_text(",".join(f"pixel{i}" for i in range(784)) + "\n")  # without labels
    splits = load_data(f"csv:{tmp_path}/train.csv")
    assert sizes(splits) == [36, 4, 10]
    assert splits.train.class_names == tuple("0123456789")
    label_of = {image.tobytes(): label for image, label in zip(pixels, labels, strict=True)}
    for part in (splits.train, splits.validation, splits.test):
        assert [label_of[image.numpy().tobytes()] for image in part.images] == part.labels.tolist()
    assert splits.notes == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda header, row: (header.upper(), row),
        lambda header, row: (header.replace(",", ";"), row.replace(",", ";")),
        lambda header, row: (",".join([*header.split(",")[1:], "class"]), ",".join([*row.split(",")[1:], row[0]])),
    ],
)
def test_kaggles_form_with_another_header_delimiter_or_order_of_columns(tmp_path, change):
    rows = [f"{i % 2 + 1},{i},2,3,4" for i in range(20)]
    changed = [change("label,pixel0,pixel1,pixel2,pixel3", row) for row in rows]
    (tmp_path / "a.csv").write_text("\n".join([changed[0][0], *(row for _, row in changed)]))
    splits = load_data(f"csv:{tmp_path}/a.csv", validation=0)
    assert splits.train.class_names == ("1", "2")  # the labels that there are, though none is 0
    for image, label in zip(splits.train.images, splits.train.labels.tolist(), strict=True):
        first, *others = image.flatten().tolist()
        assert (label, others) == (first % 2, [2, 3, 4])


def test_a_test_file_with_labels_beside_it_is_the_test_split(tmp_path):
    names = [f"pixel{i + 1}" for i in range(784)]
    kaggle(tmp_path / "fashion-mnist_train.csv", 40, names)
    kaggle(tmp_path / "fashion-mnist_test.csv", 20, names)
    splits = load_data(f"csv:{tmp_path}/fashion-mnist_train.csv", validation=0)
    assert sizes(splits) == [40, 0, 20]
    assert splits.notes == ("the test split is fashion-mnist_test.csv, which lies beside fashion-mnist_train.csv",)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["label,pixel0,pixel1,pixel2", "1,2,3,4"], "has 3 pixels a row: expected square images"),
        (["label,pixel0,pixel1,pixel2,pixel3", "1,2,3,4,256"], "pixels or labels out of range: expected pixels from 0"),
        (["label,pixel0,pixel1,pixel2,pixel3", "1,2,3,4,-1"], "pixels or labels out of range"),
        (["label,pixel0,pixel1,pixel2,pixel3", "-1,2,3,4,5"], "pixels or labels out of range"),
        (["label,pixel0,pixel1,pixel2,pixel3", "1,2,3,4,x"], "holds values that are not whole numbers"),
        (["label,pixel0,pixel1,pixel2,pixel3", "1,2,3,,5"], "holds values that are not whole numbers"),
        (["label,pixel0,pixel1,pixel2,pixel3"], "pixels or labels out of range|not whole numbers"),
        (["label,pixel0,pixel1,pixel2,pixel3", "1,2,3,4,5", "1,2,3,4,6"], "has 1 class: expected two or more"),
    ],
)
def test_rows_that_are_no_images_are_refused(tmp_path, rows, message):
    (tmp_path / "a.csv").write_text("\n".join(rows))
    with pytest.raises(DataError, match=message):
        load_data(f"csv:{tmp_path}/a.csv")


def test_what_is_for_image_files_is_refused_for_pixels(tmp_path):
    kaggle(tmp_path / "a.csv", 20, [f"pixel{i}" for i in range(784)])
    with pytest.raises(DataError, match=r"fit is for image files, and .*a.csv holds pixels; leave it out"):
        load_data(f"csv:{tmp_path}/a.csv", fit="pad")
