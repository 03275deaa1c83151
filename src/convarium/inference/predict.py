"""What trained networks answer for image files: decoded in parallel, a batch at a time, whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt
import torch

from convarium.characters import one_line
from convarium.data.image_files import decode, in_parallel
from convarium.data.preprocessing import form_of
from convarium.errors import ConvariumError, RunError
from convarium.inference.inputs import ImageInputs, check_file, find_images
from convarium.inference.unknown import Floats, UnknownRule, probabilities_of
from convarium.notebook import MOST_ROWS, html_table
from convarium.training.scoring import EVALUATION_BATCH

if TYPE_CHECKING:
    from convarium.inference.trained import TrainedNetwork

OnImages = Callable[[str, int, int], None]
"""Called with what is read, the number of images so far, and their number in all."""

UNKNOWN = "unknown"
"""What is answered where no class is."""


@dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """What networks answer for images, in the order of the images.

    Attributes:
        paths: of the images that could be read; "-" for one that came from standard input.
        classes: names in the order of the columns.
        logits: (n, classes) float32, of a single network; None for an ensemble.
        probabilities: (n, classes) float64: softmax of the logits, or the mean over the networks of an ensemble.
        unreadable: the images that could not be read, each with the reason.
        rule: when an image is answered 'unknown'; None: every image is answered.
    """

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: Floats = field(repr=False)
    logits: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    rule: UnknownRule | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        unread = f", {len(self.unreadable):,} unreadable" if self.unreadable else ""
        return f"Predictions({len(self):,} images, {len(self.classes):,} classes{unread})"

    def _repr_html_(self) -> str:
        """The answers with their probabilities: what a notebook shows."""
        rows = [
            (path, answer, f"{100 * probability:.1f}")
            for path, answer, probability in zip(self.paths, self.answers, self.probabilities.max(axis=1), strict=True)
        ]
        notes = [f"cannot be read: {path}: {reason}" for path, reason in list(self.unreadable.items())[:MOST_ROWS]]
        return html_table(("image", "answer", "probability, %"), rows, notes=notes, text=("answer",))

    @property
    def likeliest(self) -> tuple[str, ...]:
        """The class of the largest probability of each image, whether it is answered or not."""
        return tuple(self.classes[number] for number in self.probabilities.argmax(axis=1).tolist())

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether each image is answered, and not 'unknown': (n,)."""
        if self.rule is None:
            return np.ones(len(self), dtype=bool)
        return self.rule.answers(self.probabilities)

    @property
    def answers(self) -> tuple[str, ...]:
        """The class of each image, or 'unknown'."""
        pairs = zip(self.likeliest, self.known.tolist(), strict=True)
        return tuple(name if known else UNKNOWN for name, known in pairs)

    def top(self, k: int) -> list[list[tuple[str, float]]]:
        """The k likeliest classes of each image with their probabilities, the likeliest first.

        Raises:
            ConvariumError: k is not from 1 to the number of classes.
        """
        check_top(k, len(self.classes))
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        found = np.take_along_axis(self.probabilities, order, axis=1)
        pairs = zip(order.tolist(), found.tolist(), strict=True)
        return [[(self.classes[i], p) for i, p in zip(*pair, strict=True)] for pair in pairs]


