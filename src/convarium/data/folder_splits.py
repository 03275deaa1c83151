"""How a folder of a user's own images, one folder a class, is divided into train, validation and test.

    photos/train/cat/1.jpg …  photos/test/cat/7.jpg …    divided already: `test/`, or `val/` if there is no `test/`
    photos/cat/1.jpg …                                   not divided: a fixed fifth of every class is the test split

If there are both, `val/` is the validation split. Files without the suffix of an image format are ignored.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from convarium.data.image_files import Listed, read_header
from convarium.data.sources import DIVISION_SEED
from convarium.errors import DataError


@dataclass(frozen=True)
class Folder:
    """The files of a folder of images, listed and divided, and the form that the images are read in.

    Attributes:
        class_names: the names of the classes' folders, sorted.
        train, validation, test: files with their labels; no validation where it is to be held out of train.
        channels: 1 if all training images are gray, else 3.
        height, width: in pixels.
    """

    class_names: tuple[str, ...]
    train: Listed
    validation: Listed | None
    test: Listed
    channels: int
    height: int
    width: int


def list_folder(path: Path, *, side: int | None = None) -> Folder:
    """Lists and divides a folder of images, without decoding them.

    Args:
        path: of a folder of classes, or of one with `train/` and `test/` or `val/`.
        side: in pixels, of square images; None: the median height and width of the training images.

    Raises:
        DataError: there are no classes, a class is empty or only in one of the splits, or an image cannot be read.
    """
    if not path.is_dir():
        raise DataError(f"there is no folder {path}", hint="write folder:PATH with the path of a folder of classes")
    if _is_divided(path):
        names, train = _list_classes(path / "train")
        has_test = (path / "test").is_dir()
        test = _list_images(path / "test" if has_test else path / "val", names)
        validation = _list_images(path / "val", names) if has_test and (path / "val").is_dir() else None
    else:
        names, images = _list_classes(path)
        train, test = _hold_out_test(images, names, path)
        validation = None
    with ThreadPoolExecutor() as pool:
        headers = list(pool.map(read_header, [file for file, _ in train]))
    gray = all(mode in ("1", "L", "LA") or mode.startswith("I") for mode, _, _ in headers)
    height, width = (side, side) if side else tuple(int(np.median([h[k] for h in headers])) for k in (1, 2))
    return Folder(tuple(names), train, validation, test, 1 if gray else 3, height, width)


def _is_divided(path: Path) -> bool:
    if not (path / "train").is_dir():
        return False
    if not ((path / "test").is_dir() or (path / "val").is_dir()):
        raise DataError(f"{path} has a folder train, but neither test nor val", hint="add test, with the same classes")
    return True


def _classes(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _list_classes(path: Path) -> tuple[list[str], Listed]:
    names = _classes(path)
    if len(names) < 2:
        raise DataError(
            f"{path} has {len(names) or 'no'} class{'' if names else 'es'}",
            expected="two folders or more, one a class, with images in them",
        )
    return names, _list_images(path, names)


def _list_images(path: Path, names: Sequence[str]) -> Listed:
    present = _classes(path)
    if present != list(names):
        odd = sorted(set(present) ^ set(names))
        raise DataError(
            f"{path} has not the classes of the training images",
            hint=f"{', '.join(odd)} must be in both or in neither",
        )
    suffixes = Image.registered_extensions()
    listed: Listed = []
    for label, name in enumerate(names):
        files = [p for p in (path / name).rglob("*") if p.suffix.lower() in suffixes and not p.name.startswith(".")]
        if not files:
            raise DataError(
                f"class {name!r} is empty: no image in {path / name}", hint="add images, or delete the folder"
            )
        listed += [(file, label) for file in sorted(files, key=lambda p: p.as_posix())]
    return listed


def _hold_out_test(images: Listed, names: Sequence[str], path: Path) -> tuple[Listed, Listed]:
    """Takes a fifth of every class, one image at least, for the test split, by a fixed seed."""
    import torch  # whose generator decides which ones, as in every division here

    generator = torch.Generator().manual_seed(DIVISION_SEED)
    train: Listed = []
    test: Listed = []
    for label, name in enumerate(names):
        files = [item for item in images if item[1] == label]
        if len(files) < 2:
            raise DataError(
                f"class {name!r} has one image", expected="two or more", hint=f"add images to {path / name}"
            )
        order = torch.randperm(len(files), generator=generator).tolist()
        held_out = max(1, len(files) // 5)
        test += [files[i] for i in sorted(order[:held_out])]
        train += [files[i] for i in sorted(order[held_out:])]
    return train, test
