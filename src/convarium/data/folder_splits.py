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
from dataclasses import dataclass
from pathlib import Path

from convarium.data.divisions import check_classes, stratified, stratified_groups
from convarium.data.folder_options import FolderOptions, parse_groups
from convarium.data.folder_scan import (
    ImageFile,
    ScannedFolder,
    expanded,
    passed_over_sentence,
    scan_folder,
    shown,
)
from convarium.data.sources import DIVISION_SEED
from convarium.errors import DataError

Listed = list[tuple[ImageFile, int]]
"""Image files with their labels."""

_DOT = "begin the folder's name with a dot, so that it is passed over"

_SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "eval", "evaluation", "dev"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class Listing:
    """The image files of a user's own, with their labels, divided.

    Attributes:
        class_names: in the order of the labels.
        train: the training split, before validation images are held out of it.
        held: which of `train` are validation images, in rising order.
        validation: the validation split that the images come with; None: it is held out of `train`.
        test: the test split.
        notes: sentences about what a user may not expect: files that were passed over, how the images were divided.
    """

    class_names: tuple[str, ...]
    train: Listed
    held: list[int]
    validation: Listed | None
    test: Listed
    notes: tuple[str, ...] = ()


def folder_path(dataset: str) -> Path:
    """The path in folder:PATH.

    Raises:
        DataError: there is none, or it cannot be a path.
    """
    path = dataset.removeprefix("folder:")
    if not path.strip():
        raise DataError(f"{dataset!r} names no folder", hint="write folder:PATH with the path of a folder of classes")
    return expanded(path)


def list_folder(path: Path, options: FolderOptions) -> Listing:
    """Lists and divides a folder of images, without opening one.

    Args:
        path: of a folder of classes, or of one with folders for its splits.
        options: `validation` and `groups` decide the division.

    Raises:
        DataError: there are no classes, a class is empty or only in one of the splits, it cannot be told which folders
            are classes and which are splits, or the division is impossible.
    """
    try:
        is_folder = path.is_dir()
    except OSError:  # such as a path that is longer than the system takes
        is_folder = False
    if not is_folder:
        name = shown(path) if len(shown(path)) < 300 else f"{shown(path)[:80]}…"
        raise DataError(f"there is no folder {name}", hint="write folder:PATH with the path of a folder of classes")
    scanned = scan_folder(path)
    notes = []
    splits = _splits(scanned)
    validation = None
    if splits:
        names, train = _list_classes(splits["train"])
        validation = _list_images(splits["validation"], names) if "validation" in splits else None
        if "test" in splits:
            test = _list_images(splits["test"], names)
            _check_groups({"train": train, "validation": validation or [], "test": test}, path, options)
        else:
            train, test = _hold_out_test(train, names, splits["train"].path, options)
            _check_groups({"train": train, "validation": validation or []}, path, options)
            notes.append(
                f"there is no folder test: a fixed fifth of every class of {splits['train'].name} is the test split, "
                "and is not trained on"
            )
    else:
        names, images = _list_classes(scanned)
        train, test = _hold_out_test(images, names, path, options)
    if sentence := passed_over_sentence(_passed_over(scanned, set(splits))):
        notes.append(sentence)
    if options.validation is not None:
        validation = None
    held = [] if validation is not None else hold_out_validation(train, path, options)
    return Listing(tuple(names), train, held, validation, test, tuple(notes))


def hold_out_validation(train: Listed, root: Path, options: FolderOptions) -> list[int]:
    """Which training images are held out for validation: of each class the same share, and groups as a whole.

    Args:
        train: the training images.
        root: the folder that the paths of groups begin in.
        options: `validation` and `groups`.

    Raises:
        DataError: nothing would be left to train on.
    """
    n = len(train)
    count = n // 10 if options.validation is None else options.validation
    if not 0 <= count < n:
        raise DataError(
            f"validation={count} images cannot be held out of {n}",
            expected=f"0 to {n - 1}",
            hint="use --validation 0 to train on everything",
        )
    labels = [label for _, label in train]
    if options.groups is None or count == 0:
        return stratified(labels, count)
    held = stratified_groups(labels, group_names(train, root, options.groups), count)
    if len(held) in (0, n):
        raise DataError(
            f"the groups of groups={options.groups!r} are too large to hold {count} of {n} images out for validation",
            hint="use --validation 0, or choose --groups so that it tells more objects apart",
        )
    return held


def group_names(images: Listed, root: Path, pattern: str) -> list[tuple[str, ...]]:
    """The group of each image: what a pattern finds in its path below `root`.

    Raises:
        DataError: it finds nothing in a path.
    """
    compiled = parse_groups(pattern)
    paths = [file.path.relative_to(root).as_posix() for file, _ in images]
    found = [compiled.search(path) for path in paths]
    missing = [path for path, match in zip(paths, found, strict=True) if match is None]
    if missing:
        raise DataError(
            f"groups={pattern!r} finds nothing in {len(missing)} of {len(paths)} paths, such as {shown(missing[0])}",
            hint="write a pattern that finds something in each",
        )
    return [tuple(text or "" for text in match.groups()) or (match[0],) for match in found if match]


def _check_groups(splits: Mapping[str, Listed], root: Path, options: FolderOptions) -> None:
    """Refuses folders that divide a group."""
    if options.groups is None:
        return
    home: dict[tuple[str, ...], str] = {}
    for split, images in splits.items():
        for group in group_names(images, root, options.groups):
            if home.setdefault(group, split) != split:
                raise DataError(
                    f"images of the group {'/'.join(group)} are in {home[group]} and in {split}",
                    hint="move them into one split, or leave --groups out",
                )


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
    word = re.sub(r"[\W_]", "", name.lower())
    word = re.sub(r"(?<=.)(set|split|data|images|imgs)$", "", word)
    return next((split for split, words in _SPLITS.items() if word in words), None)


def _list_classes(folder: ScannedFolder) -> tuple[list[str], Listed]:
    classes = _classes(folder)
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


def _classes(folder: ScannedFolder) -> dict[str, ScannedFolder]:
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
    classes = _classes(folder)
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


def _hold_out_test(images: Listed, names: Sequence[str], path: Path, options: FolderOptions) -> tuple[Listed, Listed]:
    """Takes a fifth of every class, one image at least, for the test split, by a fixed seed; groups as a whole."""
    if options.groups is not None:
        labels = [label for _, label in images]
        held = stratified_groups(labels, group_names(images, path, options.groups), len(images) // 5)
        check_classes(labels, held, names)
        out = set(held)
        return [item for i, item in enumerate(images) if i not in out], [images[i] for i in held]
    import torch  # whose generator decides which ones, as in every division here

    generator = torch.Generator().manual_seed(DIVISION_SEED)
    train: Listed = []
    test: Listed = []
    of_class: list[Listed] = [[] for _ in names]
    for item in images:
        of_class[item[1]].append(item)
    for name, files in zip(names, of_class, strict=True):
        if len(files) < 2:
            raise DataError(
                f"class {name!r} has one image", expected="two or more", hint=f"add images to {shown(path / name)}"
            )
        order = torch.randperm(len(files), generator=generator).tolist()
        held_out = max(1, len(files) // 5)
        test += [files[i] for i in sorted(order[:held_out])]
        train += [files[i] for i in sorted(order[held_out:])]
    return train, test
