"""Scores a trained network on other labeled images than its own, with its own preprocessing and order of classes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from convarium.data.image_errors import named
from convarium.data.new_images import OnImages, find_new_images
from convarium.data.preprocessing import form_of
from convarium.errors import DataError
from convarium.inference.trained import TrainedNetwork
from convarium.metrics import scores
from convarium.records import LEFT_OUT, Scores

_MOST_NAMES = 8


def score_new_images(
    trained: TrainedNetwork,
    dataset: str,
    *,
    split: str = "test",
    data_dir: Path | str | None = None,
    skip_broken: bool = False,
    on_note: Callable[[str], None] | None = None,
    on_event: OnImages | None = None,
) -> Scores:
    """Scores a network on images that are new to it; their own mean and deviation are never used.

    Args:
        trained: the network.
        dataset: a name of DATASETS, or folder:PATH, csv:FILE or npz:FILE, with classes of the same names as the
            network's, or some of them.
        split: which images, if they are divided; of images that are not, all are scored.
        data_dir: a data folder that is searched before all others.
        skip_broken: leave out images that cannot be read.
        on_note: called with a sentence about what a user may not expect.
        on_event: called as images are read from files.

    Raises:
        DataError: a class has another name than all of the network's, or the images cannot be found or read.
    """
    found = find_new_images(
        dataset,
        form_of(trained.preprocessing),
        split=split,
        data_dir=data_dir,
        skip_broken=skip_broken,
        on_event=on_event,
    )
    number_of = class_numbers(dataset, found.class_names, trained.classes)
    logits, labels = [], []
    for images, theirs in found.batches():
        logits.append(trained.logits(torch.from_numpy(images)).numpy())
        labels.append(number_of[theirs])
    notes = list(found.notes)
    if not found.is_divided:
        notes.append(f"{dataset} is not divided into splits: all of its images are scored")
    if found.broken:
        notes.append(f"{LEFT_OUT}: {named(found.broken, found.n)}")
    for note in notes:
        if on_note:
            on_note(note)
    return scores(np.concatenate(logits), np.concatenate(labels), trained.classes)


def class_numbers(dataset: str, theirs: Sequence[str], ours: Sequence[str]) -> npt.NDArray[np.int64]:
    """The network's number of each class of a data set, by its name.

    Args:
        dataset: the name of the data set.
        theirs: the names of its classes.
        ours: the network's.

    Raises:
        DataError: the network has no class of such a name; names it, and those of the network that are missing.
    """
    number_of = {name: number for number, name in enumerate(ours)}
    unknown = [name for name in theirs if name not in number_of]
    if unknown:
        missing = [name for name in ours if name not in set(theirs)]
        plural = "es" if len(unknown) > 1 else ""
        without = f", and no images of {_listed(missing)}" if missing else ""
        raise DataError(
            f"{dataset} has the class{plural} {_listed(unknown)}, which the network does not know{without}",
            hint=f"classes are matched by name; the network knows {_listed(ours)}",
        )
    return np.array([number_of[name] for name in theirs], dtype=np.int64)


def _listed(names: Sequence[str]) -> str:
    quoted = [repr(name) for name in names[:_MOST_NAMES]]
    return ", ".join(quoted) + (f", … ({len(names)} in all)" if len(names) > _MOST_NAMES else "")
