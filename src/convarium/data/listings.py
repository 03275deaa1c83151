"""Image files with their labels, and how they are divided, however they were found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convarium.data.divisions import check_classes, fifth_of_each, stratified, stratified_groups
from convarium.data.folder_options import FolderOptions, parse_groups
from convarium.data.folder_scan import ImageFile, shown
from convarium.errors import DataError

Listed = list[tuple[ImageFile, int]]
"""Image files with their labels."""


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
        passed_over: how many files were passed over that are no images.
    """

    class_names: tuple[str, ...]
    train: Listed
    held: list[int]
    validation: Listed | None
    test: Listed
    notes: tuple[str, ...] = ()
    passed_over: int = 0


def divided(
    names: Sequence[str],
    train: Listed,
    *,
    validation: Listed | None,
    test: Listed | None,
    root: Path,
    options: FolderOptions,
    notes: Sequence[str],
) -> Listing:
    """Makes the splits that images do not come with.

    Args:
        names: of the classes.
        train: the training split.
        validation, test: the other splits that the images come with; None: held out of `train`.
        root: the folder that the paths of groups begin in.
        options: `validation`, `test` and `groups`.
        notes: sentences about what a user may not expect.

    Raises:
        DataError: the division is impossible.
    """
    if options.test == "none":
        test = []
    given = {"train": train, "validation": validation or [], "test": test or []}
    if test is None:
        train, test = _hold_out_test(train, names, root, options)
    _check_groups(given, root, options)
    if options.validation is not None:
        validation = None
    held = [] if validation is not None else hold_out_validation(train, root, options)
    return Listing(tuple(names), train, held, validation, test, tuple(notes))


def without_test(unread: str | None) -> str:
    """What to say where no images are held out for a test.

    Args:
        unread: the name of the test split that the images come with; None: they come without one.
    """
    left = f", and {unread} is not read" if unread else ""
    return f"no images are held out for a test: all results are those of the validation images{left}"


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
    count = validation_count(n, options)
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


def validation_count(n: int, options: FolderOptions) -> int:
    """How many of `n` training images are held out for validation: as many as asked for, or a tenth.

    Raises:
        DataError: nothing would be left to train on.
    """
    count = n // 10 if options.validation is None else options.validation
    if not 0 <= count < n:
        raise DataError(
            f"validation={count} images cannot be held out of {n}",
            expected=f"0 to {n - 1}",
            hint="use --validation 0 to train on everything",
        )
    return count


def group_names(images: Listed, root: Path, pattern: str) -> list[tuple[str, ...]]:
    """The group of each image: what a pattern finds in its path below `root`.

    Raises:
        DataError: it finds nothing in a path.
    """
    compiled = parse_groups(pattern)
    paths = [below(file.path, root) for file, _ in images]
    found = [compiled.search(path) for path in paths]
    missing = [path for path, match in zip(paths, found, strict=True) if match is None]
    if missing:
        raise DataError(
            f"groups={pattern!r} finds nothing in {len(missing)} of {len(paths)} paths, such as {shown(missing[0])}",
            hint="write a pattern that finds something in each",
        )
    return [tuple(text or "" for text in match.groups()) or (match[0],) for match in found if match]


def below(path: Path, root: Path) -> str:
    """A path as it is seen from a folder that holds it, with `/` between its parts; elsewhere the whole path."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


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


def _hold_out_test(images: Listed, names: Sequence[str], root: Path, options: FolderOptions) -> tuple[Listed, Listed]:
    """Takes a fifth of every class for the test split, or with groups about a fifth, groups as a whole."""
    labels = [label for _, label in images]
    if options.groups is None:
        held = fifth_of_each(labels, names)
    else:
        held = stratified_groups(labels, group_names(images, root, options.groups), len(images) // 5)
        check_classes(labels, held, names)
    out = set(held)
    return [item for number, item in enumerate(images) if number not in out], [images[number] for number in held]
