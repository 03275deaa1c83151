"""An exported network in 8-bit integers, and what that costs: ONNX Runtime's static quantization."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convarium.analysis.statistics import Interval, paired_interval
from convarium.errors import RunError
from convarium.inference.deployed import PREPROCESSING
from convarium.inference.export_check import batches_of
from convarium.inference.export_formats import INPUT, Predict, quiet

CALIBRATION_IMAGES = 300
"""Training images from which the ranges of the activations are taken."""
_BATCH = 50
_PREPROCESSED = {"onnx.quant.pre_process": "onnxruntime.quant"}
"""ONNX Runtime's own mark of a graph that is ready to be quantized: PyTorch's exporter has folded its constants and its
batch norms, and inferred its shapes.
"""
_WEIGHTED = ("Conv", "Gemm", "MatMul")
_NORM = "BatchNormalization"


@dataclass(frozen=True)
class Loss:
    """What 8-bit integers cost in accuracy, on images that were not used for anything else.

    Attributes:
        split: whose images they are.
        n: how many.
        float32, int8: accuracies, as fractions of 1.
        lost: the accuracy that is lost, as a fraction of 1; negative where int8 is the better one by chance.
        interval: of 95 %, of `lost`, over images; the two answer the same images, so it is one of pairs.
        other_classes: images for which the two name another class.
        calibration_images: training images from which the ranges of the activations were taken.
    """

    split: str
    n: int
    float32: float
    int8: float
    lost: float
    interval: Interval
    other_classes: int
    calibration_images: int


def to_int8(content: bytes, images: np.ndarray) -> bytes:
    """An ONNX file whose weights and activations are 8-bit integers, with scales by channel.

    Normalization stays in float32, and so do single batch norms, whose factors are too different for one scale, and the
    last layer with weights and what follows it: logits would be cut off at the largest that the calibration has seen.
    Weights have 7 bits, since products of 8 overflow on processors without the instructions for them, where the
    accuracy would then be another one.

    Args:
        content: of the ONNX file in float32.
        images: (n, c, h, w) uint8, training images for the calibration.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    model = onnx.load_from_string(content)
    plain = {entry.key for entry in model.metadata_props}
    onnx.helper.set_model_props(model, {e.key: e.value for e in model.metadata_props} | _PREPROCESSED)
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            path,
            _Calibration(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_kept(model),
        )
        quantized = onnx.load(path)
    onnx.helper.set_model_props(quantized, {e.key: e.value for e in quantized.metadata_props if e.key in plain})
    written: bytes = quantized.SerializeToString()
    return written


def measure_loss(
    float32: Predict, int8: Predict, images: np.ndarray, labels: np.ndarray, *, split: str, calibration_images: int
) -> Loss:
    """Scores both forms of a network on the same images.

    Args:
        float32, int8: what the two compute.
        images: (n, c, h, w) uint8.
        labels: (n,), the true classes.
        split: whose images they are.
        calibration_images: as in `Loss`.

    Raises:
        RunError: logits of the quantized network are not finite.
    """
    pairs = [(float32(batch).argmax(1), _finite(int8(batch)).argmax(1)) for batch in batches_of(images)]
    before, after = (np.concatenate(classes) for classes in zip(*pairs, strict=True))
    first, second = float((before == labels).mean()), float((after == labels).mean())
    return Loss(
        split=split,
        n=len(labels),
        float32=first,
        int8=second,
        lost=first - second,
        interval=paired_interval(before, after, labels),
        other_classes=int((before != after).sum()),
        calibration_images=calibration_images,
    )


class _Calibration:
    """Gives ONNX Runtime the images, batch by batch, by the method that it asks for them."""

    def __init__(self, images: np.ndarray) -> None:
        self._batches: Iterator[np.ndarray] = (images[i : i + _BATCH] for i in range(0, len(images), _BATCH))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _kept(model: Any) -> list[str]:
    """The nodes that stay in float32, see `to_int8`. The graph has them in the order of the computation."""
    constants = {tensor.name for tensor in model.graph.initializer}
    nodes = list(model.graph.node)
    normalized = max((i for i, node in enumerate(nodes) if PREPROCESSING & set(node.input)), default=0)
    weighted = [i for i, node in enumerate(nodes) if node.op_type in _WEIGHTED and constants & set(node.input)]
    kept = [i <= normalized or i >= weighted[-1] or node.op_type == _NORM for i, node in enumerate(nodes)]
    return [node.name for node, keep in zip(nodes, kept, strict=True) if keep]


def _finite(logits: np.ndarray) -> np.ndarray:
    if not np.isfinite(logits).all():
        raise RunError("the network in 8-bit integers has logits that are not finite", hint="leave out --int8")
    return logits
