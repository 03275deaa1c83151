"""A trained network in use: its answers for images that it was not trained on.

`load_trained` makes a `TrainedNetwork` of a stored run, and `load_trained_weights` of a file of weights: it reads an
image as the data set was read, normalizes it as in training, and returns logits.
"""

from typing import TYPE_CHECKING

from convarium.lazy_names import lazy_names

if TYPE_CHECKING:
    from convarium.inference.loading import load_trained, load_trained_weights
    from convarium.inference.trained import TrainedNetwork

__all__ = ["TrainedNetwork", "load_trained", "load_trained_weights"]

__getattr__ = lazy_names(
    __name__,
    {
        "loading": ("load_trained", "load_trained_weights"),
        "trained": ("TrainedNetwork",),
    },
)
