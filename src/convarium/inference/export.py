"""Exports a trained network: traced, written, checked against the original, and only then put in place."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convarium.disk import write_file
from convarium.errors import ConvariumError
from convarium.inference.deployed import deployed
from convarium.inference.export_check import Agreement, Latency, check_agreement, measure_latency
from convarium.inference.export_formats import (
    INPUT,
    OPSET,
    OUTPUT,
    Format,
    Predict,
    check_onnx,
    run_module,
    run_onnx,
    run_torch_export,
    to_onnx,
    to_torch_export,
    trace,
)
from convarium.inference.quantize import Loss, measure_loss, to_int8
from convarium.inference.trained import TrainedNetwork
from convarium.notebook import html_table
from convarium.runs.model_facts import METADATA, without_paths

FLOAT32, INT8 = "float32", "int8"
NETWORK = "PyTorch"
"""The original, called as it is."""


@dataclass(frozen=True)
class KnownImages:
    """Images on which an exported network is checked.

    Attributes:
        described: what they are, such as "test images of mnist".
        images: (n, c, h, w) uint8, as the data set holds them.
    """

    described: str
    images: np.ndarray


@dataclass(frozen=True)
class LabeledImages:
    """What quantization takes: training images for its calibration, and others on which its loss is measured.

    Attributes:
        calibration: (n, c, h, w) uint8.
        split: whose images the others are.
        images: (n, c, h, w) uint8.
        labels: (n,).
    """

    calibration: np.ndarray
    split: str
    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, repr=False)
class Exported:
    """An exported network that answers as the original does.

    Attributes:
        path: the file.
        format: "onnx" or "torch-export".
        opset: of ONNX; None in the other format.
        input, output: what the file takes and gives, in a sentence each.
        checked_on: which images it was checked on.
        agreement: how far it answers as the original does; of a file in int8, the float32 file that it was made from.
        bytes: the size of the weights of the original, and of the files, by name.
        latencies: the speed of all of them.
        loss: what 8-bit integers cost in accuracy; None in float32.
    """

    path: Path
    format: Format
    opset: int | None
    input: str
    output: str
    checked_on: str
    agreement: Agreement
    bytes: Mapping[str, int]
    latencies: tuple[Latency, ...]
    loss: Loss | None

    def __repr__(self) -> str:
        return f"Exported({str(self.path)!r}, {self.format}, compared on {self.agreement.images:,} images)"

    def _repr_html_(self) -> str:
        """What the file takes and gives, and size and speed beside the original: what a notebook shows."""
        columns = ("", "MB", *(f"batch of {latency.batch}, ms" for latency in self.latencies))
        rows = [
            (name, f"{size / 1e6:.2f}", *(f"{latency.milliseconds[name]:.3g}" for latency in self.latencies))
            for name, size in self.bytes.items()
        ]
        return html_table(columns, rows, title=str(self.path), sentences=[self.input, self.output])


def export_network(
    trained: TrainedNetwork,
    path: Path,
    *,
    format: Format,  # noqa: A002
    facts: Mapping[str, Any],
    known: KnownImages,
    int8: LabeledImages | None = None,
) -> Exported:
    """Writes a trained network as a file that takes images of 8 bits and gives logits, checked against the original.

    Args:
        trained: the network, on the CPU.
        path: of the file; its folder exists.
        format: of the file.
        facts: what the file says about itself, as `model.json` has it.
        known: images on which it is checked.
        int8: write the network in 8-bit integers, which takes these; None: in float32.

    Raises:
        ConvariumError: the network cannot be written in this format, or the packages for it are missing.
        RunError: the file would not answer as the network does; it is not written.
        OSError: it cannot be written.
    """
    if format == "onnx":
        check_onnx()
    elif int8 is not None:
        raise ConvariumError("8-bit integers are written as ONNX alone", hint="use --format onnx")
    preprocessing, threads = trained.preprocessing, torch.get_num_threads()
    image = preprocessing.channels, preprocessing.height, preprocessing.width
    network = deployed(trained.network, preprocessing)
    program = trace(network, image, model=str(facts["model"]))
    metadata = _metadata(facts, image, preprocessing.class_names)
    if format == "onnx":
        content = to_onnx(program, metadata)
        exported = run_onnx(content, threads=threads)
    else:
        content = to_torch_export(program, metadata)
        exported = run_torch_export(content)
    agreement = check_agreement(_original(trained), exported, known.images, name=f"the {format} file")
    contestants: dict[str, Predict] = {NETWORK: run_module(network), f"{format}, {FLOAT32}": exported}
    sizes = {NETWORK: _weights_bytes(trained), f"{format}, {FLOAT32}": len(content)}
    loss = None
    if int8 is not None:
        content = to_int8(content, int8.calibration)
        quantized = run_onnx(content, threads=threads)
        loss = measure_loss(
            exported, quantized, int8.images, int8.labels, split=int8.split, calibration_images=len(int8.calibration)
        )
        contestants[f"{format}, {INT8}"], sizes[f"{format}, {INT8}"] = quantized, len(content)
    latencies = measure_latency(contestants, known.images)
    write_file(path, lambda file: file.write(content))
    return Exported(
        path=path,
        format=format,
        opset=OPSET if format == "onnx" else None,
        input=metadata["input"],
        output=metadata["output"],
        checked_on=known.described,
        agreement=agreement,
        bytes=sizes,
        latencies=latencies,
        loss=loss,
    )


def _metadata(facts: Mapping[str, Any], image: tuple[int, int, int], classes: tuple[str, ...]) -> dict[str, str]:
    channels, height, width = image
    color = "gray" if channels == 1 else "red, green and blue"
    return {
        METADATA: json.dumps(without_paths(facts), ensure_ascii=False, allow_nan=False),
        "input": f"{INPUT}: uint8 (n, {channels}, {height}, {width}), {color}, 0 is black and 255 is white",
        "output": f"{OUTPUT}: float32 (n, {len(classes)}); their softmax is the probability of each class",
    }


def _original(trained: TrainedNetwork) -> Predict:
    """What the original answers, preprocessed by the code of training, not by that of the export."""

    def predict(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            logits: np.ndarray = trained(trained.normalize(torch.from_numpy(images))).float().numpy()
        return logits

    return predict


def _weights_bytes(trained: TrainedNetwork) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in trained.network.state_dict().values())
