"""What `Workspace.export` does: finds the network and images to check it on, and has it written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from convarium.disk import usable_path
from convarium.errors import ConvariumError, DataError, WeightsError
from convarium.runs.same_images import check_same_images, recipe_of_images
from convarium.runs.stored_run import StoredRun
from convarium.spec import unknown
from convarium.workspace.weights import network_in_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from convarium.data.splits import ImageData, Splits
    from convarium.inference.export import Exported, KnownImages, LabeledImages
    from convarium.inference.export_formats import Format
    from convarium.inference.trained import TrainedNetwork
    from convarium.records import Preprocessing
    from convarium.workspace.workspace import Workspace

_SEED = 0
"""Of the images that are drawn where the data are gone, and of those that calibrate."""


class _Source(NamedTuple):
    """What is exported.

    Attributes:
        trained: the network.
        facts: what the file says about itself, as `model.json` has it.
        splits: the data set that it was trained on; None where that is not here.
        why_not: why the data set is not here.
    """

    trained: TrainedNetwork
    facts: dict[str, Any]
    splits: Splits | None
    why_not: DataError | None = None


def export(
    workspace: Workspace,
    run: str | None,
    *,
    weights: Path | str | None,
    model: str | None,
    dataset: str | None,
    format: Format,  # noqa: A002
    out: Path | str | None,
    int8: bool,
    on_note: Callable[[str], None] | None,
) -> Exported:
    """See `Workspace.export`."""
    from convarium.inference.export import export_network
    from convarium.inference.export_formats import ENDINGS, check_onnx

    if (run is None) == (weights is None):
        raise ConvariumError("export takes either a run, or a file of weights", hint="name one of them")
    if format not in ENDINGS:
        raise unknown("format", format, ENDINGS)
    if format == "onnx":
        check_onnx()
    elif int8:
        raise ConvariumError("8-bit integers are written as ONNX alone", hint="use --format onnx")
    if weights is not None:
        file = usable_path(weights, "weights")
        path = _path(file.stem, out, format, int8=int8)
        found = network_in_file(file, workspace.splits, model=model, dataset=dataset)
        source = _Source(found.trained, found.facts, found.splits)
    else:
        if dataset is not None:
            raise ConvariumError("--dataset belongs to --weights: a run knows its own", hint="leave out --dataset")
        stored = workspace.find_run(str(run))
        path = _path(stored.path.name, out, format, int8=int8)
        source = _of_run(workspace, stored, model=model)
    if source.trained.wrong is not None:
        raise WeightsError(f"{run or weights} cannot be exported: {source.trained.wrong}", hint="export another run")
    if source.splits is not None:
        known, labeled = _stored_images(source.splits), _labeled_images(source.splits) if int8 else None
    elif not int8:
        known, labeled = _random_images(source.trained.preprocessing), None
    else:
        wrong, why = "--int8 takes training images, for its calibration", source.why_not
        if why is None:
            raise DataError(f"{wrong}, and weights come without them", hint="name the run")
        raise DataError(f"{wrong}: {why.wrong}", expected=why.expected, hint=why.hint) from why
    if on_note is not None:
        on_note(f"exporting {run or weights} …")
    return export_network(source.trained, path, format=format, facts=source.facts, known=known, int8=labeled)


def _of_run(workspace: Workspace, run: StoredRun, *, model: str | None) -> _Source:
    from convarium.inference.loading import load_trained

    trained, facts = load_trained(run, named=model), run.model_facts()
    assert facts is not None
    try:
        splits = workspace.splits(recipe_of_images(run), download=False)
        check_same_images(run, splits)
    except DataError as error:
        return _Source(trained, facts, None, error)
    return _Source(trained, facts, splits)


def _path(name: str, out: Path | str | None, format: Format, *, int8: bool) -> Path:  # noqa: A002
    """The file to write; refuses early what could not be written after minutes of work."""
    from convarium.inference.export_formats import ENDINGS

    ending = ENDINGS[format]
    if out is None:
        return Path(f"{name}{'-int8' if int8 else ''}{ending}")
    path = usable_path(out, "out")
    if path.is_dir():
        raise ConvariumError(f"--out {path} is a folder", hint=f"name a file in it: --out {path / f'model{ending}'}")
    if path.suffix.lower() in set(ENDINGS.values()) - {ending}:
        wrong = f"--out {path} ends as a file of another format than {format}"
        raise ConvariumError(wrong, expected=ending, hint=f"use --out {path.with_suffix(ending)}, or another --format")
    if not path.absolute().parent.is_dir():
        raise ConvariumError(f"there is no folder {path.parent} for --out", hint="make it, or name another one")
    return path


def _stored_images(splits: Splits) -> KnownImages:
    """Images of the run's own data, from all of its test split, which may be sorted by class."""
    from convarium.inference.export import KnownImages
    from convarium.inference.export_check import CHECKED_BATCHES, IMAGES

    name, data = _held_out(splits)
    n = len(data)
    count = max(min(n, IMAGES), sum(CHECKED_BATCHES))
    known = data.images[[i * n // count for i in range(count)]].numpy()
    return KnownImages(f"{name} images of {splits.dataset}{', repeated' if n < count else ''}", known)


def _random_images(preprocessing: Preprocessing) -> KnownImages:
    import numpy as np

    from convarium.inference.export import KnownImages
    from convarium.inference.export_check import IMAGES

    shape = IMAGES, preprocessing.channels, preprocessing.height, preprocessing.width
    images = np.random.default_rng(_SEED).integers(256, size=shape, dtype=np.uint8)
    return KnownImages("images of noise, since the images of its training are not here as they were", images)


def _labeled_images(splits: Splits) -> LabeledImages:
    """Training images for the calibration, and the held-out images with their labels."""
    import torch

    from convarium.inference.export import LabeledImages
    from convarium.inference.quantize import CALIBRATION_IMAGES

    order = torch.randperm(len(splits.train), generator=torch.Generator().manual_seed(_SEED))
    calibration = splits.train.images[order[:CALIBRATION_IMAGES]].numpy()
    name, data = _held_out(splits)
    return LabeledImages(calibration, name, data.images.numpy(), data.labels.numpy())


def _held_out(splits: Splits) -> tuple[str, ImageData]:
    """The test images, or where there are none, those for validation, or at last those for training."""
    for name in ("test", "validation", "train"):
        data: ImageData | None = getattr(splits, name)
        if data is not None and len(data):
            return name, data
    raise DataError(f"{splits.dataset} has no images")
