"""What `Workspace.export` does: a stored run as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from convarium.disk import usable_path
from convarium.errors import ConvariumError, DataError
from convarium.runs.same_images import check_same_images
from convarium.runs.stored_run import StoredRun
from convarium.spec import unknown

if TYPE_CHECKING:
    from convarium.data.splits import ImageData, Splits
    from convarium.inference.export import Exported, KnownImages, LabeledImages
    from convarium.inference.export_formats import Format
    from convarium.records import Preprocessing
    from convarium.studies.resources import Resources

_SEED = 0
"""Of the images that are drawn where the data are gone, and of those that calibrate."""


def export_run(
    run: StoredRun,
    resources: Resources,
    *,
    model: str | None,
    format: Format,  # noqa: A002
    out: Path | str | None,
    int8: bool,
) -> Exported:
    """See `Workspace.export`."""
    from convarium.inference.export import export_network
    from convarium.inference.export_formats import ENDINGS, check_onnx
    from convarium.inference.trained import load_trained

    if format not in ENDINGS:
        raise unknown("format", format, ENDINGS)
    if format == "onnx":
        check_onnx()
    elif int8:
        raise ConvariumError("8-bit integers are written as ONNX alone", hint="use --format onnx")
    path = _path(run, out, format, int8=int8)
    trained = load_trained(run, named=model)
    facts = run.model_facts()
    assert facts is not None
    try:
        splits = resources.splits(run.recipe, download=False)
        check_same_images(run, splits)
    except DataError as error:
        if int8:
            wrong = f"--int8 takes the run's training images, for its calibration: {error.wrong}"
            raise DataError(wrong, expected=error.expected, hint=error.hint) from error
        known, labeled = _random_images(trained.preprocessing), None
    else:
        known, labeled = _stored_images(splits), _labeled_images(splits) if int8 else None
    return export_network(trained, path, format=format, facts=facts, known=known, int8=labeled)


def _path(run: StoredRun, out: Path | str | None, format: Format, *, int8: bool) -> Path:  # noqa: A002
    """The file to write; refuses early what could not be written after minutes of work."""
    from convarium.inference.export_formats import ENDINGS

    ending = ENDINGS[format]
    if out is None:
        return Path(f"{run.path.name}{'-int8' if int8 else ''}{ending}")
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
    return KnownImages("images of noise, since the run's own are not here as they were", images)


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
