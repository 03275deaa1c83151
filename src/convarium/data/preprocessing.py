"""How image files become the input of a network that is trained on a data set, as a record for other images."""

from typing import TYPE_CHECKING, cast

from convarium.data.folder_options import Fit
from convarium.data.image_files import ImageForm
from convarium.data.transforms import normalization
from convarium.records import Preprocessing

if TYPE_CHECKING:
    from convarium.data.splits import Splits


def preprocessing_of(splits: "Splits", normalize: str) -> Preprocessing:
    """What makes of an image file the input of a network that is trained on these images.

    Args:
        splits: the data set.
        normalize: the recipe's.

    Raises:
        SpecError: `normalize` cannot be read, or does not fit the images.
    """
    images, form = splits.train.images, splits.form
    mean, std = normalization(normalize, splits)
    _, channels, height, width = images.shape
    side = splits.train.resize
    return Preprocessing(
        class_names=splits.train.class_names,
        channels=channels,
        height=height,
        width=width,
        fit="stretch" if form is None else form.fit,
        ground=(255, 255, 255) if form is None else form.ground,
        white=None if form is None else form.white,
        resize=None if (height, width) == (side, side) else side,
        mean=mean,
        std=std,
    )


def form_of(preprocessing: Preprocessing) -> ImageForm:
    """The form that image files are read in for a network with this preprocessing."""
    return ImageForm(
        preprocessing.channels,
        preprocessing.height,
        preprocessing.width,
        cast("Fit", preprocessing.fit),
        preprocessing.ground,
        preprocessing.white,
    )
