"""Labels as people save them (numbers, texts, one column a class), and their numbers from 0 with the classes' names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from convarium.errors import DataError

MOST = 10_000
"""Classes. More of them are measurements or names of images, not labels."""


def label_values(values: npt.NDArray[Any], n: int, what: str) -> npt.NDArray[Any]:
    """Labels as whole numbers or texts (n,).

    Args:
        values: whole numbers, also as floats or bools; texts or bytes; as (n,), (n, 1), or one column a class with a
            single 1 in each row.
        n: how many images there are.
        what: the labels, for an error: "train labels of photos.npz".

    Raises:
        DataError: they are something else, or not one for each image.
    """
    labels = values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values
    kind = labels.dtype.kind
    if labels.ndim == 2 and kind in "biuf" and bool(((labels == 0) | (labels == 1)).all()):
        if len(labels) == n > 0 and bool((labels.sum(axis=1) == 1).all()):
            return np.nonzero(labels)[1]
    elif labels.shape == (n,) and n > 0:
        if kind in "iuU":
            return labels
        if kind == "b" or (kind == "f" and np.array_equal(labels, np.rint(labels)) and np.abs(labels).max() < 2**53):
            return labels.astype(np.int64)
        if kind == "S":
            return np.array([label.decode("utf-8", "backslashreplace") for label in labels])
    raise DataError(
        f"the {what} have the wrong form",
        expected=f"whole numbers or texts ({n},)",
        received=f"{values.dtype} {values.shape}",
    )


def numbered(
    labels: Mapping[str, npt.NDArray[Any]], file: str, names: Sequence[str] | None = None
) -> tuple[tuple[str, ...], dict[str, npt.NDArray[np.int64]]]:
    """Numbers the classes from 0: as `names` are numbered, or in the order of the labels that there are.

    Args:
        labels: of each split, as `label_values` returns them.
        file: that holds them, for an error.
        names: of the classes, if the labels are their numbers.

    Returns:
        The names of the classes, and for each split the number of each image's class.

    Raises:
        DataError: labels are no numbers of the names, or there are more than MOST classes.
    """
    known = np.unique(np.concatenate(list(labels.values()))).tolist()
    if len(known) > MOST or len(names or ()) > MOST:
        raise DataError(
            f"{file} has {max(len(known), len(names or ())):,} different labels", expected=f"at most {MOST:,}"
        )
    if names is not None and all(isinstance(label, int) for label in known):
        if known[0] < 0 or known[-1] >= len(names):
            raise DataError(f"{file} has labels from {known[0]} to {known[-1]}", expected=f"0 to {len(names) - 1}")
        return tuple(names), {split: values.astype(np.int64) for split, values in labels.items()}
    return tuple(map(str, known)), {split: np.searchsorted(known, values) for split, values in labels.items()}
