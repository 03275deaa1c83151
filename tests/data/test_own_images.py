"""The pixels of a user's own images are what a person sees, whatever the files hold; what is uncertain is said."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from convarium.data import load_data
from convarium.errors import DataError

RNG = np.random.default_rng(0)


def photos(root, *images, names=("a", "b")):
    """Each image, or what writes it to a path, once in every class."""
    for name in names:
        for number, image in enumerate(images):
            file = root / name / f"{number:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            image(file) if callable(image) else image.save(file)
    return f"folder:{root}"


def load(dataset, **options):
    """All images of a data set by class, in any order, without those that validation would hold out."""
    splits = load_data(dataset, validation=0, **options)
    images = torch.cat([splits.train.images, splits.test.images]).numpy()
    return splits, images


def tiff(pixels):
    return lambda file: Image.fromarray(pixels).save(file, format="TIFF")


GRAY = np.array([[0, 50], [100, 255]], np.uint8)
DRAWING = Image.merge("LA", (Image.new("L", (2, 2), 0), Image.fromarray(np.array([[0, 255], [0, 128]], np.uint8))))
"""As canvases save them: black everywhere, and opaque only where something was drawn."""


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize(("ground", "expected"), [("white", [[255, 0], [255, 127]]), ("black", [[0, 0], [0, 0]])])
def test_transparent_pixels_lie_on_the_stated_ground(tmp_path, mode, ground, expected):
    splits, images = load(photos(tmp_path, *[DRAWING.convert(mode)] * 2), ground=ground)
    assert images.shape[1] == (1 if mode == "LA" else 3)
    assert (images == np.array(expected)).all()
    assert f"4 images with transparent pixels, which lie on {ground} (--ground)" in splits.notes


def test_a_ground_with_a_color_makes_gray_images_colored(tmp_path):
    _, images = load(photos(tmp_path, DRAWING, DRAWING), ground="#ff8000")
    assert images[0, :, 0, 0].tolist() == [255, 128, 0]
    assert images[0, :, 0, 1].tolist() == [0, 0, 0]


def test_a_palette_with_a_transparent_color_lies_on_the_ground(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    _, images = load(photos(tmp_path, *[lambda file: image.save(file, transparency=0)] * 2))
    assert images[0].transpose(1, 2, 0).tolist() == [[[255] * 3, [40, 50, 60]], [[40, 50, 60], [255] * 3]]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_one_transparent_color_lies_on_the_ground(tmp_path, mode):
    clear = 50 if mode == "L" else (50, 50, 50)
    image = Image.fromarray(GRAY).convert(mode)
    _, images = load(photos(tmp_path, *[lambda file: image.save(file, transparency=clear)] * 2))
    assert images[0, 0].tolist() == [[0, 255], [100, 255]]


def test_opaque_images_with_an_alpha_channel_need_no_word(tmp_path):
    splits, images = load(photos(tmp_path, *[Image.fromarray(GRAY).convert("RGBA")] * 2))
    assert (images == GRAY).all()
    assert not any("transparent" in note for note in splits.notes)


@pytest.mark.parametrize(
    ("dtype", "values", "white", "expected"),
    [
        (np.uint16, [0, 128, 255], 255, [0, 128, 255]),
        (np.uint16, [0, 2048, 4095], 4095, [0, 128, 255]),
        (np.uint16, [0, 512, 1023], 1023, [0, 128, 255]),
        (np.uint16, [0, 8192, 16383], 16383, [0, 128, 255]),
        (np.uint16, [0, 32768, 65535], 65535, [0, 128, 255]),
        (np.uint16, [0, 1, 1], 1, [0, 255, 255]),
        (np.int32, [0, 128, 255], 255, [0, 128, 255]),
        (np.int32, [0, 32768, 65535], 65535, [0, 128, 255]),
        (np.float32, [0, 0.5, 1], 1, [0, 128, 255]),
        (np.float32, [0, 128.4, 255], 255, [0, 128, 255]),
        (np.float32, [0, 32768, 65535], 65535, [0, 128, 255]),
    ],
)
def test_images_of_more_than_8_bits_have_the_range_of_their_values(tmp_path, dtype, values, white, expected):
    splits, images = load(photos(tmp_path, *[tiff(np.array([values], dtype))] * 2))
    assert images.shape[1:] == (1, 1, 3)
    assert (images == np.array(expected)).all()
    assert f"images of more than 8 bits are read with {white:,} as white" in splits.notes


def test_the_range_is_that_of_the_whole_folder_so_that_dark_images_stay_dark(tmp_path):
    """Of 8 bits, and of 16 with all values below 256: the first keeps its values, the second is nearly black."""
    dark, bright = np.array([[0, 200]], np.uint16), np.array([[0, 40000]], np.uint16)
    _, images = load(photos(tmp_path, tiff(dark), tiff(bright), Image.fromarray(np.array([[0, 200]], np.uint8))))
    assert sorted({int(image.max()) for image in images}) == [0, 156, 200]


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        (np.array([[0, 70000]], np.int32), "0 to 70000"),
        (np.array([[-3, 200]], np.int32), "-3 to 200"),
        (np.array([[-0.5, 0.5]], np.float32), "-0.5 to 0.5"),
        (np.array([[0.5, 1e6]], np.float32), "0.5 to 1e.06"),
    ],
)
def test_a_range_that_is_none_of_the_usual_is_refused_with_what_was_seen(tmp_path, values, seen):
    with pytest.raises(DataError, match=f"more than 8 bits have values from {seen}: expected 0 to 1, 255, .*65,535"):
        load(photos(tmp_path, *[tiff(values)] * 2))


def test_values_that_are_not_finite_are_unreadable(tmp_path):
    with pytest.raises(DataError, match=r"cannot read 2 of 4 images: .*a/001.png \(values that are not finite\)"):
        load(photos(tmp_path, tiff(np.array([[0.5]], np.float32)), tiff(np.array([[np.nan]], np.float32))))


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("CMYK", 3), ("P", 3)])
def test_bits_inks_and_palettes_are_read_as_they_look(tmp_path, mode, channels):
    image = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("RGB").convert(mode)
    _, images = load(photos(tmp_path, *[lambda file: image.save(file, format="TIFF")] * 2))
    assert images.shape[1] == channels
    assert (images == np.array([[0, 255]])).all()


def test_of_several_frames_the_first_is_read_and_that_is_said(tmp_path):
    frames = [Image.new("L", (2, 2), level) for level in (10, 200)]
    splits, images = load(
        photos(tmp_path, *[lambda f: frames[0].save(f, "GIF", save_all=True, append_images=frames[1:])] * 2)
    )
    assert (images == 10).all()
    assert "4 images with several frames, of which the first is read, in HEIC the main one" in splits.notes


def test_how_images_of_another_shape_fit(tmp_path):
    """A square image with a white left half in images twice as wide as high."""
    wide, square = Image.new("L", (8, 4), 128), Image.fromarray(np.repeat([[255, 255, 0, 0]], 4, axis=0).astype("u1"))
    dataset = photos(tmp_path, wide, wide, wide, square)

    def only(fit, ground="white"):
        _, images = load(dataset, fit=fit, ground=ground)
        [image] = {image[0].tobytes(): image[0] for image in images if (image != 128).any()}.values()
        return image.tolist()

    assert only("stretch")[0][:3] == [255, 255, 255]
    assert only("stretch")[0][-3:] == [0, 0, 0]
    assert only("pad") == [[255, 255, 255, 255, 0, 0, 255, 255]] * 4
    assert only("pad", "black") == [[0, 0, 255, 255, 0, 0, 0, 0]] * 4
    assert only("crop") == only("stretch")  # since all rows are equal: the upper and lower quarter are cut off


def test_the_digest_covers_what_an_answer_depends_on(tmp_path):
    dataset = photos(tmp_path, *(Image.new("L", (4, 4), 10 * i) for i in range(10)))
    digest = load_data(dataset).digest
    assert load_data(dataset).digest == digest
    assert load_data(dataset, resize=8).digest != digest
    (tmp_path / "a").rename(tmp_path / "c")
    assert load_data(dataset).digest != digest  # the classes' names have changed, and with them their order
    (tmp_path / "c").rename(tmp_path / "a")
    assert load_data(dataset).digest == digest
    Image.new("L", (4, 4), 3).save(tmp_path / "a" / "000.png")
    assert load_data(dataset).digest != digest


@pytest.mark.parametrize("validation", [0, 1, 7, None])
def test_the_digest_is_that_of_the_images_however_many_are_held_out(tmp_path, validation):
    dataset = photos(tmp_path, *(Image.new("L", (4, 4), 10 * i) for i in range(20)))
    assert load_data(dataset, validation=validation).digest == load_data(dataset).digest


def test_unreadable_images_are_all_named_at_once_or_left_out(tmp_path):
    """Two whose headers cannot be read, and one that breaks off in its pixels."""
    dataset = photos(tmp_path, *(Image.fromarray(RNG.integers(0, 255, (30, 30), np.uint8)) for _ in range(10)))
    (tmp_path / "a" / "003.png").write_bytes(b"rubbish")
    (tmp_path / "b" / "004.png").write_bytes(b"")
    whole = (tmp_path / "b" / "005.png").read_bytes()
    (tmp_path / "b" / "005.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError) as caught:
        load(dataset)
    for text in ("cannot read 3 of 20 images", "a/003.png", "b/004.png", "b/005.png", "with --skip-broken"):
        assert text in str(caught.value)
    splits, images = load(dataset, skip_broken=True)
    assert len(images) == 17
    (note,) = (note for note in splits.notes if "left out since they cannot be read: 3 of 20 images" in note)
    assert "b/005.png (" in note


def test_a_gif_that_breaks_off_in_its_second_picture_is_unreadable(tmp_path):
    """Pillow raises no error of its own then, but that of the module struct."""
    dataset = photos(tmp_path, *(Image.new("L", (4, 4), 10 * i) for i in range(4)))
    broken = io.BytesIO()
    Image.new("L", (4, 4)).save(broken, "gif")
    assert broken.getvalue().endswith(b";")  # the end; a picture begins with a comma
    (tmp_path / "a" / "000.gif").write_bytes(broken.getvalue()[:-1] + b",")
    with pytest.raises(DataError, match=r"cannot read the image .*000\.gif"):
        load(dataset)


def test_a_class_of_which_nothing_is_left_is_named(tmp_path):
    dataset = photos(tmp_path, Image.new("L", (2, 2)), Image.new("L", (2, 2)))
    for file in (tmp_path / "b").iterdir():
        file.write_bytes(b"rubbish")
    with pytest.raises(DataError, match="class 'b' has no training image that can be read; repair or add images"):
        load(dataset, skip_broken=True)
    for file in (tmp_path / "a").iterdir():
        file.write_bytes(b"rubbish")
    with pytest.raises(DataError, match="cannot read 4 of 4 images"):
        load(dataset, skip_broken=True)


def test_equal_images_of_other_formats_are_equal(tmp_path):
    images = [Image.fromarray(RNG.integers(0, 255, (5, 5), np.uint8)) for _ in range(26)]
    for number, image in enumerate(images):
        split, name = ("train", "test")[number >= 20], "ab"[number % 2]
        (tmp_path / split / name).mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / split / name / f"{number}.png")
    assert load_data(f"folder:{tmp_path}").notes == ()
    images[4].save(tmp_path / "test" / "a" / "other.bmp")
    (tmp_path / "test" / "b" / "copy.png").write_bytes((tmp_path / "train" / "b" / "7.png").read_bytes())
    (note,) = load_data(f"folder:{tmp_path}", validation=0).notes
    assert note == (
        "2 images of the validation and test splits that another split has too, pixel by pixel: "
        "train/a/4.png = test/a/other.bmp, train/b/7.png = test/b/copy.png"
    )


def test_of_copies_those_outside_of_training_are_counted(tmp_path):
    images, labels = RNG.integers(0, 255, (60, 5, 5), np.uint8), np.repeat([0, 1], 30)
    dataset = f"npz:{tmp_path / 'photos.npz'}"
    np.savez(tmp_path / "photos.npz", x_train=images, y_train=labels)
    splits = load_data(dataset, validation=0)
    (tested,) = (number for number in range(30) if np.array_equal(images[number], splits.test.images[0, 0]))
    trained = [n for n in range(30) if any(np.array_equal(images[n], image[0]) for image in splits.train.images)]
    copies = [number for number in trained if number > tested]
    assert len(copies) > 3
    images[copies] = images[tested]
    np.savez(tmp_path / "photos.npz", x_train=images, y_train=labels)
    (note,) = load_data(dataset, validation=0).notes
    assert note == (
        "1 image of the validation and test splits that another split has too, pixel by pixel: "
        f"image {copies[0]} = image {tested}"
    )


def test_an_image_of_two_classes_is_told_of_even_within_a_split(tmp_path):
    noise = [Image.effect_noise((8, 8), 90) for _ in range(20)]
    noise[5] = noise[2].copy()
    for number, image in enumerate(noise):
        file = tmp_path / "photos" / "ab"[number % 2] / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file)
    splits = load_data(f"folder:{tmp_path / 'photos'}", validation=0)
    assert "1 image that another class has too, pixel by pixel: a/02.png = b/05.png" in splits.notes


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS: git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html>", "it is a web page"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "it is a drawing in SVG"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "it is a video"),
        (b"PK\x03\x04" + bytes(40), "it is an archive"),
        (b"%PDF-1.7", "it is a PDF"),
        (b"", "it is empty"),
        (bytes(5000), "it holds zeros alone"),
        (b"no image", "it is no image that Pillow knows"),
    ],
)
def test_of_a_file_that_is_no_image_is_said_what_it_is(tmp_path, content, reason):
    dataset = photos(tmp_path, *[Image.fromarray(GRAY)] * 2)
    (tmp_path / "a" / "000.png").write_bytes(content)
    with pytest.raises(DataError, match=rf"cannot read the image .*000.png \(.*{reason}"):
        load(dataset)


def png_of_16_bits(values, color_type, *chunks):
    """A PNG file as Pillow does not write it: 16 bits a channel. Color type 2 is RGB, 4 gray and alpha, 6 RGBA."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return lambda file: file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


