"""A trained network in use: its answers for images that it was not trained on.

`load_trained` makes a `TrainedNetwork` of a stored run, and `load_trained_weights` of a file of weights: it reads an
image as the data set was read, normalizes it as in training, and returns logits.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convarium.inference.loading import load_trained, load_trained_weights
    from convarium.inference.trained import TrainedNetwork

__all__ = ["TrainedNetwork", "load_trained", "load_trained_weights"]


def __getattr__(name: str) -> Any:
    """Imports a public name's module when the name is first used, since PyTorch takes seconds."""
    if name in __all__:
        from convarium.inference import loading, trained

        return getattr(trained if name == "TrainedNetwork" else loading, name)
    raise AttributeError(f"module 'convarium.inference' has no attribute {name!r}")
