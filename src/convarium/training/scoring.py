"""A network with its weights on a split: logits and scores, on the images as its recipe preprocesses them."""

from typing import Literal

import torch
from torch import Tensor, nn

from convarium.data.batches import Batches
from convarium.data.splits import ImageData, Splits
from convarium.data.transforms import normalization
from convarium.errors import RecipeError
from convarium.metrics import predict_logits, scores
from convarium.recipes.recipe import Recipe
from convarium.records import Scores
from convarium.training.memory import keep_freed_memory
from convarium.training.step import is_channels_last, lay_out

EVALUATION_BATCH = 500


def logits_of(
    network: nn.Module, data: ImageData, recipe: Recipe, splits: Splits, device: torch.device | str = "cpu"
) -> Tensor:
    """Logits (n, classes) of a split in its own order, preprocessed as the recipe says and not augmented."""
    mean, std = normalization(recipe.normalize, splits)
    batches = Batches(
        data,
        batch_size=EVALUATION_BATCH,
        mean=mean,
        std=std,
        device=device,
        channels_last=is_channels_last(network),
        dtype=next(network.parameters()).dtype,
    )
    return predict_logits(network, batches.epoch(0)).cpu()


def evaluate(
    network: nn.Module,
    recipe: Recipe,
    splits: Splits,
    *,
    split: Literal["test", "validation", "train"] = "test",
    device: torch.device | str | None = None,
) -> Scores:
    """Scores of a network with its weights, on the images as the recipe preprocesses them.

    Raises:
        RecipeError: the recipe holds no validation images out.
    """
    data: ImageData = getattr(splits, split)
    if not len(data):
        raise RecipeError(f"{recipe.dataset} has no validation images under this recipe", hint="use --split test")
    device = pick_device(device)
    keep_freed_memory(device)
    lay_out(network.to(device), recipe, device)
    logits = logits_of(network, data, recipe, splits, device)
    return scores(logits, data.labels, data.class_names)


def pick_device(device: torch.device | str | None) -> torch.device:
    """The device asked for, or the best there is.

    Raises:
        RecipeError: no such device here, or one on which Convarium does not train.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise RecipeError(f"unknown device {device!r}", hint="use cpu, cuda or cuda:0") from error
    if chosen.type not in ("cpu", "cuda"):
        raise RecipeError(f"Convarium does not train on {device!r}", hint="use cpu, cuda or cuda:0")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise RecipeError("there is no CUDA device here", hint="use --device cpu")
    return chosen
