"""`convarium data check folder:PATH` says what a person would want to know before training."""

import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from convarium.cli import main
from convarium.data import load_data
from convarium.data.own_summary import contact_sheet, summarize
from convarium.data.splits import ImageData


@pytest.fixture
def photos(tmp_path):
    """Forty red cats of two sizes and ten green dogs, one of them unreadable, and what does not belong there."""
    rng = np.random.default_rng(0)
    for name, n, channel in (("cat", 40, 0), ("dog", 10, 1)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(n):
            pixels = np.zeros((6 + i % 2, 8, 3), np.uint8)
            pixels[..., channel] = rng.integers(1, 256, pixels.shape[:2])
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i:02}.png")
    (tmp_path / "photos" / "dog" / "03.png").write_bytes(b"rubbish")
    (tmp_path / "photos" / "dog" / "notes.txt").touch()
    return tmp_path / "photos"


def test_counts_sizes_and_modes_are_those_of_the_files(photos):
    summary = summarize(f"folder:{photos}")
    splits = load_data(f"folder:{photos}", skip_broken=True)
    assert [c.name for c in summary.classes] == ["cat", "dog"]
    assert sum(c.train + c.validation + c.test for c in summary.classes) == 49
    for number, split in enumerate((splits.train, splits.validation, splits.test)):
        counts = split.labels.bincount(minlength=2).tolist()
        assert [(c.train, c.validation, c.test)[number] for c in summary.classes] == counts
    assert summary.widths == (8, 8, 8)
    assert (summary.heights[0], summary.heights[2]) == (6, 7)
    assert summary.modes == {"RGB": 49}
    assert summary.majority == splits.train.labels.bincount()[0] / len(splits.train)
    assert (summary.mean, summary.std) == (splits.mean, splits.std)
    text = " ".join(summary.notes)
    for words in (
        "1 TXT in dog",
        "left out since they cannot be read: the image",
        "03.png",
        "4.4 times as many images",
    ):
        assert words in text


def test_large_images_are_looked_at_reduced(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.new("L", (1500, 20), 10 * i).save(tmp_path / name / f"{i}.png")
    summary = summarize(f"folder:{tmp_path}")
    assert summary.shape == (1, 224, 224)
    assert summary.widths == (1500, 1500, 1500)
    assert "read here with 224 pixels a side, as --resize 224 does" in summary.notes[-1]


def test_too_few_images_for_a_validation_split_are_told_of(photos, tmp_path):
    for name in "abc":
        (tmp_path / "few" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("L", (8, 8), 60 * i + ord(name) % 9).save(tmp_path / "few" / name / f"{i}.png")
    summary = summarize(f"folder:{tmp_path}/few")
    assert [c.validation for c in summary.classes] == [0, 0, 0]
    assert any(
        note.endswith("--validation 3 takes one of each class from those for training") for note in summary.notes
    )
    splits = load_data(f"folder:{tmp_path}/few", validation=3)
    assert splits.validation.labels.tolist() == [0, 1, 2]
    assert not any("--validation" in note for note in summarize(f"folder:{photos}").notes)


def test_the_contact_sheet_names_the_first_classes_in_letters_that_it_has(tmp_path, capsys, monkeypatch):
    written = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, xy, text, **options: written.append(text))
    for number, name in enumerate(["Käthe", "狗", *(f"z{i:02}" for i in range(41))]):
        (tmp_path / "many" / name).mkdir(parents=True)
        for i in range(5):
            Image.new("L", (8, 8), 5 * number + i).save(tmp_path / "many" / name / f"{i}.png")
    code, printed = run(capsys, "data", "check", f"folder:{tmp_path}/many", "--sheet", str(tmp_path / "sheet.png"))
    assert code == 0, printed.err
    assert written[:3] == ["1: Kathe", "2: z00", "3: z01"]
    assert len(written) == 40
    assert "a row for each of the first 40 of 43 classes, in the order of the table" in " ".join(printed.out.split())
    written.clear()
    data = ImageData(torch.zeros((1, 1, 8, 8), dtype=torch.uint8), torch.tensor([1]), ("é", "狗"))
    contact_sheet(data)
    assert written == ["1: e", "2: ?"]


def test_arrays_have_no_modes(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 5, 4), np.uint8)
    np.savez(tmp_path / "a.npz", x=images, y=np.arange(20) % 2)
    summary = summarize(f"npz:{tmp_path}/a.npz")
    assert (summary.modes, summary.heights, summary.shape) == ({}, (5, 5, 5), (1, 5, 4))


def run(capsys, *arguments):
    code = main(list(arguments))
    return code, capsys.readouterr()


def test_the_contact_sheet_has_a_row_for_each_class(photos, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    code, printed = run(capsys, "data", "check", f"folder:{photos}", "--sheet", str(sheet))
    assert code == 0, printed.err
    pixels = np.asarray(Image.open(sheet))
    rows = np.split(pixels[..., :2].astype(int), 2)
    red, green = (
        (lambda row: (row[..., 0] > row[..., 1] + 50).sum()),
        (lambda row: (row[..., 1] > row[..., 0] + 50).sum()),
    )
    assert red(rows[0]) > 0 == green(rows[0])
    assert green(rows[1]) > 0 == red(rows[1])
    for words in ("49 images in 2 classes", "cat", "modes: 49 RGB", "note: files passed over: 1 TXT", "contact sheet:"):
        assert words in printed.out


def test_the_answer_for_machines_and_the_wrong_calls(photos, capsys):
    code, printed = run(capsys, "data", "check", f"folder:{photos}", "--json")
    assert code == 0
    assert json.loads(printed.out)["modes"] == {"RGB": 49}
    code, printed = run(capsys, "data", "check", f"folder:{photos}", "mnist")
    assert code == 2
    assert "one set at a time" in printed.err
    code, printed = run(capsys, "data", "check", "digits", "--sheet", "a.png")
    assert code == 2
    assert "--sheet is for images of your own; convarium data check folder:PATH --sheet …" in " ".join(
        printed.err.split()
    )
    code, printed = run(capsys, "data", "check", "digits", "--fit", "pad")
    assert code == 2
    assert "--fit is for images of your own" in printed.err


def test_the_images_are_looked_at_as_a_recipe_divides_and_reads_them(photos, capsys):
    flags = ["--test", "none", "--validation", "7", "--groups", r"(\d)\.png", "--resize", "12", "--fit", "pad"]
    code, printed = run(capsys, "data", "check", f"folder:{photos}", *flags, "--json")
    assert code == 0, printed.err
    found = json.loads(printed.out)
    splits = load_data(
        f"folder:{photos}", test="none", validation=7, groups=r"(\d)\.png", resize=12, fit="pad", skip_broken=True
    )
    assert found["shape"] == [3, 12, 12]
    assert sum(each["test"] for each in found["classes"]) == 0
    assert sum(each["validation"] for each in found["classes"]) == len(splits.validation)
    assert found["mean"] == pytest.approx(splits.mean)
    code, printed = run(capsys, "data", "check", f"folder:{photos}", "--ground", "pink")
    assert code == 2
    assert "cannot read ground='pink'" in printed.err
