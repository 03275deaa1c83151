"""Every diagnostic of every network of a study, from stored weights: one run a network stands for all its seeds."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from convarium.data import load_data
from convarium.data.splits import Splits
from convarium.data.transforms import normalization
from convarium.diagnostics.activity import UnitActivity, unit_activity
from convarium.diagnostics.augmented import Augmented, augmented_samples
from convarium.diagnostics.features import FeatureMaps, Filters, feature_maps, first_filters
from convarium.diagnostics.gradients import LayerGradient, gradient_norms, initial_gradients
from convarium.diagnostics.sample import IMAGES, training_sample
from convarium.diagnostics.surface import SIZE, LossSurface, check_size, loss_surface
from convarium.errors import ConvariumError
from convarium.models.build import build_model
from convarium.models.weights import set_weights
from convarium.runs.files import StoredRun, write_tensors
from convarium.seeding import derive_seed

SURFACE = "surface.safetensors"
"""Where a run keeps its loss surface, which takes longer than all else together."""

_WORK = 4e12
"""FLOPs that one surface takes at most, unless it has the fewest images: about a minute on a few cores."""
_FEWEST = 32


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """One run seen from inside.

    Attributes:
        label: the row of the comparison that the run stands for.
        seed: the run's.
        initial, final: the gradients where its seed starts, and at the stored weights.
        activity: dead and saturated units at the stored weights.
        surface: the loss around the stored weights.
        filters: of the first layer; None where it has none that can be shown.
        image: (c, h, w) uint8, the training image of which `maps` are.
        maps: layer by layer; none where no layer keeps rows and columns.
        augmented: None where the recipe does not augment.
        images: how many training images gradients and units were looked at on.
    """

    label: str
    seed: int
    initial: tuple[LayerGradient, ...]
    final: tuple[LayerGradient, ...]
    activity: tuple[UnitActivity, ...]
    surface: LossSurface
    filters: Filters | None
    image: Tensor
    maps: tuple[FeatureMaps, ...]
    augmented: Augmented | None
    images: int


@dataclass(frozen=True)
class Undiagnosed:
    """A row of which nothing can be told from inside, and why: a sentence without its full stop."""

    label: str
    reason: str


def diagnose(
    runs: Mapping[str, Sequence[StoredRun]],
    *,
    data_dir: Path | None = None,
    size: int = SIZE,
    tell: Callable[[str], None] | None = None,
) -> tuple[Diagnosis | Undiagnosed, ...]:
    """Looks inside the first finished run of every label that has stored its weights; nothing is trained.

    Args:
        runs: of a comparison: `{row.label: row.runs for row in comparison.rows}`.
        data_dir: a data folder that is searched before all others; nothing is downloaded.
        size: points a side of the loss surfaces, odd.
        tell: is given each label before it is looked at.

    Returns:
        One a label, in their order.

    Raises:
        ConvariumError: the size is even, or less than 3.
    """
    check_size(size)
    chosen = {label: _chosen(of_label) for label, of_label in runs.items()}
    flops = [run.outcome.cost.flops for run in chosen.values() if isinstance(run, StoredRun) and run.outcome.cost]
    images = max(_FEWEST, int(_WORK / (size**2 * max(flops, default=1))))  # as many for all, so that they compare

    @cache
    def load(dataset: str, validation: int | None, resize: int | None) -> Splits:
        return load_data(dataset, data_dir=data_dir, validation=validation, resize=resize, download=False)

    found: list[Diagnosis | Undiagnosed] = []
    for label, run in chosen.items():
        if isinstance(run, str):
            found.append(Undiagnosed(label, run))
            continue
        if tell is not None:
            tell(label)
        try:
            splits = load(run.recipe.dataset, run.recipe.validation, run.recipe.resize)
            found.append(diagnose_run(run, splits, label=label, size=size, surface_images=images))
        except ConvariumError as error:  # no data here, or the network's file is not what it was
            found.append(Undiagnosed(label, str(error)))
    return tuple(found)


def diagnose_run(
    run: StoredRun, splits: Splits, *, label: str, size: int = SIZE, surface_images: int = IMAGES
) -> Diagnosis:
    """Looks inside one run.

    Args:
        run: finished, and with its weights.
        splits: of its data.
        label: that it stands for.
        size: points a side of the loss surface, odd.
        surface_images: on how many images of the `training_sample` the surface is measured, at most.

    Raises:
        ConvariumError: the run has no weights, they do not fit the network, or the network cannot be built.
    """
    weights, recipe = run.weights(), run.recipe
    if weights is None:
        raise ConvariumError(f"{run.path} holds no weights", hint="it may be a record kept without them")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = build_model(recipe.model, splits.train.spec)
    set_weights(network, weights)
    network.to(device)
    images, labels = (part.to(device) for part in training_sample(recipe, splits))
    mean, std = (torch.tensor(v).reshape(-1, 1, 1) for v in normalization(recipe.normalize, splits))
    return Diagnosis(
        label=label,
        seed=recipe.seed,
        initial=initial_gradients(recipe, splits),
        final=gradient_norms(network, images, labels, dropout_seed=derive_seed(recipe.seed, "dropout")),
        activity=unit_activity(network, images),
        surface=_surface(run.path, network, images[:surface_images], labels[:surface_images], size),
        filters=first_filters(network, splits.train.spec),
        image=(255 * (images[0].cpu() * std + mean)).round().clamp(0, 255).to(torch.uint8),
        maps=feature_maps(network, images[:1]),
        augmented=augmented_samples(recipe, splits),
        images=len(images),
    )


def _chosen(runs: Sequence[StoredRun]) -> StoredRun | str:
    """The run that stands for a label, or why there is none."""
    finished = [run for run in runs if run.outcome.status == "finished"]
    if not finished:
        return "none of its runs finished"
    kept = (run for run in finished if (run.path / "weights.safetensors").exists())
    return next(kept, "its runs were stored without their weights")


def _surface(folder: Path, network: nn.Module, images: Tensor, labels: Tensor, size: int) -> LossSurface:
    """The surface that lies beside the run, if it is of this size and of as many images; else measured, and kept."""
    path = folder / SURFACE
    with contextlib.suppress(OSError, SafetensorError, KeyError):
        kept = load_file(path)
        if len(kept["offsets"]) == size and int(kept["images"]) == len(labels):
            return LossSurface(kept["offsets"].numpy(), kept["losses"].numpy(), len(labels))
    made = loss_surface(network, images, labels, size=size)
    tensors = {name: torch.from_numpy(np.ascontiguousarray(getattr(made, name))) for name in ("offsets", "losses")}
    with contextlib.suppress(OSError):  # a store that cannot be written to is measured again the next time
        write_tensors(path, tensors | {"images": torch.tensor(made.images)}, {})
    return made
