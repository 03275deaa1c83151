"""A folder with everything in it that folders of images have: what is read, left out and told of."""

import os
import shutil
import sys

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from convarium.data import load_data
from convarium.data.own_summary import summarize
from convarium.errors import DataError

RNG = np.random.default_rng(0)


def drawn(height=12, width=12):
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3), np.uint8))


@pytest.fixture(scope="module")
def messy(tmp_path_factory):
    """Splits in other spellings, a class called train, every kind of image, files that are none, copies, links."""
    root = tmp_path_factory.mktemp("data") / "messy"
    for split, n in (("Training", 20), ("testing", 6), ("valid", 4)):
        for name in ("cat", "dog", "train"):
            (root / split / name).mkdir(parents=True)
            for number in range(n if name != "train" else n // 4 + 1):
                drawn(12, 12 + number % 3).save(root / split / name / f"{number}.png")
    cat, dog = root / "Training" / "cat", root / "Training" / "dog"
    drawing = drawn().convert("LA")
    drawing.putalpha(Image.linear_gradient("L").resize((12, 12)))
    drawing.save(cat / "drawing.png")
    Image.fromarray(RNG.integers(0, 65536, (12, 12), np.uint16)).save(cat / "deep.png")
    drawn().convert("P").save(dog / "palette.gif")
    drawn().convert("CMYK").save(dog / "INKS.JPG")
    drawn().convert("1").save(dog / "bits.bmp")
    pillow_heif.from_pillow(drawn(64, 64)).save(dog / "phone.HEIC")
    (dog / "lfs.png").write_text("version https://git-lfs.github.com/spec/v1\n")
    (dog / "page.jpg").write_text("<!DOCTYPE html>")
    whole = (cat / "1.png").read_bytes()
    (cat / "cut.png").write_bytes(whole[: len(whole) // 2])
    for file in (cat / ".DS_Store", cat / "Thumbs.db", cat / "notes.txt", dog / "paper.pdf", dog / "README"):
        file.write_bytes(b"x")
    for name in ("__MACOSX", "@eaDir", ".ipynb_checkpoints"):
        (cat / name).mkdir()
        shutil.copy(cat / "1.png", cat / name)
    os.mkfifo(cat / "pipe.png")
    (cat / "link.png").symlink_to("nowhere")
    shutil.copy(cat / "2.png", root / "testing" / "cat" / "copy.png")
    Image.open(dog / "3.png").save(root / "valid" / "dog" / "copy.bmp")
    shutil.copy(cat / "5.png", dog / "mistaken.png")
    return root


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and links are POSIX's")
def test_all_of_it_is_counted_and_told_of(messy):
    summary = summarize(f"folder:{messy}")
    assert [(c.name, c.train, c.validation, c.test) for c in summary.classes] == [
        ("cat", 22, 4, 7),
        ("dog", 25, 5, 6),
        ("train", 6, 2, 2),
    ]
    assert summary.shape == (3, 12, 13)
    # The header of the file that is cut off can be read.
    assert summary.modes == {"RGB": 75 + 1, "LA": 1, "I;16": 1, "CMYK": 1, "1": 1}
    told = "\n".join(summary.notes)
    for sentence in (
        "1 PDF in dog, 1 TXT in cat, 1 behind a broken link in cat, 1 pipe or device in cat",
        "1 without an ending in dog",
        "left out since they cannot be read: 3 of 82 images",
        "lfs.png (it is a pointer of Git LFS: git lfs pull gets the image)",
        "page.jpg (it is a web page)",
        "with 65,535 as white",
        "1 image with transparent pixels, which lie on white",
        "2 images of the validation and test splits that another split has too",
        "Training/dog/3.png = valid/dog/copy.bmp, Training/cat/2.png = testing/cat/copy.png",
        "1 image that another class has too, pixel by pixel: Training/cat/5.png = Training/dog/mistaken.png",
    ):
        assert sentence in told


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and links are POSIX's")
def test_it_is_trained_on_only_if_the_broken_ones_are_left_out(messy):
    with pytest.raises(DataError, match=r"cannot read 3 of 82 images: .*cut.png.*lfs.png.*page.jpg.*--skip-broken"):
        load_data(f"folder:{messy}")
    splits = load_data(f"folder:{messy}", skip_broken=True)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [53, 11, 15]
