"""Networks in 8-bit integers: what stays in float32, and what is said about the loss."""

import numpy as np
import pytest
import torch
from torch import nn

from convarium.errors import RunError
from convarium.inference.deployed import deployed
from convarium.inference.export_formats import run_onnx, to_onnx, trace
from convarium.inference.quantize import measure_loss, to_int8
from convarium.models.build import build_model
from convarium.records import ImageSpec, Preprocessing

METADATA = {"convarium": "{}"}


@pytest.fixture(scope="module")
def files():
    """A network whose images are resized in the graph, in float32 and in 8-bit integers."""
    network = build_model("lenet", ImageSpec(1, 28, 28, 10)).eval()
    process = Preprocessing(tuple("0123456789"), 1, 20, 24, "stretch", (255, 255, 255), None, 28, (0.5,), (0.3,))
    content = to_onnx(trace(deployed(network, process), (1, 20, 24), model="lenet"), METADATA)
    return content, to_int8(content, dark(100))


def dark(n):
    return np.random.default_rng(0).integers(100, size=(n, 1, 20, 24), dtype=np.uint8)


def test_layers_are_quantized_but_the_last_and_the_preprocessing_are_not(files):
    import onnx

    model = onnx.load_from_string(files[1])
    onnx.checker.check_model(model)
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    made = {name: node for node in model.graph.node for name in node.output}

    def weights_of(node):
        """The constant that a layer multiplies with, in whichever form it is stored."""
        names = [made[name].input[0] if name in made else name for name in node.input]
        return [kinds[name] for name in names if name in kinds and not name.endswith("bias_quantized")]

    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    resizing, convolutions, linear = layers[:2], layers[2:4], layers[4:]
    int8, float32 = onnx.TensorProto.INT8, onnx.TensorProto.FLOAT
    assert [node.op_type for node in layers] == ["MatMul"] * 2 + ["Conv"] * 2 + ["Gemm"] * 3
    assert all(float32 in weights_of(node) for node in resizing)
    assert all(int8 in weights_of(node) for node in (*convolutions, *linear[:-1]))
    assert set(weights_of(linear[-1])) == {float32}
    assert made["logits"] is linear[-1], "logits are not cut off at those of the calibration"
    assert {entry.key: entry.value for entry in model.metadata_props} == METADATA


def test_weights_have_seven_bits_so_that_products_overflow_nowhere(files):
    import onnx

    model = onnx.load_from_string(files[1])
    weights = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) > 1]
    values = np.concatenate([onnx.numpy_helper.to_array(tensor).ravel() for tensor in weights])
    assert -64 <= values.min() < -50
    assert 50 < values.max() <= 64


def test_quantized_logits_are_near_the_others_in_batches_of_any_size(files):
    float32, int8 = (run_onnx(content, threads=1) for content in files)
    for n in (1, 2, 7):
        before, after = float32(dark(n)), int8(dark(n))
        assert before.shape == after.shape == (n, 10)
        assert 0 < np.abs(before - after).max() < 0.1 * np.abs(before).max()


def test_a_batch_norm_that_no_convolution_precedes_stays_in_float32_and_nothing_need_be_normalized():
    import onnx

    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(4 * 16 * 20, 10)).eval()
    network[2].running_var.copy_(torch.tensor([1e-4, 1.0, 10.0, 1e3]))
    process = Preprocessing(tuple("0123456789"), 1, 20, 24, "stretch", (255, 255, 255), None, None, (0.0,), (1.0,))
    content = to_onnx(trace(deployed(network, process), (1, 20, 24), model="mine"), METADATA)
    quantized = to_int8(content, dark(50))
    model = onnx.load_from_string(quantized)
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    (norm,) = (node for node in model.graph.node if node.op_type == "BatchNormalization")
    assert {kinds[name] for name in norm.input[1:]} == {onnx.TensorProto.FLOAT}
    assert onnx.TensorProto.INT8 in kinds.values()
    before, after = (run_onnx(file, threads=1)(dark(7)) for file in (content, quantized))
    assert np.abs(before - after).max() < 0.1 * np.abs(before).max()


def naming(classes):
    """A network that answers images in turn with these classes."""
    left = list(classes)

    def predict(images):
        return np.stack([np.eye(3)[left.pop(0)] for _ in images])

    return predict


def test_the_loss_is_counted_image_by_image():
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
    before = [0, 1, 2, 0, 1, 2, 0, 1, 0, 1]
    after = [0, 1, 2, 0, 1, 0, 1, 0, 2, 2]
    found = measure_loss(naming(before), naming(after), dark(10), labels, split="validation", calibration_images=7)
    assert (found.float32, found.int8, found.n, found.split) == (0.8, 0.6, 10, "validation")
    assert found.lost == pytest.approx(0.2)
    assert found.other_classes == 5
    assert found.interval.low < 0 < found.interval.high
    assert found.calibration_images == 7


def test_integers_whose_logits_are_not_finite_are_refused():
    def nothing(images):
        return np.full((len(images), 3), np.nan)

    with pytest.raises(
        RunError, match="the network in 8-bit integers has logits that are not finite; leave out --int8"
    ):
        measure_loss(naming([0] * 5), nothing, dark(5), torch.zeros(5).numpy(), split="test", calibration_images=7)


def test_quantizing_leaves_the_root_logger_as_it_was(files):
    import logging

    handlers = list(logging.getLogger().handlers)
    to_int8(files[0], dark(10))
    assert logging.getLogger().handlers == handlers
