"""Which images are meant: files, folders, and standard input with paths or with one image."""

import io
import os

import pytest
from PIL import Image

from convarium.errors import DataError
from convarium.inference.inputs import check_file, find_images


def image_bytes(form, mode="L", level=200):
    kept = io.BytesIO()
    Image.new(mode, (4, 4), level).save(kept, form)
    return kept.getvalue()


def found(given, content=b""):
    with find_images(given, io.BytesIO(content)) as inputs:
        return list(inputs.names)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photos/b/2.png", "photos/b/1.PNG", "photos/a/1.png", "photos/.hidden/1.png", "photos/__MACOSX/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(image_bytes("PNG"))
    (tmp_path / "photos/a/notes.pdf").touch()
    return tmp_path


def test_files_come_in_the_order_given_and_are_tried_whatever_they_are_called(photos):
    assert found(["photos/b/2.png", "photos/a/notes.pdf", "photos/a/1.png", "nothing", "photos/a/1.png"]) == [
        "photos/b/2.png",
        "photos/a/notes.pdf",
        "photos/a/1.png",
        "nothing",
        "photos/a/1.png",
    ]


def test_a_folder_stands_for_the_images_that_a_data_set_would_have(photos):
    with find_images(["photos"]) as inputs:
        assert inputs.names == ("photos/a/1.png", "photos/b/1.PNG", "photos/b/2.png")
        assert inputs.notes == ("files passed over: 1 PDF in photos",)
        assert len(inputs) == 3


def test_a_folder_without_images_says_what_it_has(photos):
    (photos / "photos/a/1.png").unlink()
    with pytest.raises(DataError, match=r"no images in the folder photos/a; files passed over: 1 PDF in photos/a"):
        found(["photos/a"])
    (photos / "empty").mkdir()
    with pytest.raises(DataError, match="no images in the folder empty; name image files"):
        found([photos.joinpath("empty").relative_to(photos)])


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0"], ids=["lines", "CRLF", "print0"])
def test_paths_on_standard_input(photos, end):
    paths = [b"photos/b/2.png", b"photos/a", b"nothing there.png"]
    names = ["photos/b/2.png", "photos/a/1.png", "nothing there.png"]
    assert found(["-"], end.join(paths) + end) == names
    assert found(["photos/b/1.PNG", "-"], end.join(paths)) == ["photos/b/1.PNG", *names]


def test_a_path_on_standard_input_may_have_any_byte(photos):
    odd = b"photos/\x1b[31m\xe9.png"
    with open(odd, "wb") as file:  # noqa: PTH123 - a name that is not UTF-8
        file.write(image_bytes("PNG"))
    assert found(["-"], odd + b"\n") == ["photos/\x1b[31m\\xe9.png"]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO"])
def test_one_image_on_standard_input(photos, form):
    content = image_bytes(form, "RGB", (200, 60, 90))
    with find_images(["-"], io.BytesIO(content)) as inputs:
        assert inputs.names == ("-",)
        assert inputs.files[0].read_bytes() == content
    assert not inputs.files[0].exists()


@pytest.mark.parametrize("content", [b"P2\n2 1\n255\n0 255\n", b"#define im_width 8\n", b"/* XPM */\n"])
def test_an_image_that_looks_like_text_is_one_unless_a_file_has_that_name(photos, content):
    assert found(["-"], content) == ["-"]
    name = content.splitlines()[0]
    if b"/" not in name:
        (photos / os.fsdecode(name)).touch()
        assert found(["-"], name + b"\n") == [name.decode()]


def test_standard_input_is_read_once_and_holds_something(photos):
    with pytest.raises(DataError, match="standard input is empty"):
        found(["-"], b" \n")
    with pytest.raises(DataError, match=r"standard input \(-\) is given twice"):
        found(["-", "photos", "-"], b"photos")
    with pytest.raises(DataError, match="no image to predict is named; name image files, folders, or -"):
        found([])


def test_more_than_an_image_can_have_is_no_image(photos, monkeypatch):
    monkeypatch.setattr("convarium.inference.inputs._LARGEST_INPUT", 10)
    with pytest.raises(DataError, match="standard input is no image: expected at most 1 GiB"):
        found(["-"], b"x" * 11)


def test_only_a_file_that_can_be_opened_is_opened(photos):
    check_file(photos / "photos/a/1.png")
    os.mkfifo(photos / "pipe.png")
    (photos / "loop.png").symlink_to("loop.png")
    for name, why in [
        ("pipe.png", "a pipe or device"),
        ("photos", "a folder"),
        ("nothing.png", "no such file or directory"),
        ("loop.png", "too many levels of symbolic links"),
        ("n" * 300, "file name too long"),
    ]:
        with pytest.raises(ValueError, match=why):
            check_file(photos / name)