def check_top(k: int, classes: int) -> None:
    """Checks how many classes of each image are asked for.

    Raises:
        ConvariumError: it is not from 1 to `classes`.
    """
    if not 1 <= k <= classes:
        raise ConvariumError(
            f"--top {k} is out of range", expected=f"1 to {classes}, for {classes} classes", hint=f"use --top {classes}"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Predictor:
    """One network with its weights, or an ensemble of several, ready to predict.

    Attributes:
        networks: of an ensemble all, whose probabilities are averaged. They agree in classes and preprocessing.
        description: what answers: "the run digits-lenet-s0-1a2b3c4d".
        runs: names of the runs' folders, none for a file of weights.
        rule: when an image is answered 'unknown'; None: every image is answered.
        notes: sentences about runs that were left out, ended at chance, or have weights that are not finite.
    """

    networks: tuple[TrainedNetwork, ...]
    description: str
    runs: tuple[str, ...] = ()
    rule: UnknownRule | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Predictor({one_line(self.description)}, {len(self.classes):,} classes)"

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names, in the order of the probabilities."""
        return self.networks[0].classes

    def predict(
        self,
        images: str | Path | Sequence[str | Path],
        *,
        stdin: BinaryIO | None = None,
        on_event: OnImages | None = None,
    ) -> Predictions:
        """Predicts images, and returns all answers at once.

        Args:
            images: files, folders, or "-" for standard input; see `find_images`.
            stdin: standard input; None: the process's own.
            on_event: called as images are predicted.

        Raises:
            DataError: nothing is named, or a folder cannot be listed or has no images.
        """
        given = [images] if isinstance(images, (str, Path)) else list(images)
        with find_images(given, stdin) as inputs:
            return _joined(list(self.batches(inputs, on_event=on_event)))

    def batches(self, inputs: ImageInputs, *, on_event: OnImages | None = None) -> Iterator[Predictions]:
        """Predicts images in batches of 500, as runs are scored; no more images than that are in memory.

        Args:
            inputs: the images, in the order of the answers.
            on_event: called as images are predicted.
        """
        form = form_of(self.networks[0].preprocessing)
        names: list[str] = []
        pixels: list[npt.NDArray[np.uint8]] = []
        unreadable: dict[str, str] = {}

        def read(file: Path) -> npt.NDArray[np.uint8]:
            check_file(file)
            return decode(file, form).pixels

        results = in_parallel(read, inputs.files)
        for number, (name, (_, result)) in enumerate(zip(inputs.names, results, strict=True), start=1):
            if isinstance(result, str):
                unreadable[name] = result
            else:
                names.append(name)
                pixels.append(result)
            if len(pixels) == EVALUATION_BATCH or number == len(inputs):
                yield self._answer(names, pixels, unreadable)
                names, pixels, unreadable = [], [], {}
            if on_event:
                on_event("images", number, len(inputs))

    def _answer(self, names: list[str], pixels: list[npt.NDArray[np.uint8]], unreadable: dict[str, str]) -> Predictions:
        if not pixels:
            nothing = np.zeros((0, len(self.classes)), dtype=np.float32)
            only = nothing if len(self.networks) == 1 else None
            return Predictions((), self.classes, nothing.astype(np.float64), only, unreadable, self.rule)
        images = torch.from_numpy(np.stack(pixels))
        logits = [network.logits(images).numpy() for network in self.networks]
        probabilities = mean_probabilities(logits)
        broken = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
        if len(broken):
            raise RunError(
                f"the network's logits of {names[broken[0]]} are not finite", hint="its weights may be damaged"
            )
        only = logits[0] if len(logits) == 1 else None
        return Predictions(tuple(names), self.classes, probabilities, only, unreadable, self.rule)


def mean_probabilities(logits: Iterable[npt.NDArray[np.floating]]) -> Floats:
    """The mean of the probabilities that several networks give the same images: each (n, classes) → (n, classes)."""
    mean: Floats = np.mean([probabilities_of(each) for each in logits], axis=0)
    return mean


def _joined(batches: list[Predictions]) -> Predictions:
    """The answers of several batches, of which there is at least one."""
    first = batches[0]
    logits = [batch.logits for batch in batches if batch.logits is not None]
    unreadable: dict[str, str] = {}
    for batch in batches:
        unreadable |= batch.unreadable
    return Predictions(
        tuple(path for batch in batches for path in batch.paths),
        first.classes,
        np.concatenate([batch.probabilities for batch in batches]),
        np.concatenate(logits) if logits else None,
        unreadable,
        first.rule,
    )
