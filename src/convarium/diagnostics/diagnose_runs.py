"""All diagnostics of every network of a study, from stored weights: one run represents all seeds of a network."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from convarium.data.splits import Splits
from convarium.data.transforms import normalization
from convarium.diagnostics.explained_images import explain_images, pick_images
from convarium.diagnostics.features import feature_maps, first_filters
from convarium.diagnostics.gradients import gradient_norms, initial_gradients
from convarium.diagnostics.results import Diagnosis, LossSurface, MissingDiagnosis
from convarium.diagnostics.samples import SAMPLE_SIZE, augmented_samples, training_sample
from convarium.diagnostics.surface import SIZE, check_size, loss_surface
from convarium.diagnostics.units import unit_activity
from convarium.disk import parts_digest
from convarium.errors import ConvariumError
from convarium.models.build import build_model
from convarium.models.factories import load_recorded_factory
from convarium.models.index import resolve
from convarium.models.weights import set_weights
from convarium.recipes.recipe import Recipe
from convarium.runs.files import write_tensors
from convarium.runs.links import outward_link
from convarium.runs.same_images import check_same_images, recipe_of_images
from convarium.runs.seal import WEIGHTS
from convarium.runs.stored_run import StoredRun
from convarium.seeding import derive_seed

NOT_REBUILT = "a network of your own, not rebuilt"
"""Why a user's own network has no diagnostics: what only looks at a store imports nothing that a record names."""

SURFACE_FILE = "surface.safetensors"
"""The file in a run's folder with its loss surface, which takes longer to compute than everything else together."""

_MOST_FLOPS = 4e12
"""FLOPs of one surface, unless it has the least number of images: about a minute on a few cores."""
_LEAST_IMAGES = 32


def diagnose(
    runs: Mapping[str, Sequence[StoredRun]],
    splits: Callable[[Recipe], Splits],
    *,
    device: torch.device | None = None,
    size: int = SIZE,
    on_event: Callable[[str], None] | None = None,
) -> tuple[Diagnosis | MissingDiagnosis, ...]:
    """Diagnoses one run of each label: the first finished run that has stored its weights. Nothing is trained.

    A user's own network is not among them, since a record can name any function; `diagnose_run` builds one if its
    source is the one that the run was made with.

    Args:
        runs: the runs of a comparison: `{row.label: row.runs for row in comparison.rows}`.
        splits: returns the data of a recipe; a ConvariumError that it raises becomes a `MissingDiagnosis`.
        device: on which the networks are evaluated; None: the CPU.
        size: number of points along each side of the loss surfaces, odd.
        on_event: called with each label before its run is diagnosed.

    Returns:
        One entry for each label, in their order.

    Raises:
        ConvariumError: the size is even, or less than 3.
    """
    check_size(size)
    chosen = {label: _chosen(candidates) for label, candidates in runs.items()}
    stored = [run for run in chosen.values() if isinstance(run, StoredRun)]
    flops = [run.outcome.cost.flops for run in stored if run.outcome.cost]
    # The same number of images for all networks, so that their surfaces can be compared.
    images = max(_LEAST_IMAGES, int(_MOST_FLOPS / (size**2 * max(flops, default=1))))
    explained = pick_images(stored)

    diagnoses: list[Diagnosis | MissingDiagnosis] = []
    for label, run in chosen.items():
        if isinstance(run, str):
            diagnoses.append(MissingDiagnosis(label, run))
            continue
        if on_event is not None:
            on_event(label)
        try:
            data = splits(recipe_of_images(run))
            found = diagnose_run(
                run, data, label=label, device=device, size=size, surface_images=images, explained=explained
            )
            diagnoses.append(found)
        except ConvariumError as error:  # The data are missing.
            diagnoses.append(MissingDiagnosis(label, str(error)))
    return tuple(diagnoses)


