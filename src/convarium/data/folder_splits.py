"""How a folder of a user's own images, one folder a class, is divided into train, validation and test.

    photos/cat/1.jpg …                                     not divided: a fixed fifth of every class is the test split
    photos/train/cat/1.jpg …  photos/test/cat/7.jpg …      divided already
    photos/train/…  photos/val/…  photos/test/…            `val` is the validation split
    photos/train/…  photos/val/…                           a fixed fifth of every class of train is the test split

The splits' folders have the names that people give them, in upper or lower case: train, training, train_set; val,
valid, validation, eval, dev; test, testing. A folder with such a name is a split only if it holds folders, so that a
class may be called train.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from convarium.data.folder_options import FolderOptions
from convarium.data.folder_scan import (
    ScannedFolder,
    passed_over_sentence,
    scan_folder,
    shown,
)
from convarium.data.listings import Listed, Listing, divided, without_test
from convarium.errors import DataError

_DOT = "begin the folder's name with a dot, so that it is passed over"

_SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "eval", "evaluation", "dev"),
    "test": ("test", "testing"),
}


def list_folder(path: Path, options: FolderOptions) -> Listing:
    """Lists and divides a folder of images, without opening one.

    Args:
        path: of a folder of classes, or of one with folders for its splits.
        options: `validation`, `test` and `groups` decide the division.

    Raises:
        DataError: there are no classes, a class is empty or only in one of the splits, it cannot be told which folders
            are classes and which are splits, or the division is impossible.
    """
    try:
        is_folder = path.is_dir()
    except OSError:  # such as a path that is longer than the system takes
        is_folder = False
    if not is_folder:
        packed = path.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
        raise DataError(
            f"there is no folder {shown(path)}",
            hint=f"write folder:PATH with the path of a folder of classes{', unpacked' if packed else ''}",
        )
    scanned = scan_folder(path)
    splits = _splits(scanned)
    names, train = _list_classes(splits.get("train", scanned))
    validation = _list_images(splits["validation"], names) if "validation" in splits else None
    test = _list_images(splits["test"], names) if "test" in splits and options.test != "none" else None
    notes = []
    if options.test == "none":
        notes.append(without_test(splits["test"].name if "test" in splits else None))
    elif splits and test is None:
        notes.append(
            f"there is no folder test: a fixed fifth of every class of {splits['train'].name} is the test split, "
            "and is not trained on"
        )
    passed_over = _passed_over(scanned, set(splits))
    if sentence := passed_over_sentence(passed_over):
        notes.append(sentence)
    listing = divided(names, train, validation=validation, test=test, root=path, options=options, notes=notes)
    return replace(listing, passed_over=sum(counts.total() for _, counts in passed_over))


def _splits(folder: ScannedFolder) -> dict[str, ScannedFolder]:
    """The folders of the splits by the split; empty if the folder holds classes.

    Raises:
        DataError: some folders are splits and others are not, or two folders have names of the same split.
    """
    named = {sub.name: split for sub in folder.folders if (split := split_of(sub.name))}
    found: dict[str, ScannedFolder] = {}
    for sub in folder.folders:
        split = named.get(sub.name)
        if split is None or not any(below.has_images() for below in sub.folders):
            continue
        if split in found:
            raise DataError(
                f"{shown(folder.path)} has two folders for the {split} split: {found[split].name} and {sub.name}",
                hint=f"put their images together, or {_DOT}",
            )
        found[split] = sub
    flat = [sub.name for sub in folder.folders if sub.name in named and sub not in found.values() and sub.has_images()]
    if not found and len(flat) < 2:
        return {}
    where = shown(folder.path)
    if not found:
        raise DataError(
            f"{' and '.join(flat)} in {where} hold images, but no folders of classes",
            hint="put the images of each class into a folder of its own: train/cat/1.jpg, test/cat/7.jpg",
        )
    if "train" not in found:
        names = " and ".join(sub.name for sub in found.values())
        raise DataError(f"{where} has {names}, but no folder train", hint="add train, with the same classes")
    if len(found) == 1:
        train = found["train"].path
        raise DataError(
            f"{where} has a folder {train.name}, but neither test nor val",
            hint=f"add test, with the same classes, or use folder:{shown(train)} to have a fifth held out",
        )
    others = [sub.name for sub in folder.folders if sub not in found.values() and sub.has_images()]
    if others:
        splits = ", ".join(sub.name for sub in found.values())
        raise DataError(
            f"{where} has the splits {splits}, and beside them images in {', '.join(map(shown, others))}",
            hint=f"move those into a split or elsewhere, or {_DOT}",
        )
    return found


def split_of(name: str) -> str | None:
    """The split that a folder's name stands for: "train", "validation" or "test"; None for any other name."""
    word = re.sub(r"[\W_]|(?<=\D)\d+$", "", name.lower())
    word = re.sub(r"(?<=.)(set|split|data|images|imgs)$", "", word)
    return next((split for split, words in _SPLITS.items() if word in words), None)


