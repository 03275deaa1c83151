"""The logits of the page beside PyTorch's, for every network of the zoo."""

import gc
import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from playing import ASK, FOLDER, HOW, as_base64, opened

import convarium
from convarium.data import load_data
from convarium.disk import write_file
from convarium.inference.loading import load_trained
from convarium.inference.playground.encoding import encode, rounded
from convarium.inference.playground.program import read_program
from convarium.inference.playground.reference import run_logits
from convarium.inference.trained import TrainedNetwork
from convarium.models.index import NETWORKS, PARAMETERS, native_image
from convarium.pages.script_data import script_json

OF_300_000 = ("plain", "resnet", "preact_resnet", "residual_variant", "googlenet")
IMAGES, AT_ONCE = 1_000, 50
TRAIN = 2_000
"""Images of CIFAR-10 that the networks for 32 pixels are trained on; those for 28 are trained on all of MNIST."""
CHEAPEST_FIRST = (
    "lenet", "memory_mlp", "residual_mlp", "residual_cnn", "mnist_resnet", "preact_resnet", "plain", "residual_variant",
    "resnet", "vgg", "googlenet", "nin", "alexnet", "densenet", "resnet18", "resnet34", "resnet50",
)  # fmt: skip


def answers() -> Iterator[list[dict[str, Any]]]:
    """Every network of the zoo after an epoch: the page's logits beside PyTorch's, in both precisions.

    First each network answers `AT_ONCE` images, then each goes on to `IMAGES`. What was answered stays in the folder of
    temporary files, so that a second call goes on from there: as long as the network is the same and so is the script
    that computes its logits, whatever changes in the page around them.
    """
    for name in CHEAPEST_FIRST:
        _answer(name, AT_ONCE)
    yield _rows()
    for name in CHEAPEST_FIRST:
        _answer(name, IMAGES)
        yield _rows()


def sizes() -> list[dict[str, Any]]:
    """The size of a page of ten networks of up to 300,000 parameters: two seeds of each of five."""
    study = "sizes"
    convarium.compare(list(OF_300_000), dataset=f"npz:{_cifar()}", batch_size=32, name=study, **HOW | {"seeds": 2})
    pages = {"float16": False, "float32 (`--float32`)": True}
    return [
        {
            "weights": weights,
            "networks": 2 * len(OF_300_000),
            "fewest parameters": min(PARAMETERS[name] for name in OF_300_000),
            "most parameters": max(PARAMETERS[name] for name in OF_300_000),
            "file, MB": convarium.play(study, seeds=2, float32=float32, out=FOLDER / "sizes.html", store=FOLDER).bytes
            / 1e6,
        }
        for weights, float32 in pages.items()
    ]


def _answer(name: str, n: int) -> None:
    """Asks a page for each precision, and PyTorch, about the first n test images; none that was asked before."""
    dataset = "mnist" if native_image(name).channels == 1 else f"npz:{_cifar()}"
    study = f"answers-{name.replace('_', '-')}"
    batch = 128 if dataset == "mnist" else 32
    result = convarium.compare([name], dataset=dataset, batch_size=batch, name=study, **HOW)
    trained = load_trained(result.comparison.rows[0].runs[0])
    image = trained.preprocessing.image
    program = read_program(trained.network, (image.channels, image.height, image.width), model=name)
    halves = rounded(program)
    images = load_data(dataset).test.images
    for is_rounded in (True, False):
        encoded = script_json(encode(halves if is_rounded else program, float16=is_rounded))
        folder = FOLDER / "answers" / f"{name}-{'float16' if is_rounded else 'float32'}-{_key(encoded, trained)}"
        folder.mkdir(parents=True, exist_ok=True)
        _answered[name, is_rounded] = folder
        missing = [begin for begin in range(0, n, AT_ONCE) if not _piece(folder, begin).exists()]
        if not missing:
            continue
        file = FOLDER / "answers.html"
        convarium.play(study, all_networks=True, float32=not is_rounded, out=file, store=FOLDER)
        if encoded not in file.read_text("utf-8"):
            raise RuntimeError(f"the page of {name} has another network than the one that its answers are kept for")
        with opened(file) as browser:
            for begin in missing:
                asked = images[begin : begin + AT_ONCE]
                found = {"page": np.array(browser.evaluate(ASK, [0, as_base64(asked)]))}
                with torch.inference_mode():
                    normalized = trained.normalize(asked)
                    found["original"] = trained(normalized).numpy()
                    found["expected"] = run_logits(halves, normalized).numpy() if is_rounded else found["original"]
                write_file(_piece(folder, begin), lambda file, found=found: np.savez(file, **found))
        gc.collect()


def _key(encoded: str, trained: TrainedNetwork) -> str:
    """What the logits on the page depend on, as 12 digits: the network, its preprocessing, and the script of both."""
    scripts = resources.files("convarium.inference.playground") / "page"
    parts = [(scripts / name).read_text("utf-8") for name in ("interpreter.js", "preprocess.js")]
    parts += [script_json(asdict(trained.preprocessing)), encoded]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _piece(folder: Path, begin: int) -> Path:
    return folder / f"{begin:04}.npz"


_answered: dict[tuple[str, bool], Path] = {}
"""The folder of the answers of a network's page, with weights that are rounded or not."""


def _rows() -> list[dict[str, Any]]:
    rows = []
    for name in NETWORKS:
        halves, floats = _logits(_answered[name, True]), _logits(_answered[name, False])
        same = halves["page"].argmax(1) == halves["original"].argmax(1)
        image = native_image(name)
        rows.append(
            {
                "network": name,
                "image": f"{image.channels}×{image.height}×{image.width}",
                "parameters": PARAMETERS[name],
                "images": len(floats["page"]),
                "difference, rounded weights": _share(halves, "expected"),
                "difference, --float32": _share(floats, "expected"),
                "difference by rounding": _share(halves, "original"),
                "same class, %": 100 * float(same.mean()),
            }
        )
    return rows


def _logits(folder: Path) -> dict[str, np.ndarray]:
    pieces = [np.load(path) for path in sorted(folder.glob("*.npz"))]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in ("page", "expected", "original")}


def _share(logits: dict[str, np.ndarray], expected: str) -> float:
    """The largest difference of a logit, as a share of the largest logit."""
    return float(np.abs(logits["page"] - logits[expected]).max() / np.abs(logits[expected]).max())


def _cifar() -> Path:
    """The first images of CIFAR-10 in one file."""
    path = FOLDER / "cifar.npz"
    if not path.exists():
        data = load_data("cifar10", validation=0)
        parts = {"train": (data.train, TRAIN), "test": (data.test, IMAGES)}
        arrays = {}
        for name, (part, n) in parts.items():
            arrays[f"x_{name}"] = part.images[:n].permute(0, 2, 3, 1).numpy()
            arrays[f"y_{name}"] = part.labels[:n].numpy()
        write_file(path, lambda file: np.savez(file, **arrays))
    return path