@pytest.mark.parametrize("white", [65535, 4095, 255])
def test_colors_of_16_bits_have_the_range_of_their_values(tmp_path, white):
    values = RNG.integers(0, white + 1, (4, 5, 3))
    values[0, 0] = 0, white // 3, white
    splits, images = load(photos(tmp_path, *[png_of_16_bits(values, 2)] * 2))
    expected = values if white == 255 else values * 256 // (white + 1)
    assert (images == expected.transpose(2, 0, 1)).all()
    assert f"images of more than 8 bits are read with {white:,} as white" in splits.notes


def test_transparency_of_images_of_16_bits_lies_on_the_ground(tmp_path):
    levels = RNG.integers(60000, 65536, (2, 3, 1))
    alpha = np.array([[[65535], [0], [65535]], [[0], [65535], [65535]]])
    gray = png_of_16_bits(np.concatenate([levels, alpha], axis=2), 4)
    colored = png_of_16_bits(np.concatenate([levels, levels, levels, alpha], axis=2), 6)
    key = np.repeat(np.where(alpha == 0, 1234, levels), 3, axis=2)
    keyed = png_of_16_bits(key, 2, (b"tRNS", struct.pack(">HHH", 1234, 1234, 1234)))
    _, images = load(photos(tmp_path, gray, colored, keyed), ground="#0a0b0c")
    expected = np.where(alpha == 0, (10, 11, 12), levels >> 8).transpose(2, 0, 1)
    assert len(images) == 6
    assert (images == expected).all()
