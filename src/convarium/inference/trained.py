"""A trained network with its preprocessing: from an image, however it comes, to logits as in training."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from convarium.data.batches import Batches
from convarium.data.folder_scan import shown
from convarium.data.image_files import UNREADABLE, decode, pixels_of
from convarium.data.preprocessing import form_of
from convarium.data.splits import ImageData
from convarium.data.white import checked_levels
from convarium.errors import DataError
from convarium.models.weights import not_finite
from convarium.notebook import MOST_ROWS, html_table
from convarium.records import Preprocessing
from convarium.training.numerics import exact_arithmetic, is_channels_last
from convarium.training.scoring import EVALUATION_BATCH, predict_logits


class TrainedNetwork(nn.Module):
    """A trained network in evaluation mode, and how images become its input: (n, c, h, w) float → (n, classes).

        network = convarium.load_run("runs/…")
        with torch.inference_mode():
            logits = network(network.preprocess("cat.jpg")[None])
        network.classes[logits.argmax()]

    Attributes:
        network: with its weights, as training and `describe` have it.
        preprocessing: how images become its input.
    """

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing
        self.eval()

    def _repr_html_(self) -> str:
        """What the network takes and answers, and its parts: what a notebook shows; `repr` has every layer."""
        takes, names = self.preprocessing.image, self.classes
        rows = [
            (name, type(part).__name__, f"{sum(p.numel() for p in part.parameters()):,}")
            for name, part in self.network.named_children()
        ]
        sentence = f"takes images of {takes.channels}×{takes.height}×{takes.width} and answers with one of {len(names)}"
        listed = ", ".join(names[:MOST_ROWS]) + (" …" if len(names) > MOST_ROWS else "")
        return html_table(
            ("part", "type", "parameters"), rows,
            title=type(self.network).__name__, sentences=[f"{sentence} classes: {listed}"], text=("type",),
        )  # fmt: skip

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the logits."""
        return self.preprocessing.class_names

    @property
    def device(self) -> torch.device:
        """Where the network's weights are, and its inputs must be."""
        return next(self.network.parameters()).device

    @property
    def wrong(self) -> str | None:
        """Which of the weights are not finite numbers, in a sentence; None if all are."""
        return not_finite(self.network.state_dict())

    def forward(self, normalized: Tensor) -> Tensor:
        """Normalized images (n, c, h, w), in the size that `preprocessing.image` says → logits (n, classes)."""
        logits: Tensor = self.network(normalized)
        return logits

    def pixels(self, image: Any) -> Tensor:
        """An image as the data set of its training would hold it: (c, h, w) uint8, on the CPU.

        Args:
            image: the path of a file, an image of Pillow, or an array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), the
                last for RGBA. Arrays of uint8 are levels from 0 to 255, of bool black and white, and all others values
                from 0 to `preprocessing.white`.

        Raises:
            DataError: the image cannot be read, or its values are beyond white.
        """
        form = form_of(self.preprocessing)
        if isinstance(image, str | os.PathLike):
            return torch.from_numpy(_read(lambda: decode(Path(image), form).pixels, shown(Path(image))))
        if isinstance(image, Image.Image):
            return torch.from_numpy(_read(lambda: pixels_of(image, form), "an image"))
        if not isinstance(image, np.ndarray) or image.dtype.kind not in "buif" or not _is_image_shape(image.shape):
            raise DataError(
                "the image has the wrong form",
                expected="a path, an image of Pillow, or an array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)",
                received=f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__,
            )
        return torch.from_numpy(_read(lambda: pixels_of(_as_image(image, form.white), form), "an array"))

    def normalize(self, images: Tensor) -> Tensor:
        """Images of the data set's form as the network's input, by the code that makes the batches of training.

        Args:
            images: (n, c, h, w) uint8, as `pixels` gives them.

        Returns:
            (n, c, h', w') on the network's device, in its dtype and in the memory format in which it computes.

        Raises:
            DataError: the images have another form.
        """
        wanted = (self.preprocessing.channels, self.preprocessing.height, self.preprocessing.width)
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1:] != wanted:
            raise DataError(
                "the images have the wrong form",
                expected=f"uint8 of shape (n, {', '.join(map(str, wanted))})",
                received=f"{images.dtype} {tuple(images.shape)}",
                hint="make them with pixels(image)",
            )
        weight = next(self.network.parameters())
        batches = Batches(
            ImageData(images, torch.zeros(len(images), dtype=torch.int64), self.classes),
            batch_size=max(1, len(images)),
            mean=self.preprocessing.mean,
            std=self.preprocessing.std,
            resize=self.preprocessing.resize,
            device=weight.device,
            channels_last=is_channels_last(self.network),
            dtype=weight.dtype,
        )
        for batch, _ in batches.epoch(0):
            return batch
        image = self.preprocessing.image
        return torch.empty((0, image.channels, image.height, image.width), dtype=weight.dtype, device=weight.device)

    def preprocess(self, image: Any) -> Tensor:
        """An image as the network's input (c, h, w), without the dimension of the batch; errors as for `pixels`."""
        return self.normalize(self.pixels(image)[None])[0]

    def logits(self, images: Tensor) -> Tensor:
        """Logits of images as the scores of the run were computed: in batches of 500, with the same arithmetic.

        For the run's own test images in their order, and in its environment, they are the stored predictions, bit for
        bit.

        Args:
            images: (n, c, h, w) uint8, as `pixels` gives them.

        Returns:
            (n, classes) float32, on the CPU.

        Raises:
            DataError: the images have another form.
        """
        if not len(images):
            return torch.empty((0, len(self.classes)))
        with exact_arithmetic(self.device):
            batches = ((self.normalize(part), part) for part in torch.split(images, EVALUATION_BATCH))
            return predict_logits(self.network, batches).cpu()


def _read(read: Callable[[], npt.NDArray[np.uint8]], what: str) -> npt.NDArray[np.uint8]:
    try:
        return np.ascontiguousarray(read())
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"cannot read {what}: {reason}", hint="give an image of a known format, whole") from error


def _is_image_shape(shape: tuple[int, ...]) -> bool:
    return min(shape, default=0) > 0 and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)))


def _as_image(values: npt.NDArray[Any], white: int | None) -> Image.Image:
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * np.uint8(255)
    elif values.dtype != np.uint8:
        values = checked_levels(values, white)
    return Image.fromarray(values[:, :, 0] if values.shape[2:] == (1,) else values)
