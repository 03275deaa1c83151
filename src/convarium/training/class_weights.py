"""How much each class counts in the training loss."""

import torch
from torch import Tensor

from convarium.training.state import TrainingRun


def class_weights(run: TrainingRun) -> Tensor | None:
    """The weight of each class in a run's training loss: (classes,), on its device; None where all count the same."""
    if run.recipe.class_weights == "none":
        return None
    train = run.splits.train
    dtype = next(run.network.parameters()).dtype
    return balanced_weights(train.labels, classes=len(train.class_names)).to(dtype).to(run.device)


def balanced_weights(labels: Tensor, *, classes: int) -> Tensor:
    """N / (classes · images of the class), scikit-learn's rule: all classes together then count as much as each other.

    A class without a training image has the weight 0, and is none of the classes that the rule counts.

    Args:
        labels: (n,) int64.
        classes: how many there are.

    Returns:
        (classes,) float64, with mean 1 over the images.
    """
    counts = torch.bincount(labels.cpu(), minlength=classes).double()
    weights = len(labels) / (int((counts > 0).sum()) * counts)
    return torch.where(counts > 0, weights, 0.0)
