import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from convarium.data import load_data
from convarium.errors import DataError
from convarium.records import ImageSpec

NAMES = ("<script>alert(1)</script>".replace("/", "∕"), "猫", "class with, commas & blanks")


def picture(path, size=(12, 10), mode="RGB", level=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(level)
    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def undivided(tmp_path):
    for label, name in enumerate(NAMES):
        for i in range(10):
            picture(tmp_path / name / f"{i}.png", level=100 * label + i)
    return tmp_path


@pytest.fixture
def divided(tmp_path):
    for split, count in (("train", 10), ("test", 3)):
        for label, name in enumerate(NAMES):
            for i in range(count):
                picture(tmp_path / split / name / f"{i}.jpg", mode="L", level=1000 * count + 100 * label + i)
    return tmp_path


def load(path, **options):
    return load_data(f"folder:{path}", **options)


def test_one_level_of_classes_is_divided_by_a_fixed_seed(undivided):
    splits = load(undivided)
    assert splits.train.class_names == tuple(sorted(NAMES))
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [22, 2, 6]
    assert splits.test.labels.bincount().tolist() == [2, 2, 2]
    assert splits.train.spec == ImageSpec(3, 10, 12, 3)
    whole = torch.cat([part.images for part in (splits.train, splits.validation, splits.test)])
    assert len(whole.flatten(1).unique(dim=0)) == 30
    again = load(undivided)
    assert again.digest == splits.digest
    assert torch.equal(again.test.images, splits.test.images)


def test_pixels_and_labels_are_those_of_the_files(undivided):
    splits = load(undivided, validation=0)
    by_pixels = {np.asarray(Image.open(file)).tobytes(): file.parent.name for file in undivided.rglob("*.png")}
    for part in (splits.train, splits.test):
        for image, label in zip(part.images, part.labels.tolist(), strict=True):
            assert by_pixels[image.permute(1, 2, 0).contiguous().numpy().tobytes()] == part.class_names[label]


def test_a_divided_folder_keeps_its_division_and_its_gray(divided):
    splits = load(divided)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [27, 3, 9]
    assert splits.train.spec == ImageSpec(1, 10, 12, 3)


def test_val_beside_test_is_the_validation_split(divided):
    shutil.copytree(divided / "test", divided / "val")
    for extra in (divided / "val").glob("*/2.jpg"):
        extra.unlink()
    splits = load(divided)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [30, 6, 9]
    assert len(load(divided, validation=5).validation) == 5
    shutil.copytree(divided, divided / ".copy", ignore=shutil.ignore_patterns("val"))
    assert load(divided).digest != load(divided / ".copy").digest


def test_images_of_all_sizes_are_brought_to_the_median_one_or_to_the_asked_one(undivided):
    for size, name in zip(((40, 8), (20, 50), (3, 3)), "abc", strict=True):
        picture(undivided / NAMES[1] / f"{name}.png", size=size)
    assert load(undivided).train.spec == ImageSpec(3, 10, 12, 3)
    asked = load(undivided, resize=17).train
    assert asked.spec == ImageSpec(3, 17, 17, 3)
    assert asked.images.shape[-2:] == (17, 17)


def test_one_colored_image_makes_the_data_set_colored(divided):
    picture(divided / "train" / NAMES[0] / "color.png")
    assert load(divided).train.spec.channels == 3


def test_formats_orientations_and_depths_are_read_as_they_are_looked_at(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6), dtype=np.uint8)
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        Image.fromarray(pixels).save(folder / "0.bmp")
        Image.fromarray((pixels.astype(np.uint16) << 8) + 7).save(folder / "1.png")
        turned = Image.fromarray(np.rot90(pixels, 1))
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90° clockwise
        turned.save(folder / "2.png", exif=exif)
        Image.fromarray(pixels).convert("LA").save(folder / "3.PNG")
        Image.fromarray(pixels).save(folder / "4.webp", lossless=True)
    splits = load(tmp_path, validation=0)
    images = torch.cat([splits.train.images, splits.test.images])
    assert images.shape[1:] in ((1, 4, 6), (3, 4, 6))  # WebP knows no gray
    assert (images == torch.from_numpy(pixels)).all()


def test_other_files_and_hidden_ones_are_passed_over(undivided):
    before = load(undivided).digest
    (undivided / NAMES[0] / "notes.txt").write_text("not an image")
    (undivided / NAMES[0] / ".hidden.png").write_text("not an image")
    (undivided / ".thumbnails").mkdir()
    assert load(undivided).digest == before


def test_a_broken_image_is_named(undivided):
    file = undivided / NAMES[1] / "3.png"
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(DataError, match=r"cannot read the image .*猫/3.png.*repair or delete them"):
        load(undivided)
    file.write_bytes(b"rubbish")
    with pytest.raises(DataError, match=r"cannot read the image .*猫/3.png"):
        load(undivided)


def test_an_image_too_large_to_be_honest_is_named(undivided, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(DataError, match=r"cannot read 30 of 30 images: .* and 20 more; repair or delete them"):
        load(undivided)


def test_a_folder_without_classes_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"'folder:' names nothing; write folder:PATH"):
        load_data("folder:")
    with pytest.raises(DataError, match=r"there is no folder .*nowhere.*folder:PATH"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError, match="has no classes: expected two folders or more"):
        load(tmp_path)
    picture(tmp_path / "only" / "0.png")
    with pytest.raises(DataError, match="has 1 class: expected two folders or more"):
        load(tmp_path)


def test_an_empty_class_is_named(undivided):
    (undivided / "void").mkdir()
    with pytest.raises(DataError, match=r"class 'void' is empty.*add images"):
        load(undivided)


def test_a_class_of_one_image_cannot_be_divided(undivided):
    picture(undivided / "lonely" / "0.png")
    with pytest.raises(DataError, match="class 'lonely' has one image: expected two or more; add"):
        load(undivided)


def test_both_splits_must_have_the_same_classes(divided):
    shutil.move(divided / "test" / "猫", divided / "test" / "dog")
    with pytest.raises(DataError, match="not the classes of the training images; dog, 猫 must be in both"):
        load(divided)


def test_training_images_without_test_images_are_refused(divided):
    shutil.rmtree(divided / "test")
    with pytest.raises(DataError, match="neither test nor val"):
        load(divided)


def test_too_many_validation_images_are_refused(undivided):
    with pytest.raises(DataError, match="validation=24 images cannot be held out of 24"):
        load(undivided, validation=24)
