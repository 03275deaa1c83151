"""What makes a division or a label doubtful: equal images in two splits or classes, and classes of nearly one name."""

import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt


def equal_images(
    digests: Sequence[bytes],
    split: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    name: Callable[[int], str],
) -> list[str]:
    """Sentences about images that are equal pixel by pixel: of two splits, and of two classes.

    Args:
        digests: of the images' pixels; those of training images first.
        split, labels: number of each image's split and class.
        name: what a user calls an image, by its number.
    """
    first: dict[bytes, int] = {}
    across, contradicting = [], []
    for number, digest in enumerate(digests):
        other = first.setdefault(digest, number)
        if split[other] != split[number]:
            across.append((other, number))
        if labels[other] != labels[number]:
            contradicting.append((other, number))
    notes = []
    if across:
        notes.append(
            f"{count_of(len(across))} of the validation and test splits that another split has too, pixel by pixel: "
            f"{_named(across, name)}"
        )
    if contradicting:
        notes.append(
            f"{count_of(len(contradicting))} that another class has too, pixel by pixel: {_named(contradicting, name)}"
        )
    return notes


def similar_names(class_names: Sequence[str]) -> list[str]:
    """A sentence about classes whose names differ in case, spaces or the width of letters alone, if there are any."""
    alike: dict[str, list[str]] = {}
    for name in class_names:
        alike.setdefault("".join(unicodedata.normalize("NFKC", name).casefold().split()), []).append(name)
    groups = [" and ".join(map(repr, names)) for names in alike.values() if len(names) > 1]
    if not groups:
        return []
    return [f"names that differ in case or spaces alone are classes of their own: {', '.join(groups[:3])}"]


def count_of(n: int) -> str:
    """A number of images in words: "1 image", "2,000 images"."""
    return f"{n:,} image{'s' if n != 1 else ''}"


def _named(pairs: Sequence[tuple[int, int]], name: Callable[[int], str]) -> str:
    named = [f"{name(a)} = {name(b)}" for a, b in pairs[:3]]
    return ", ".join(named) + (", …" if len(pairs) > 3 else "")
