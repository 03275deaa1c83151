"""Images as tensors, and their division into splits."""

from dataclasses import dataclass

from torch import Tensor

from convarium.records import ImageSpec


@dataclass(frozen=True, eq=False)
class ImageData:
    """Labelled images.

    Attributes:
        images: (n, c, h, w) uint8.
        labels: (n,) int64.
        class_names: one name a class, in the order of the labels.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def spec(self) -> ImageSpec:
        """What a network must take to be trained on these images."""
        _, channels, height, width = self.images.shape
        return ImageSpec(channels, height, width, len(self.class_names))


@dataclass(frozen=True, eq=False)
class Splits:
    """The three parts of a data set. `validation` may be empty; `test` is the publisher's own.

    Attributes:
        digest: of the content of all images and labels, SHA-256 in hexadecimal.
        mean, std: of the pixels of `train` by channel, in units of 1 = white.
    """

    dataset: str
    train: ImageData
    validation: ImageData
    test: ImageData
    digest: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
