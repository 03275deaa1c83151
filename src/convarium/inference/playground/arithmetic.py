"""How sums, products, and what changes a value's shape are read from a traced graph."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from convarium.inference.playground.calls import Call, Found, Read, Value, image_of


def read_add(call: Call, sign: int = 1) -> Found | None:
    return _sum(call["self"], call["other"], sign * call["alpha"], call.shape)


def _sum(first: Any, second: Any, alpha: float, shape: tuple[int, ...]) -> Found | None:
    """First + alpha · second, where either may be a number."""
    if isinstance(second, int | float):
        return Found("scale", [first], {"factor": 1.0, "offset": float(alpha * second)})
    if isinstance(first, int | float):
        return Found("scale", [second], {"factor": float(alpha), "offset": float(first)})
    return _pairwise("add", first, second, shape, {"alpha": float(alpha)})


def read_rsub(call: Call) -> Found | None:
    return _sum(call["other"], call["self"], -call["alpha"], call.shape)


def read_mul(call: Call) -> Found | None:
    first, second = call["self"], call["other"]
    if isinstance(second, int | float):
        return Found("scale", [first], {"factor": float(second), "offset": 0.0})
    return _pairwise("multiply", first, second, call.shape)


def read_div(call: Call) -> Found | None:
    other = call["other"]
    if isinstance(other, int | float):
        return Found("scale", [call["self"]], {"factor": 1 / other, "offset": 0.0})
    return _pairwise("multiply", call["self"], 1 / other, call.shape) if isinstance(other, Tensor) else None


def _pairwise(
    name: str, first: Any, second: Any, shape: tuple[int, ...], settings: Mapping[str, Any] | None = None
) -> Found | None:
    """An operation value by value; a constant tensor becomes a value of the same shape, a smaller value is refused."""
    if any(isinstance(value, Value) and value.shape != shape for value in (first, second)):
        return None
    return Found(name, [first, second], settings or {})


def read_cat(call: Call) -> Found | None:
    values = call["tensors"]
    if not all(isinstance(value, Value) for value in values) or call["dim"] % (len(call.shape) + 1) != 1:
        return None
    return Found("concatenate", values)


def read_pad(call: Call) -> Found | None:
    value = image_of(call, "self")
    sides = [int(side) for side in call["pad"]]
    sides += [0] * (6 - len(sides))
    if value is None or len(sides) != 6 or call.arguments.get("mode", "constant") != "constant" or min(sides) < 0:
        return None
    filling = call.arguments.get("value") or 0.0
    return Found("pad", [value], {"before": sides[4::-2], "value": float(filling)})


def read_slice(call: Call) -> Found | None:
    value = call["self"]
    axis = call["dim"] % (len(call.shape) + 1) - 1
    if not isinstance(value, Value) or axis < 0 or len(value.shape) > 3:
        return None
    start = call["start"] or 0
    start = max(0, start + value.shape[axis]) if start < 0 else start
    return Found("slice", [value], {"axis": axis, "start": int(start), "step": int(call["step"])})


def read_reshape(call: Call) -> Found | None:
    value = call["self"]
    if not isinstance(value, Value) or math.prod(value.shape) != math.prod(call.shape):
        return None
    return Found(None if value.shape == call.shape else "reshape", [value])


def read_same(name: str) -> Read:
    def read(call: Call) -> Found | None:
        return Found(None, [call[name]])

    return read


def read_softmax(call: Call) -> Found | None:
    if len(call.shape) != 1 or call["dim"] % 2 != 1 or call.arguments.get("dtype"):
        return None
    return Found("softmax", [call["self"]])
