"""The formats of an exported network: how each is written, as bytes, and how it is run."""

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal

import numpy as np
import torch
from torch.export import Dim, ExportedProgram

from convarium.errors import ConvariumError
from convarium.inference.deployed import DeployedNetwork

Format = Literal["onnx", "torch-export"]
ENDINGS: Mapping[Format, str] = {"onnx": ".onnx", "torch-export": ".pt2"}
OPSET = 18
"""Of ONNX: the one that PyTorch's exporter is written for, and the oldest that it writes."""
INPUT, OUTPUT = "images", "logits"
TRACED_BATCH = 2
"""Images in the batch that a network is traced with; PyTorch takes a size of 1 for one that never changes."""

Predict = Callable[[np.ndarray], np.ndarray]
"""Images (n, c, h, w) uint8 → logits (n, classes) float32."""


def trace(network: DeployedNetwork, image: tuple[int, int, int], *, model: str) -> ExportedProgram:
    """The graph of a network for batches of any size.

    Args:
        network: in evaluation mode.
        image: channels, height and width of the images that it is given.
        model: what an error calls it.

    Raises:
        ConvariumError: PyTorch cannot trace it, as where a user's own network decides by the values of its input.
    """
    images = torch.zeros((TRACED_BATCH, *image), dtype=torch.uint8)
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(network, (images,), dynamic_shapes={INPUT: {0: Dim("n")}})
    except Exception as error:  # a user's own network may fail in any way
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        hint = "its forward must compute the same layers for every image and every batch"
        raise ConvariumError(f"{model} cannot be exported: torch.export says {first!r}", hint=hint) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine, which are nobody else's business
    return program


def to_onnx(program: ExportedProgram, metadata: Mapping[str, str]) -> bytes:
    """A traced network as the content of an ONNX file, with these texts as its metadata.

    Raises:
        ConvariumError: the packages for ONNX are not installed, or the network has an operation that ONNX has not.
    """
    check_onnx()
    try:
        with quiet():
            exported = torch.onnx.export(
                program,
                (),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes={INPUT: {0: "n"}},
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        hint = "use --format torch-export"
        raise ConvariumError(f"this network cannot be written as ONNX: {first}", hint=hint) from error
    assert exported is not None
    exported.model.metadata_props.update(metadata)
    content: bytes = exported.model_proto.SerializeToString()
    return content


def to_torch_export(program: ExportedProgram, metadata: Mapping[str, str]) -> bytes:
    """A traced network as the content of a .pt2 file, with these texts as its extra files."""
    file = io.BytesIO()
    with quiet():
        torch.export.save(program, file, extra_files=dict(metadata))
    return file.getvalue()


def run_onnx(content: bytes, *, threads: int) -> Predict:
    """What an ONNX file computes, by ONNX Runtime on the CPU.

    Args:
        content: of the file.
        threads: of one operation. They do not spin while they wait, so that they leave the processor to others.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def predict(images: np.ndarray) -> np.ndarray:
        logits: np.ndarray = session.run([OUTPUT], {INPUT: images})[0]
        return logits

    return predict


def run_torch_export(content: bytes) -> Predict:
    """What a .pt2 file computes, by PyTorch on the CPU."""
    with quiet():
        network = torch.export.load(io.BytesIO(content)).module()
    return run_module(network)


def run_module(network: torch.nn.Module) -> Predict:
    """What a module in evaluation mode computes, from arrays to arrays."""

    def predict(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            logits: np.ndarray = network(torch.from_numpy(images)).numpy()
        return logits

    return predict


def check_onnx() -> None:
    """Refuses to go on without the packages that ONNX takes.

    Raises:
        ConvariumError: one of them is not installed.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        wrong = f"ONNX needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"
        raise ConvariumError(wrong, hint='pip install "convarium[onnx]"')


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, PyTorch's exporters say nothing: what they note, such as that torchvision is missing, is not ours."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
