"""Whatever a folder holds, it is listed quickly, or one sentence says what is wrong with it."""

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from convarium.data import folder_scan, load_data
from convarium.data.folder_scan import MAX_DEPTH, endings, passed_over_sentence, scan_folder
from convarium.data.image_files import Header, ImageForm, decode, read_header
from convarium.data.own_images import own_path
from convarium.data.sources import data_folders
from convarium.errors import ConvariumError, DataError

posix = pytest.mark.skipif(sys.platform == "win32", reason="named pipes, links and names of bytes are POSIX's")


@pytest.fixture
def photos(tmp_path):
    """Two classes of five gray images."""
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(5):
            Image.new("L", (4, 3), 100 * label + i).save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


def load(path):
    return load_data(f"folder:{path}", validation=0)


@posix
def test_pipes_devices_and_links_to_nothing_are_passed_over_and_counted(photos):
    os.mkfifo(photos / "cat" / "x.png")
    (photos / "cat" / "y.png").symlink_to("/dev/zero")
    (photos / "dog" / "z.png").symlink_to("nowhere.png")
    (photos / "dog" / "loop.png").symlink_to("loop.png")
    assert scan_folder(photos).all_passed_over() == {"pipe or device": 2, "behind a broken link": 2}
    splits = load(photos)
    assert len(splits.train) + len(splits.test) == 10
    assert "files passed over: 2 behind a broken link in dog, 2 pipe or device in cat" in splits.notes


@posix
@pytest.mark.parametrize("target", ["/", "..", ".", "../.."])
def test_a_link_to_a_folder_that_holds_it_is_refused(photos, target):
    (photos / "cat" / "more").symlink_to(target, target_is_directory=True)
    with pytest.raises(DataError, match=r"cat/more is a link to /.*, a folder that holds the link itself; delete"):
        load(photos)
    (photos / "cat" / "more").rename(photos / "root")
    with pytest.raises(DataError, match=r"a folder that holds the link itself; delete"):
        load(photos)


@posix
def test_a_class_may_be_a_link_to_a_folder_elsewhere(photos):
    (photos / "dog").rename(photos.parent / "elsewhere")
    (photos / "dog").symlink_to(photos.parent / "elsewhere", target_is_directory=True)
    assert load(photos).train.class_names == ("cat", "dog")


def test_folders_nested_too_deep_are_refused(photos):
    folder = photos / "cat"
    for _ in range(MAX_DEPTH + 20):
        folder /= "d"
    folder.mkdir(parents=True)
    with pytest.raises(DataError, match=f"nested more than {MAX_DEPTH} deep; name the folder whose sub-folders"):
        load(photos)


def test_a_path_longer_than_the_system_takes_is_refused(photos):
    with pytest.raises(DataError, match=r"there is no folder .{20,320}….{20,320}; write folder:PATH"):
        load("/".join([str(photos), *["a" * 200] * 25]))
    with pytest.raises(DataError, match=r"there is no folder"):
        load("a" * 5000)


def test_a_folder_that_may_not_be_listed_is_named(photos, monkeypatch):
    listed = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return listed(path)

    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(DataError, match=r"cannot read the folder .*dog: Permission denied; name a folder that you may"):
        load(photos)


def test_a_folder_that_vanishes_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the folder .*nowhere: No such file"):
        scan_folder(tmp_path / "nowhere")


@posix
def test_a_class_whose_name_is_not_utf_8_is_refused_when_the_folder_is_read(photos):
    (photos / "dog").rename(os.fsdecode(os.fsencode(photos) + b"/d\xf6g"))
    with pytest.raises(DataError, match=r"the name of the folder .*d\\xf6g is not UTF-8; rename it"):
        load(photos)
    with pytest.raises(ConvariumError, match=r"dataset is not UTF-8: received .*d\\udcf6g'; name another path"):
        load(os.fsdecode(os.fsencode(photos) + b"/d\xf6g"))


@posix
def test_a_file_name_that_is_not_utf_8_may_be_an_image(photos):
    (photos / "cat" / "0.png").rename(os.fsdecode(os.fsencode(photos) + b"/cat/\xf6.png"))
    load(photos)
    Path(os.fsdecode(os.fsencode(photos) + b"/cat/\xf6.png")).write_bytes(b"rubbish")
    with pytest.raises(DataError, match=r"cannot read the image .*\\xf6.png"):
        load(photos)


def test_the_home_of_nobody_is_refused(monkeypatch):
    with pytest.raises(ConvariumError, match=r"no home folder for dataset: received '~nosuchuser/x'; write the whole"):
        load("~nosuchuser/x")
    with pytest.raises(ConvariumError, match=r"there is no home folder for data_dir: received '~nosuchuser/x'"):
        data_folders("~nosuchuser/x")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    assert own_path("folder:~/photos").as_posix() == "/home/me/photos"


