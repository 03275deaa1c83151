"""What an exported network weighs, how long it takes, and what 8-bit integers cost in accuracy."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from convarium import Workspace, load_data

Rows = list[dict[str, str | int | float | None]]

NETWORKS = (
    ("memory_mlp@memory-blog", "mnist", {"epochs": 1}),
    ("lenet", "mnist", {"epochs": 2, "optimizer": "adam", "learning_rate": 0.001}),
    ("mnist_resnet@mnist-report", "mnist", {"epochs": 1}),
    ("resnet@uva", "cifar10", {"epochs": 2}),
    ("densenet@uva", "cifar10", {"epochs": 2}),
)
"""Network, data set, and what is not as in its source."""

IMAGES = {"mnist": (20_000, 10_000), "cifar10": (5_000, 2_000)}
"""Training and test images: enough to tell the forms of one network apart, and not to train it well."""


def exported() -> Rows:
    """Networks that were trained for a short time, as PyTorch has them, in ONNX, and in ONNX with 8-bit integers."""
    rows: Rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (train, test) in IMAGES.items():
            splits = load_data(name)
            parts = {"train": splits.train.take(slice(train)), "test": splits.test.take(slice(test))}
            arrays = {f"x_{part}": data.images.permute(0, 2, 3, 1).numpy() for part, data in parts.items()}
            arrays |= {f"y_{part}": data.labels.numpy() for part, data in parts.items()}
            np.savez(Path(folder) / f"{name}.npz", **arrays)
        workspace = Workspace(folder, device="cpu")
        for model, name, fields in NETWORKS:
            rows += _rows(workspace, model, Path(folder) / f"{name}.npz", fields)
    return rows


def _rows(workspace: Workspace, model: str, file: Path, fields: dict[str, Any]) -> Rows:
    preset = model.partition("@")[2] or None
    run = workspace.train(model, preset=preset, dataset=f"npz:{file}", validation=0, select="last", **fields)
    done = workspace.export(run.path.name, out=file.with_suffix(".onnx"), int8=True)
    loss = done.loss
    assert loss is not None
    one, many = done.latencies
    accuracy = dict(zip(done.bytes, (loss.float32, loss.float32, loss.int8), strict=True))
    sys.stderr.write(f"{model}: largest difference {done.agreement.largest_difference:.1e}\n")
    interval = f"{100 * loss.interval.low:.2f} to {100 * loss.interval.high:.2f}"
    return [
        {
            "network": model,
            "form": form,
            "kB": size / 1000,
            "ms, 1 image": one.milliseconds[form],
            "ms, 32 images": many.milliseconds[form],
            "test accuracy, %": 100 * accuracy[form],
            "points lost (95 % interval)": f"{100 * loss.lost:.2f} ({interval})" if form.endswith("int8") else None,
        }
        for form, size in done.bytes.items()
    ]