def diagnose_run(
    run: StoredRun,
    splits: Splits,
    *,
    label: str,
    device: torch.device | None = None,
    size: int = SIZE,
    surface_images: int = SAMPLE_SIZE,
    explained: Sequence[int] = (),
) -> Diagnosis:
    """Computes all diagnostics of one run.

    Args:
        run: a finished run with its weights.
        splits: the data of its recipe.
        label: label of the row that it represents.
        device: on which the network is evaluated; None: the CPU.
        size: number of points along each side of the loss surface, odd.
        surface_images: number of images of the `training_sample` that the surface is measured on, at most.
        explained: indices of test images for which its answers are explained.

    Raises:
        ConvariumError: the run has no weights, they do not fit the network, or the network cannot be built; of a
            user's own, see `load_recorded_factory`.
    """
    load_recorded_factory(run.recipe.model, digest=run.source)
    check_same_images(run, splits)
    weights, recipe = run.weights(), run.recipe
    if weights is None:
        raise ConvariumError(
            f"{run.path} holds no weights", hint="published records are stored without weights; train the run again"
        )
    hardware = device or torch.device("cpu")
    network = build_model(recipe.model, splits.train.spec)
    set_weights(network, weights)
    network.to(hardware)
    images, labels = (part.to(hardware) for part in training_sample(recipe, splits))
    mean, std = (torch.tensor(v).reshape(-1, 1, 1) for v in normalization(recipe.normalize, splits))
    return Diagnosis(
        label=label,
        seed=recipe.seed,
        initial=initial_gradients(recipe, splits) if recipe.start_from is None else (),  # else the start was not random
        final=gradient_norms(network, images, labels, dropout_seed=derive_seed(recipe.seed, "dropout")),
        activity=unit_activity(network, images),
        surface=_surface(run.path, network, images[:surface_images], labels[:surface_images], size),
        filters=first_filters(network, splits.train.spec),
        image=(255 * (images[0].cpu() * std + mean)).round().clamp(0, 255).to(torch.uint8).numpy(),
        maps=feature_maps(network, images[:1]),
        augmented=augmented_samples(recipe, splits),
        image_count=len(images),
        explained=explain_images(network, recipe, splits, explained),
    )


def _chosen(runs: Sequence[StoredRun]) -> StoredRun | str:
    """The run that represents a label, or the reason why there is none."""
    if resolve(runs[0].recipe.model).is_custom:
        return NOT_REBUILT
    finished = [run for run in runs if run.outcome.status == "finished"]
    if not finished:
        return "none of its runs finished"
    with_weights = (run for run in finished if WEIGHTS in run.files)
    return next(with_weights, "its runs were stored without their weights")


def _surface(folder: Path, network: nn.Module, images: Tensor, labels: Tensor, size: int) -> LossSurface:
    """The surface stored in the run's folder if size and number of images match; otherwise computed and stored."""
    path = folder / SURFACE_FILE
    with contextlib.suppress(OSError, SafetensorError, KeyError):
        with safe_open(path, "pt") as file:
            stored = {name: file.get_tensor(name) for name in _SURFACE_TENSORS}
            is_sound = (file.metadata() or {}).get("digest") == _tensors_digest(stored)
        shapes = {"offsets": (size,), "losses": (size, size), "images": ()}
        fits = all(stored[name].shape == shape for name, shape in shapes.items())
        if is_sound and fits and stored["images"].item() == len(labels):
            return LossSurface(stored["offsets"].numpy(), stored["losses"].numpy(), len(labels))
    surface = loss_surface(network, images, labels, size=size)
    tensors = {name: torch.from_numpy(np.ascontiguousarray(getattr(surface, name))) for name in ("offsets", "losses")}
    if outward_link(folder, folder.parent) is not None:
        return surface
    with contextlib.suppress(OSError):  # In a store that cannot be written to, the surface is computed again next time.
        tensors |= {"images": torch.tensor(surface.image_count)}
        write_tensors(path, tensors, {"digest": _tensors_digest(tensors)})
    return surface


_SURFACE_TENSORS = ("images", "losses", "offsets")


def _tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    return parts_digest(tensors[name].numpy().tobytes() for name in _SURFACE_TENSORS)