def test_what_systems_leave_behind_is_passed_over_without_a_word(photos):
    for name in (
        *(".git/x.png", "__MACOSX/cat/._0.png", "cat/@eaDir/0.png", "cat/.ipynb_checkpoints/0-checkpoint.png"),
        *("$RECYCLE.BIN/S-1/0.png", "#recycle/0.png", "lost+found/0.png", "cat/__pycache__/0.png"),
    ):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(b"no image")
    for name in ("cat/Thumbs.db", "dog/.DS_Store", "dog/desktop.ini"):
        (photos / name).write_bytes(b"no image")
    splits = load(photos)
    assert len(splits.train) + len(splits.test) == 10
    assert splits.notes == ()


@pytest.fixture
def without_heif(monkeypatch):
    """As if pillow-heif were not installed."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(Image, "OPEN", {name: opener for name, opener in Image.OPEN.items() if name != "HEIF"})
    for cached in (folder_scan.readable_formats, folder_scan.endings):
        cached.cache_clear()
    yield
    for cached in (folder_scan.readable_formats, folder_scan.endings):
        cached.cache_clear()


def test_other_files_are_counted_by_reason_in_one_sentence(photos, without_heif):
    for name in ("cat/a", "cat/b", "cat/c", "cat/x.pdf", "dog/y.pdf", "dog/z.HEIC", "readme.txt"):
        (photos / name).write_bytes(b"no image")
    Image.new("L", (4, 3)).save(photos / "loose.png")
    (note,) = load(photos).notes
    assert note.startswith("files passed over: 3 without an ending in cat, 2 PDF, 1 HEIC (pip install pillow-heif")
    assert "1 TXT in photos" in note
    assert "1 image outside the classes' folders in photos" in note


def test_an_ending_that_is_recognized_but_never_decoded_is_no_image():
    """Of a file's ending Pillow knows more than it decodes; PostScript it would decode by starting Ghostscript."""
    assert {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".tga", ".jfif"} <= endings()
    assert not {".pdf", ".eps", ".ps", ".h5", ".hdf", ".grib", ".bufr", ".mpg", ".wmf", ".palm"} & endings()


def test_postscript_under_another_name_runs_no_program(photos, monkeypatch):
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    (photos / "cat" / "0.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 3\n%%EndComments\nshowpage\n"
    )
    with pytest.raises(DataError, match=r"cannot read the image .*0.png"):
        load(photos)


def test_a_class_of_other_files_says_what_they_are(photos, without_heif):
    (photos / "emu").mkdir()
    (photos / "emu" / "1.heic").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"class 'emu' is empty.*passed over: 1 HEIC \(pip install pillow-heif"):
        load(photos)


def test_without_files_passed_over_there_is_no_sentence():
    assert passed_over_sentence([("cat", Counter())]) is None


def test_heic_is_read_where_pillow_heif_is_installed(photos):
    """As a telephone writes it: turned by its camera, and of several pictures the main one."""
    pillow_heif.register_heif_opener()
    turned = Image.new("L", (4, 3)).getexif()
    turned[0x0112] = 6
    Image.fromarray(np.repeat([[[255, 0, 0]], [[0, 0, 255]]], 64, axis=1).repeat(32, axis=0).astype("uint8")).save(
        photos / "cat" / "turned.HEIC", quality=-1, exif=turned.tobytes()
    )
    burst = pillow_heif.from_pillow(Image.new("RGB", (64, 64), "red"))
    burst.add_from_pillow(Image.new("RGB", (64, 64), "lime"))
    burst.save(photos / "dog" / "burst.heif", primary_index=1, quality=-1)
    found = {file.path.name: file.path for file in scan_folder(photos).all_images()}
    form = ImageForm(3, 2, 2)
    left, right = decode(found["turned.HEIC"], form).pixels.transpose(2, 1, 0)
    assert (left[0] == left[1]).all()
    assert left[0].argmax() == 2
    assert (right[0] == right[1]).all()
    assert right[0].argmax() == 0
    main = decode(found["burst.heif"], form)
    assert main.pixels.argmax(axis=0).tolist() == [[1, 1], [1, 1]]
    assert main.remarks == ("several frames",)
    assert read_header(found["turned.HEIC"]) == Header("RGB", 64, 64)


def test_a_heic_file_that_is_cut_is_unreadable(photos):
    pillow_heif.register_heif_opener()
    file = photos / "cat" / "cut.heic"
    Image.effect_noise((64, 64), 90).convert("RGB").save(file)
    whole = file.read_bytes()
    for length in (0, 30, 300, len(whole) // 2, len(whole) - 20):
        file.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"cannot read the image .*cut\.heic"):
            load(photos)
