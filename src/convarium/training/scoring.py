"""A network with its weights on a split: logits and scores, on the images as its recipe preprocesses them."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from convarium.data.batches import Batches
from convarium.data.splits import ImageData, Splits
from convarium.data.transforms import normalization
from convarium.errors import DataError, RecipeError
from convarium.metrics import scores
from convarium.models.modes import evaluating
from convarium.recipes.recipe import Recipe
from convarium.records import Scores
from convarium.training.numerics import is_channels_last, set_memory_format
from convarium.training.state import TrainingRun

EVALUATION_BATCH = 500


def predict_logits(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """The logits of all images in evaluation mode: (n, classes) float32, on the network's device.

    Args:
        network: every module is left in the mode, training or evaluation, that it was in.
        batches: (images, labels) with images as the network takes them, (b, c, h, w); the labels are not used.

    Raises:
        DataError: there is no batch.
    """
    with evaluating(network), torch.inference_mode():
        logits = [network(images).float() for images, _ in batches]
    if not logits:
        raise DataError("there are no images to predict", hint="give at least one batch")
    return torch.cat(logits)


def split_logits(run: TrainingRun, data: ImageData) -> Tensor:
    """Logits (n, classes) of a split's images in their own order, preprocessed as the recipe says, not augmented."""
    return predict_logits(run.network, scoring_batches(run, data).epoch(0)).cpu()


def scoring_batches(run: TrainingRun, data: ImageData) -> Batches:
    """A split's images in their own order, preprocessed as the recipe says, in the form of the run's network."""
    mean, std = normalization(run.recipe.normalize, run.splits)
    return Batches(
        data,
        batch_size=EVALUATION_BATCH,
        mean=mean,
        std=std,
        device=run.device,
        channels_last=is_channels_last(run.network),
        dtype=next(run.network.parameters()).dtype,
    )


def evaluate(
    network: nn.Module,
    recipe: Recipe,
    splits: Splits,
    *,
    split: Literal["test", "validation", "train"] = "test",
    device: torch.device | str | None = None,
) -> Scores:
    """Scores a network with its weights, on the images as the recipe preprocesses them.

    Args:
        network: is moved to the device, in the memory format that the recipe trains in.
        recipe: says how images are preprocessed.
        splits: as for `fit`.
        split: which of them is scored.
        device: as for `fit`.

    Raises:
        RecipeError: the recipe holds no images out for that split.
    """
    data: ImageData = getattr(splits, split)
    if not len(data):
        hint = "use --split validation" if split == "test" else "use --split test"
        raise RecipeError(f"{recipe.dataset} has no {split} images under this recipe", hint=hint)
    device = pick_device(device)
    set_memory_format(network.to(device), recipe, device)
    logits = split_logits(TrainingRun(recipe, splits, network, device), data)
    return scores(logits, data.labels, data.class_names)


def pick_device(device: torch.device | str | None) -> torch.device:
    """The device that is named, or CUDA if it is available, else the CPU.

    An Apple GPU ("mps") is used only where it is named, because its results have not been compared with a CPU's.

    Raises:
        RecipeError: no such device is available, or Convarium does not train on it.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise RecipeError(f"unknown device {device!r}", hint="use cpu, cuda, cuda:0 or mps") from error
    if chosen.type not in ("cpu", "cuda", "mps"):
        raise RecipeError(f"Convarium does not train on {device!r}", hint="use cpu, cuda, cuda:0 or mps")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise RecipeError("there is no CUDA device here", hint="use --device cpu")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise RecipeError("there is no Apple GPU here that PyTorch can use", hint="use --device cpu")
    return chosen
