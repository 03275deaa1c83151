"""What starting from weights gains where there are few images: 360 of three classes of CIFAR-10."""

import tempfile
from pathlib import Path

import numpy as np

from convarium.analysis.comparison import Comparison
from convarium.data.loading import load_data
from convarium.data.splits import ImageData
from convarium.workspace import Workspace

FEW = ("cat", "deer", "truck")
"""The classes of the small data set; the weights were trained on the other seven."""
IMAGES = 120
"""Training images of each of them."""
NETWORK = "resnet(depth=8)"
FROZEN = "stem, blocks.0, blocks.1"
"""Two of the three stages."""
BEFORE = {"epochs": 4, "batch_size": 128, "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 1e-4}
RECIPE = {"epochs": 20, "batch_size": 30, "learning_rate": 0.02, "momentum": 0.9, "weight_decay": 1e-4}
COMMON = {"schedule": "cosine", "augment": "flip, pad_crop(4)"}

Rows = list[dict[str, str | int | float]]


def start_from() -> Rows:
    """Random weights, those of a run on other classes, and the same with two of three stages frozen; 5 seeds each."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        splits = load_data("cifar10", validation=0)
        names = splits.train.class_names
        others = tuple(name for name in names if name not in FEW)
        _write(folder / "others.npz", splits.train, splits.test, others, counts=(4900, 100))
        _write(folder / "few.npz", splits.train, splits.test, FEW, counts=(IMAGES, 20))
        workspace = Workspace(folder)
        before = workspace.train(NETWORK, dataset=f"npz:{folder / 'others.npz'}", **BEFORE, **COMMON)
        settings = {"dataset": f"npz:{folder / 'few.npz'}", "seeds": 5, **RECIPE, **COMMON}
        whole = workspace.compare([NETWORK], start_from=[None, before.path.name], **settings).comparison
        frozen = workspace.compare([NETWORK], start_from=before.path.name, freeze=FROZEN, **settings).comparison
    weights = f"{len(others)} other classes"
    return [
        _row(whole, 0, start="random weights", trained="all"),
        _row(whole, 1, start=weights, trained="all"),
        _row(frozen, 0, start=weights, trained="the last stage and the last layer"),
    ]


def _write(path: Path, train: ImageData, test: ImageData, classes: tuple[str, ...], *, counts: tuple[int, int]) -> None:
    """A data set of some classes: so many of their training images to train and to validate, and all test images."""
    arrays: dict[str, np.ndarray] = {}
    first, second = counts
    for part, data, begin, end in (
        ("train", train, 0, first),
        ("val", train, first, first + second),
        ("test", test, 0, None),
    ):
        chosen = [(data.labels == data.class_names.index(name)).nonzero().ravel()[begin:end] for name in classes]
        arrays[f"x_{part}"] = np.concatenate([data.images[indices].numpy() for indices in chosen])
        arrays[f"y_{part}"] = np.repeat(np.array(classes), [len(indices) for indices in chosen])
    np.savez(path, **arrays)


def _row(comparison: Comparison, number: int, *, start: str, trained: str) -> dict[str, str | int | float]:
    row = comparison.rows[number]
    estimate = row.test
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return {
        "starts from": start,
        "trained": trained,
        "seeds": row.n,
        "test accuracy, %": 100 * estimate.mean,
        "from": 100 * estimate.low,
        "to": 100 * estimate.high,
    }
