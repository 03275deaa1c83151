"""The usual size of images is that of their files, as a camera held them, whatever else lies there."""

import numpy as np
import pytest
from PIL import Image

from convarium.data.folder_options import FolderOptions
from convarium.data.median_size import median_size


def files(root, *sizes):
    """An image of each size (height, width) in each of two classes."""
    for name in ("a", "b"):
        (root / name).mkdir()
        for number, (height, width) in enumerate(sizes):
            Image.new("L", (width, height)).save(root / name / f"{number}.png")
    return f"folder:{root}"


def test_it_is_the_median_of_height_and_width(tmp_path):
    dataset = files(tmp_path, (30, 40), (30, 40), (30, 40), (1000, 8))
    assert median_size(dataset, FolderOptions(test="none", validation=2)) == (30, 40)


def test_a_broken_file_does_not_count(tmp_path):
    dataset = files(tmp_path, *[(20, 21)] * 4)
    (tmp_path / "a" / "9.png").write_bytes(b"no image")
    assert median_size(dataset, FolderOptions()) == (20, 21)


@pytest.mark.parametrize("name", ["x.npz", "x.csv"])
def test_files_of_pixels_have_none(tmp_path, name):
    file = tmp_path / name
    if name.endswith("npz"):
        np.savez(file, images=np.zeros((2, 4, 4), np.uint8), labels=np.array([0, 1]))
    else:
        file.write_text("label,pixel0,pixel1,pixel2,pixel3\n0,1,2,3,4\n")
    assert median_size(f"{name[2:]}:{file}", FolderOptions()) is None
