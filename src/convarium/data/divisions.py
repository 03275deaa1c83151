"""How images are held out of a split: by class in equal shares, and groups of images as a whole."""

from collections.abc import Hashable, Sequence

import numpy as np

from convarium.data.sources import DIVISION_SEED
from convarium.errors import DataError

RULE = "by class"
"""The rule by which validation images are held out of a folder; a part of the digest, so that another rule shows."""


def stratified(labels: Sequence[int], count: int) -> list[int]:
    """Which `count` images are held out: of each class a share that is exact but for rounding, by a fixed seed.

    Returns:
        Their numbers, in rising order.
    """
    import torch  # whose generator decides which ones, as in every division here

    generator = torch.Generator().manual_seed(DIVISION_SEED)
    members = _members(labels)
    shares = [len(numbers) * count / max(1, len(labels)) for numbers in members]
    quotas = [int(share) for share in shares]
    by_remainder = sorted(range(len(members)), key=lambda label: (quotas[label] - shares[label], label))
    for label in by_remainder[: count - sum(quotas)]:
        quotas[label] += 1
    held = []
    for numbers, quota in zip(members, quotas, strict=True):
        order = torch.randperm(len(numbers), generator=generator).tolist()
        held += [numbers[i] for i in order[:quota]]
    return sorted(held)


def fifth_of_each(labels: Sequence[int], names: Sequence[str]) -> list[int]:
    """Which images are the test split: a fifth of every class, one image at least, by a fixed seed.

    Args:
        labels: of the images.
        names: of the classes.

    Returns:
        Their numbers, in rising order.

    Raises:
        DataError: a class has fewer than two images.
    """
    import torch

    generator = torch.Generator().manual_seed(DIVISION_SEED)
    held = []
    for name, numbers in zip(names, [*_members(labels), *[[]] * len(names)], strict=False):
        if len(numbers) < 2:
            what = "one image" if numbers else "no image"
            raise DataError(f"class {name!r} has {what}", expected="two or more", hint="add images of it")
        order = torch.randperm(len(numbers), generator=generator).tolist()
        held += [numbers[i] for i in order[: max(1, len(numbers) // 5)]]
    return sorted(held)


def stratified_groups(labels: Sequence[int], groups: Sequence[Hashable], count: int) -> list[int]:
    """Which images are held out so that no group is divided: about `count`, of each class about the same share.

    Groups are taken in an order that a fixed seed decides, each if it brings the number of every class nearer to its
    share.

    Returns:
        The numbers of the images, in rising order.
    """
    import torch

    classes = max(labels) + 1
    of_group: dict[Hashable, list[int]] = {}
    for number, group in enumerate(groups):
        of_group.setdefault(group, []).append(number)
    counts = np.array([np.bincount([labels[i] for i in numbers], minlength=classes) for numbers in of_group.values()])
    missing = counts.sum(axis=0) * (count / len(labels))
    order = torch.randperm(len(counts), generator=torch.Generator().manual_seed(DIVISION_SEED)).tolist()
    members = list(of_group.values())
    held: list[int] = []
    for number in sorted(order, key=lambda i: -len(members[i])):
        left = missing - counts[number]
        if (left**2).sum() < (missing**2).sum():
            missing = left
            held += members[number]
    return sorted(held)


def check_classes(labels: Sequence[int], held: Sequence[int], names: Sequence[str]) -> None:
    """Checks that every class has images on both sides of a division.

    Raises:
        DataError: a class has them on one side alone.
    """
    out = set(held)
    for side in (set(range(len(labels))) - out, out):
        missing = sorted(set(range(len(names))) - {labels[i] for i in side})
        if missing:
            raise DataError(
                f"class {names[missing[0]]!r} has too few groups to be in both the training and the test split",
                expected="images of two groups or more in each class",
                hint="choose --groups so that it tells more objects apart",
            )


def _members(labels: Sequence[int]) -> list[list[int]]:
    members: list[list[int]] = [[] for _ in range(max(labels, default=-1) + 1)]
    for number, label in enumerate(labels):
        members[label].append(number)
    return members
