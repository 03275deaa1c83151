"""A program as a page holds it: its operations as JSON, and its tensors as one run of bytes in base64."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from convarium.inference.playground.program import Program

_SMALLEST, _LARGEST = 2.0**-10, 65504.0
"""A weight whose largest value lies between these loses at most a 2,048th of it as float16."""
_ALIGNMENT = 4


def rounded(program: Program) -> Program:
    """The program with its weights rounded to float16, as they are written; biases, scales and shifts stay float32."""
    return replace(
        program,
        operations=tuple(
            replace(operation, tensors={name: _round(name, tensor) for name, tensor in operation.tensors.items()})
            for operation in program.operations
        ),
    )


def encode(program: Program, *, float16: bool) -> dict[str, Any]:
    """Encodes a program for the page.

    Args:
        program: of a network.
        float16: write weights as float16 where `rounded` rounds them.

    Returns:
        {"image", "operations", "tensors", "data"}: `operations` refer to `tensors` by their numbers; a tensor has its
        shape, its type and the byte at which it begins in `data`, which is base64 of little-endian numbers.
    """
    operations: list[dict[str, Any]] = []
    tensors: list[dict[str, Any]] = []
    data = bytearray()
    for operation in program.operations:
        numbers = {}
        for name, tensor in operation.tensors.items():
            half = float16 and _is_rounded(name, tensor)
            numbers[name] = len(tensors)
            tensors.append({"shape": list(tensor.shape), "type": "float16" if half else "float32", "start": len(data)})
            data += tensor.numpy().astype("<f2" if half else "<f4").tobytes()
            data += bytes(-len(data) % _ALIGNMENT)
        written: dict[str, Any] = {
            "name": operation.name,
            "inputs": list(operation.inputs),
            "module": operation.module,
            "shape": list(operation.shape),
            "settings": dict(operation.settings),
            "tensors": numbers,
        }
        if operation.shortcut is not None:
            written["shortcut"] = operation.shortcut
        operations.append(written)
    return {
        "image": list(program.image),
        "operations": operations,
        "tensors": tensors,
        "data": base64.b64encode(bytes(data)).decode("ascii"),
    }


def encode_images(images: np.ndarray) -> Mapping[str, Any]:
    """Images (n, c, h, w) uint8 as {"shape", "data"}, in base64."""
    return {"shape": list(images.shape), "data": base64.b64encode(np.ascontiguousarray(images).tobytes()).decode()}


def _is_rounded(name: str, tensor: Tensor) -> bool:
    return name == "weight" and _SMALLEST <= float(tensor.abs().max()) <= _LARGEST


def _round(name: str, tensor: Tensor) -> Tensor:
    return tensor.half().float() if _is_rounded(name, tensor) else tensor