def _list_classes(folder: ScannedFolder) -> tuple[list[str], Listed]:
    classes = classes_in(folder)
    if len(classes) < 2:
        [inner] = classes.values() if classes else [None]
        deeper = inner is not None and sum(sub.has_images() for sub in inner.folders) > 1
        raise DataError(
            f"{shown(folder.path)} has {len(classes) or 'no'} class{'' if classes else 'es'}",
            expected="two folders or more, one a class, with images in them",
            hint=f"did you mean folder:{shown(inner.path)}?" if inner is not None and deeper else None,
        )
    _check_same_below(folder, classes)
    return sorted(classes), _list_images(folder, sorted(classes))


def classes_in(folder: ScannedFolder) -> dict[str, ScannedFolder]:
    """The folders of the classes by name. A name has one form of its accents, whichever the file system writes."""
    classes: dict[str, ScannedFolder] = {}
    for sub in folder.folders:
        try:
            sub.name.encode()
        except UnicodeEncodeError:
            raise DataError(
                f"the name of the folder {shown(sub.path)} is not UTF-8",
                hint="rename it, since it becomes the name of a class",
            ) from None
        name = unicodedata.normalize("NFC", sub.name)
        if name in classes:
            raise DataError(
                f"{shown(folder.path)} has two folders {name!r}, written with different characters",
                hint="put their images together",
            )
        classes[name] = sub
    return classes


def _check_same_below(folder: ScannedFolder, classes: Mapping[str, ScannedFolder]) -> None:
    """Refuses classes whose images lie in folders of the same names, such as images and masks, or fold1 and fold2."""
    below = {name: [s.name for s in sub.folders if s.has_images()] for name, sub in classes.items()}
    counts = Counter(name for names in below.values() for name in names)
    shared = {name for name, count in counts.items() if count > 1}
    for name, sub in classes.items():
        if shared & set(below[name]) and (len(below[name]) > 1 or sub.images):
            others = sorted(shared)[:5]
            raise DataError(
                f"the classes of {shown(folder.path)} hold folders of the same names: {', '.join(map(shown, others))}",
                expected="one kind of images in each class",
                hint=f"move the others elsewhere, or {_DOT}",
            )


def _list_images(folder: ScannedFolder, names: Sequence[str]) -> Listed:
    classes = classes_in(folder)
    if sorted(classes) != list(names):
        odd = sorted(set(classes) ^ set(names))
        raise DataError(
            f"{shown(folder.path)} has not the classes of the training images",
            hint=f"{', '.join(odd)} must be in both or in neither",
        )
    listed: Listed = []
    for label, name in enumerate(names):
        files = classes[name].all_images()
        if not files:
            passed = passed_over_sentence([(name, classes[name].all_passed_over())])
            raise DataError(
                f"class {name!r} is empty: no image in {shown(classes[name].path)}{f' ({passed})' if passed else ''}",
                hint="add images, or delete the folder",
            )
        listed += [(file, label) for file in files]
    return listed


def _passed_over(folder: ScannedFolder, splits: set[str]) -> list[tuple[str, Counter[str]]]:
    """How many files each class, or the folders above the classes, have that were passed over, by reason."""
    levels = [folder] if not splits else [folder, *(sub for sub in folder.folders if split_of(sub.name))]
    above = []
    for level in levels:
        count = Counter(level.passed_over)
        if level.images:
            count["image outside the classes' folders"] += len(level.images)
        above.append((level.name, count))
    classes = [sub for level in levels for sub in level.folders if sub not in levels]
    return above + [(sub.name, sub.all_passed_over()) for sub in classes]
